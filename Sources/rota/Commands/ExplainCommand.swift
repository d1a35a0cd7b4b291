import ArgumentParser
import Proto
import SchedulerCore

/// `rota explain`
struct ExplainCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Say why a job or a run is not further: each reason that holds it back now, what to fix first.",
    discussion: """
      'blocks' stays so until somebody does something, 'waits' passes by itself, 'tells' holds nothing back.
      Examples:
        rota explain nightly-report
        rota explain nightly-report/20261224T020000Z
      """)
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Flag(help: "Show what has happened to the run, too; of a job, to its newest.")
  var timeline = false

  @Argument(help: ArgumentHelp("JOB, with its runs that have not ended, or JOB/RUN.", valueName: "job"))
  var run: RunArgument

  func run() async throws {
    let request = ExplainRequest(
      job: JobKey(namespace: namespace.namespace, jobID: run.jobID), runID: run.runID)
    let client = try server.client()
    let answer: ExplanationView = try await client.call("/rota.v1.Runs/Explain", request)
    // A job that has no run yet has no timeline.
    var run: RunView?
    if timeline, answer.explanation.state != nil {
      run = try await client.call("/rota.v1.Runs/Get", GetRunRequest(job: request.job, runID: request.runID))
    }
    if output.output == .json {
      return ViewJSON.print { answer.write(to: &$0, timeline: run?.timeline ?? []) }
    }
    ExplainTexts.show(answer)
    if let run { RunTexts.showTimeline(run) }
  }
}

/// How explanations look to people.
enum ExplainTexts {
  static func show(_ view: ExplanationView) {
    let explanation = view.explanation
    let job = "\(explanation.job.namespace)/\(explanation.job.jobID)"
    if let runID = explanation.runID {
      print("\(job)/\(runID) is \(explanation.state?.rawValue ?? "not known")")
    } else {
      print("\(job) is \(explanation.status.rawValue)\(runs(of: explanation))")
    }
    for finding in explanation.findings {
      print("")
      let about = explanation.runID == nil ? finding.runID.map { "  run \($0)" } ?? "" : ""
      let kind = finding.kind.rawValue
      let space = String(repeating: " ", count: indent.count - kind.count)
      print("\(kind)\(space)\(finding.code)\(about)")
      print("\(indent)\(finding.message)")
      if !finding.fix.isEmpty { print("\(indent)-> \(finding.fix)") }
    }
    if explanation.findings.isEmpty {
      print("")
      print("Nothing that server '\(view.serverID)' knows holds it back.")
    }
  }

  private static let indent = "        "

  private static func print(_ line: String) { Terminal.print(Terminal.sanitised(line)) }

  private static func runs(of explanation: Explanation) -> String {
    switch explanation.unendedRuns {
    case 0: ""
    case 1: ", one run of it has not ended"
    case let count:
      ", \(count) runs of it have not ended"
        + (count > ExplainLimits.runsOfJob ? "; these are the oldest \(ExplainLimits.runsOfJob)" : "")
    }
  }
}
