import ArgumentParser
import Proto
import SchedulerCore
import Transport

/// `rota events`
struct EventsCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Follow the changes of jobs and runs, without a gap and without an end.",
    discussion: """
      Without --from, everything as it stands comes first, and again when the server is lost meanwhile. From
      then on another server goes on where the last one was. Each line begins with the revision of its change.
      """)
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions

  @Option(help: "Only changes after this revision.") var from: Int64?
  @Option(help: "Only this job and its runs.") var job: String?
  @Flag(help: "Only changes of jobs; with --runs, of both.") var jobs = false
  @Flag(help: "Only changes of runs; with --jobs, of both.") var runs = false

  func validate() throws {
    if let from, from < 1 { throw ValidationError("--from has to be 1 or more") }
  }

  func run() async throws {
    let client = try server.client()
    var request = WatchEventsRequest(
      namespace: namespace.namespace, jobID: job, jobs: jobs || !runs, runs: runs || !jobs,
      startRevision: from ?? 0)
    var deadline: ContinuousClock.Instant?
    while true {
      do {
        for try await message in try await client.stream("/rota.v1.Events/Watch", request) {
          let step: WatchEventsResponse = try APIClient.decode(message)
          show(step)
          request.startRevision = max(request.startRevision, step.revision)
          deadline = nil
        }
      } catch let error as RPCError {
        let until = deadline ?? .now + ClientLimits.eventPatience
        guard error.code == .unavailable, .now < until else {
          throw CommandFailure(APIClient.sentence(error))
        }
        deadline = until
      }
      client.moveOn()
      try await Task.sleep(for: ClientLimits.pause.upperBound)
    }
  }

  private func show(_ step: WatchEventsResponse) {
    if output.output == .json { return ViewJSON.print(step.write) }
    for change in step.changes { Terminal.print(Terminal.sanitised(Self.line(change))) }
  }

  /// The revision, what it is about, and how that stands.
  private static func line(_ change: WatchEventsResponse.Change) -> String {
    let (what, state): (String, String) =
      switch change.what {
      case .job(let job): ("job \(name(job.key))", job.status.rawValue)
      case .run(let run):
        ("run \(name(run.record.key.job))/\(run.record.key.runID)", describe(run.record))
      case .removedJob(let key): ("job \(name(key))", "removed")
      case .removedRun(let key): ("run \(name(key.job))/\(key.runID)", "removed")
      }
    return "\(change.revision)  \(what)  \(state)"
  }

  private static func describe(_ run: RunRecord) -> String {
    let agent = run.attempts.last.map { " on \($0.agent.agentID)" } ?? ""
    guard run.state.isTerminal else { return run.state.rawValue + agent }
    return "\(run.state.rawValue)\(agent): \(Texts.outcome(of: run))"
  }

  private static func name(_ key: JobKey) -> String { "\(key.namespace)/\(key.jobID)" }
}
