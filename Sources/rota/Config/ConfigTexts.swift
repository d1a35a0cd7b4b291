import ConfigFiles
import JSON

/// How plans are shown.
enum ConfigTexts {
  /// What a plan comes to, field by field.
  static func show(_ plan: ConfigPlan) {
    for step in plan.steps where step.action != .unchanged {
      Terminal.print(
        Terminal.sanitised("\(sign(step.action)) \(step.key)\(step.entry.map { " (\($0.place))" } ?? "")"))
      guard step.action != .delete else { continue }
      for line in DifferenceTexts.lines(step.differences) { Terminal.print("    " + line) }
    }
    Terminal.print(summary(plan, isDone: false))
  }

  /// One line for a step that has been done.
  static func done(_ step: ConfigPlan.Step) -> String {
    switch step.action {
    case .create: return "\(step.key) created"
    case .update:
      let paths = step.differences.map(\.path)
      let more = paths.count > 5 ? ", …" : ""
      return Terminal.sanitised(
        "\(step.key) changed (\(paths.prefix(5).joined(separator: ", "))\(more))")
    case .delete: return "\(step.key) deleted"
    case .unchanged:
      return "\(step.key) unchanged" + (step.present?.isCancelled == true ? " (it was cancelled)" : "")
    }
  }

  /// How many objects it is about.
  static func summary(_ plan: ConfigPlan, isDone: Bool) -> String {
    let verb = isDone ? "" : "to be "
    return "\(plan.count(.create)) \(verb)created, \(plan.count(.update)) \(verb)changed, "
      + "\(plan.count(.delete)) \(verb)deleted, \(plan.count(.unchanged)) unchanged"
  }

  private static func sign(_ action: ConfigPlan.Action) -> String {
    switch action {
    case .create: "+"
    case .update: "~"
    case .delete: "-"
    case .unchanged: "="
    }
  }

  /// A plan as JSON: `{"changes": [...], "unchanged": 3, "applied": true}`; what a step that failed ran into is with it.
  static func printJSON(_ plan: ConfigPlan, isApplied: Bool, failures: [ConfigCluster.Failure] = []) {
    let messages = Dictionary(failures.map { ($0.key, $0.message) }) { $1 }
    ViewJSON.print { json in
      json.object { json in
        json.key("changes")
        json.array { json in
          for step in plan.steps where step.action != .unchanged { write(step, messages[step.key], &json) }
        }
        json.member("unchanged", plan.count(.unchanged))
        json.member("applied", isApplied)
      }
    }
  }

  private static func write(_ step: ConfigPlan.Step, _ failure: String?, _ json: inout JSONWriter) {
    json.object { json in
      json.member("action", step.action.rawValue)
      json.member("kind", step.key.kind.rawValue)
      json.member("namespace", step.key.namespace)
      json.member("name", step.key.name)
      if let place = step.entry?.place {
        json.member("file", place.file)
        json.member("line", place.line)
      }
      if let failure { json.member("error", failure) }
      if step.action != .delete { DifferenceTexts.writeMember(step.differences, to: &json) }
    }
  }
}
