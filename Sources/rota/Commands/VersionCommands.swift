import ArgumentParser
import JSON
import Proto
import SchedulerCore

/// `rota versions`
struct VersionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "versions", abstract: "The last specifications of a job: list them, show one, compare two.",
    discussion: """
      Examples:
        rota versions nightly
        rota versions show nightly 3
        rota versions diff nightly --from 3 --to 5
        rota revert nightly --to 3
      """,
    subcommands: [VersionsListCommand.self, VersionsShowCommand.self, VersionsDiffCommand.self],
    defaultSubcommand: VersionsListCommand.self)
}

/// `rota versions list`
struct VersionsListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List what a job is and was, the present version first.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions

  func run() async throws {
    let versions = try await VersionTexts.list(job)
    if job.output.output == .json { return ViewJSON.print("versions", versions) { $0.write(to: &$1) } }
    var table = Table(["GENERATION", "SINCE", "BY", "UNTIL", "CHANGED"])
    for version in versions {
      let fields = version.changedFields.isEmpty ? "-" : version.changedFields.joined(separator: ", ")
      table.add([
        "\(version.generation)", Texts.time(version.origin.at), version.origin.by ?? "-",
        version.replacedAt == nil ? "now" : Texts.time(version.replacedAt),
        version.origin.revertOf.map { "\(fields) (as generation \($0))" } ?? fields,
      ])
    }
    table.print()
  }
}

/// `rota versions show`
struct VersionsShowCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show one version of a job, with its specification.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Argument(help: "Which generation.") var generation: Int

  func run() async throws {
    let version = try await VersionTexts.get(job, generation)
    if job.output.output == .json { return ViewJSON.print { version.write(to: &$0) } }
    var facts = Table(["Job:", "\(version.job.namespace)/\(version.job.jobID)"])
    facts.add(["Generation:", "\(version.generation)\(VersionTexts.cause(version.origin))"])
    facts.add(["Since:", Texts.time(version.origin.at)])
    if let until = version.replacedAt {
      facts.add(["Until:", Texts.time(until) + (version.replacedBy.map { ", by \($0)" } ?? "")])
    }
    guard let spec = version.spec else {
      facts.add(["Specification:", "too large to be kept beside its successor"])
      return facts.print()
    }
    for difference in JSONDifference.between(.object([]), spec.asJSON) {
      facts.add(["\(difference.path):", VersionTexts.short(difference.new)])
    }
    facts.print()
  }
}

/// `rota versions diff`
struct VersionsDiffCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Show what differs between two versions of a job, field by field.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(help: ArgumentHelp("The earlier one; that before --to when not given.", valueName: "generation"))
  var from: Int?
  @Option(help: ArgumentHelp("The later one; the present one when not given.", valueName: "generation"))
  var to: Int?

  func run() async throws {
    _ = try await VersionComparison(
      key: job.key, client: try job.server.client(), from: from, to: to, output: job.output.output
    ).show()
  }
}

/// Two versions of a job, side by side.
struct VersionComparison {
  let key: JobKey
  let client: APIClient
  /// The earlier one; nil for that before the later one.
  let from: Int?
  /// The later one; nil for the present one.
  let to: Int?
  let output: OutputFormat

  /// Shows what differs; whether something does.
  func show() async throws -> Bool {
    var later = to
    if later == nil { later = try await VersionTexts.list(key, client).first?.generation }
    guard let later else { throw CommandFailure("the job has no versions") }
    let earlier = from ?? later - 1
    guard earlier >= 1 else {
      throw CommandFailure("generation \(later) is the first one: there is none before it to compare it with")
    }
    let old = try await VersionTexts.spec(key, earlier, client)
    let new = try await VersionTexts.spec(key, later, client)
    let differences = JSONDifference.between(old.asJSON, new.asJSON)
    if output == .json {
      write(differences, earlier, later)
    } else if differences.isEmpty {
      Terminal.print("generations \(earlier) and \(later) are the same")
    } else {
      Terminal.print(DifferenceTexts.lines(differences).joined(separator: "\n"))
    }
    return !differences.isEmpty
  }

  private func write(_ differences: [JSONDifference], _ earlier: Int, _ later: Int) {
    ViewJSON.print { json in
      json.object { json in
        json.member("from", earlier)
        json.member("to", later)
        DifferenceTexts.writeMember(differences, to: &json)
      }
    }
  }
}

/// `rota revert`
struct RevertCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "revert", abstract: "Give a job the specification of one of its versions again.",
    discussion: "It is an update like any: the job gets a new generation, and what runs goes on as it is.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions
  @Option(
    help: ArgumentHelp("The version to go back to, as 'rota versions' lists them.", valueName: "generation"))
  var to: Int
  @Option(help: ArgumentHelp("Only if the job has this etag.", valueName: "etag")) var ifMatch: String?
  @OptionGroup var author: AuthorOption

  func run() async throws {
    let request = RevertJobRequest(
      key: job.key, generation: to, ifMatch: ifMatch, idempotencyKey: RandomKey.make(), updatedBy: author.name
    )
    let generation = to
    try await job.change("Revert", request) { view in
      view.updated?.revertOf == generation
        ? "\(view.key.jobID) is as generation \(generation) was (generation \(view.generation)); "
          + JobOptions.next(view)
        : "\(view.key.jobID) is as it was (generation \(view.generation))"
    }
  }
}

/// `rota job history`
struct JobHistoryCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "history", abstract: "Show how a job's specification has changed, the latest change first.")
  static let environmentFlags = JobOptions.environmentFlags

  @OptionGroup var job: JobOptions

  func run() async throws {
    let versions = try await VersionTexts.list(job)
    var specs: [JobSpec?] = []
    for version in versions { specs.append(try await VersionTexts.get(job, version.generation).spec) }
    let changes = versions.indices.map { index -> [JSONDifference]? in
      guard index + 1 < versions.count else { return nil }
      guard let new = specs[index], let old = specs[index + 1] else { return nil }
      return JSONDifference.between(old.asJSON, new.asJSON)
    }
    if job.output.output == .json { return print(versions, changes) }
    for (version, change) in zip(versions, changes) {
      let (since, cause) = (Texts.time(version.origin.at), VersionTexts.cause(version.origin))
      Terminal.print("generation \(version.generation), \(since)\(cause)")
      for line in DifferenceTexts.lines(change ?? []) { Terminal.print("  " + line) }
      guard change == nil else { continue }
      Terminal.print(version.generation == 1 ? "  created" : "  what it was before is not kept")
    }
  }

  private func print(_ versions: [VersionView], _ changes: [[JSONDifference]?]) {
    ViewJSON.print("history", Array(zip(versions, changes))) { entry, json in
      json.object { json in
        json.member("generation", entry.0.generation)
        json.member("created_at", entry.0.origin.at.rfc3339)
        if let by = entry.0.origin.by { json.member("created_by", by) }
        if let generation = entry.0.origin.revertOf { json.member("revert_of", generation) }
        if let change = entry.1 { DifferenceTexts.writeMember(change, to: &json) }
      }
    }
  }
}
