import ArgumentParser
import Proto
import SchedulerCore

/// `rota cluster`
struct ClusterCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "cluster", abstract: "Show the servers with their segments, and etcd's members.",
    discussion: """
      FIRES are runs created by schedules in the last minute, LATE how late they were: the median, the 99th
      percentile and the worst. OVERDUE is due and not created yet. SKEW is how far a server's clock is from the
      leader's, as far as its reports tell.
      """)
  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let info: ClusterInfo = try await server.client().call("/rota.v1.Cluster/Get", GetClusterRequest())
    if output.output == .json { return ViewJSON.print(info.write) }
    Terminal.print(
      "leader: \(info.leader.map(Terminal.sanitised) ?? "none")  jobs: \(info.jobs)  runs: \(info.runs)  "
        + "agents: \(info.agents)")
    Self.printTrouble(info)
    Self.printServers(info)
    Terminal.print("")
    Self.printMembers(info)
    Self.printTerm(info)
  }

  /// What somebody has to know first.
  private static func printTrouble(_ info: ClusterInfo) {
    if let brake = info.brake {
      Terminal.print(
        "BRAKE since \(Texts.time(brake.since)): \(brake.agentsLost) of \(brake.agentsKnown) agents were lost at once; "
          + "\(brake.runsWaiting) of their runs wait, until \(Texts.time(brake.pausedUntil)) at least")
    }
    guard let storage = info.storage, let message = storage.message else { return }
    Terminal.print(
      (storage.noSpace ? "ETCD TAKES NO WRITES: " : "etcd: ") + Terminal.sanitised(message)
        + " (\(Texts.mebibytes(storage.databaseBytes)) of \(Texts.mebibytes(storage.quotaBytes)))")
  }

  private static func printTerm(_ info: ClusterInfo) {
    guard let term = info.term else { return }
    Terminal.print("")
    var table = Table(["IN THIS TERM", "SINCE \(Texts.time(term.since))"])
    let gap = term.failoverGapMillis < 0 ? "-" : "\(term.failoverGapMillis)ms"
    for (what, value) in [
      ("agents lost", "\(term.lostAgents)"), ("runs of lost agents", "\(term.lostRuns)"),
      ("runs assigned again", "\(term.reassignedRuns)"),
      ("recovery, last and longest", "\(term.lastRecoveryMillis)ms, \(term.maxRecoveryMillis)ms"),
      ("handed over by drains", "\(term.handedOver)"),
      ("attempts killed by fencing", "\(term.fencedAttempts)"),
      ("stale updates, checkpoints refused", "\(term.staleUpdates), \(term.staleCheckpoints)"),
      ("writes refused by fencing", "\(term.fencedWrites)"), ("gap after the last leader", gap),
      (
        "agents drained, unhealthy, avoided",
        "\(term.drainedAgents), \(term.unhealthyAgents), \(term.avoidedAgents)"
      ),
    ] { table.add([what, value]) }
    table.print()
  }

  private static func printServers(_ info: ClusterInfo) {
    var table = Table([
      "SERVER", "STATE", "SEGMENTS", "JOBS", "FIRES", "LATE P50", "P99", "MAX", "OVERDUE", "SKEW", "GRPC",
      "HELD BACK",
    ])
    for server in info.servers {
      let figures = server.record.figures
      func number(_ value: (ServerFigures) -> Int64) -> String { figures.map { "\(value($0))" } ?? "-" }
      func millis(_ value: (ServerFigures) -> Int64) -> String { figures.map { "\(value($0))ms" } ?? "-" }
      table.add([
        server.record.serverID,
        server.record.draining ? "draining" : server.isLeader ? "leader" : "follower",
        "\(server.segments.count)", number { Int64($0.scheduledJobs) }, number { Int64($0.fires) },
        millis(\.latenessP50Millis), millis(\.latenessP99Millis), millis(\.latenessMaxMillis),
        number { Int64($0.overdue) }, "\(server.clockSkewMillis)ms", server.record.grpcAddress,
        server.heldBack ?? "-",
      ])
    }
    table.print()
    if !info.orphanedSegments.isEmpty {
      Terminal.print(
        "\(info.orphanedSegments.count) of \(info.segmentCount) segments have no owner now: their schedules wait"
      )
    }
  }

  private static func printMembers(_ info: ClusterInfo) {
    if let error = info.etcdError { Terminal.print("etcd: \(Terminal.sanitised(error))") }
    guard !info.etcdMembers.isEmpty else { return }
    var table = Table(["ETCD MEMBER", "ID", "STATE", "VERSION", "DATABASE", "IN USE", "ADDRESS"])
    for member in info.etcdMembers {
      let state = member.isLeader ? "leader" : member.isLearner ? "learner" : "follower"
      table.add([
        member.name.isEmpty ? "-" : member.name, member.memberID,
        member.error.map { "does not answer: \($0)" } ?? state, member.version.isEmpty ? "-" : member.version,
        Texts.mebibytes(member.databaseBytes), Texts.mebibytes(member.databaseBytesInUse),
        member.clientURLs.joined(separator: ","),
      ])
    }
    table.print()
  }
}
