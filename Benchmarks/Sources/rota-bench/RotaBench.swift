import ArgumentParser
import Foundation
import SchedulerCore

/// `make bench`.
@main
struct RotaBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rota-bench",
    abstract: "Measures throughput and latency on a real etcd (fsync on), a real server and real agents.")

  @Option(
    help: ArgumentHelp(
      "What to measure, with commas between: \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "scenarios"))
  var only = ScenarioList(Scenario.allCases)
  @Option(help: "No-op jobs of the throughput measurement.")
  var noops = 20_000
  @Option(help: "Jobs that start /bin/true.")
  var execs = 3_000
  @Option(help: "Samples of the idle latency.")
  var samples = 300
  @Option(help: "Agents.")
  var agents = 2
  @Option(help: "Slots of each agent.")
  var slots = 256
  @Option(help: "Connections of the raw puts.")
  var connections = 64
  @Option(help: "One-off jobs that are due at about the same time.")
  var dueJobs = 50_000
  @Option(help: "Seconds over which they are due, where they are spread.")
  var dueSeconds = 60.0
  @Option(help: "Jobs per second that can surely be stored; sets when the first of them is due.")
  var submitRate = 2_000.0
  @Option(help: "The server that is killed amid due jobs: owner (of segments, not leading) or leader.")
  var victim = FailoverBench.Victim.owner
  @Option(help: "Jobs that are stored and not due, for what a server needs to keep them.")
  var storedJobs = 1_000_000
  @Option(help: "Unary calls of each load by h2load.")
  var gets = 200_000
  @Option(help: "A Python with grpcio, for the server that unary calls are compared with.")
  var python = ".venv-test/bin/python"
  @Option(help: "The folder for the data; it is on the disk whose fsync is measured.")
  var folder = "."
  @Option(help: "Where the JSON goes.")
  var output = "Benchmarks/results/latest.json"
  @Flag(help: "Keep the data and logs.")
  var keep = false

  func run() async throws {
    var report = Report()
    if only.scenarios.contains(.next) { report.rows.append(try NextFires.row()) }
    if only.scenarios.contains(.placement) { report.rows.append(try PlacementBench.row()) }
    if !only.scenarios.isDisjoint(with: Scenario.onOneServer) {
      report.rows += try await withCluster("one-server", measureOneServer)
    }
    if only.scenarios.contains(.failover) {
      report.rows += try await withCluster("three-servers", measureFailover)
    }
    if only.scenarios.contains(.stored) {
      report.rows += try await withCluster("stored", measureStored)
    }
    report.printTable()
    let url = URL(fileURLWithPath: output)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(report.json(commit: currentCommit())).write(to: url)
    print("written to \(output)")
  }

  /// Measures on a cluster of its own. Its data and logs stay when something fails.
  private func withCluster(
    _ name: String, _ measure: (BenchCluster) async throws -> [Row]
  ) async throws -> [Row] {
    let binaries = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
      .deletingLastPathComponent()
    let cluster = try BenchCluster(binaries: binaries, under: URL(fileURLWithPath: folder), name: name)
    do {
      let rows = try await measure(cluster)
      cluster.stop(keepFolder: keep)
      return rows
    } catch {
      cluster.stop(keepFolder: true)
      throw error
    }
  }

  private func measureOneServer(_ cluster: BenchCluster) async throws -> [Row] {
    let measurements = Measurements(cluster: cluster)
    try await cluster.startEtcd()
    let raw = try await measurements.rawPuts(seconds: 4, connections: connections)
    let puts = raw.figures[0].value
    var rows = [raw]
    try await cluster.startServers()
    try await cluster.startAgents(agents, slots: slots)
    if only.scenarios.contains(.latency) {
      rows.append(try await measurements.idleLatency(samples: samples))
    }
    if only.scenarios.contains(.throughput) {
      rows.append(
        try await measurements.throughput(
          "throughput: noop", jobs: noops, task: .noop, rawPuts: puts, target: "at least 1,500 jobs/s"))
      rows.append(
        try await measurements.throughput(
          "throughput: exec /bin/true", jobs: execs, task: .exec(argv: ["/bin/true"]), rawPuts: puts,
          target: "1,200 jobs/s in step 6"))
    }
    if only.scenarios.contains(.gets) {
      rows += try await GetLoad(
        cluster: cluster, calls: gets, python: python, scripts: URL(fileURLWithPath: "Benchmarks")
      ).rows()
    }
    if only.scenarios.contains(.due) {
      let bench = PunctualityBench(cluster: cluster, count: due)
      rows += [try await bench.spread(over: dueSeconds), try await bench.atOnce()]
    }
    return rows
  }

  private func measureFailover(_ cluster: BenchCluster) async throws -> [Row] {
    try await cluster.startEtcd()
    try await cluster.startServers(3)
    try await cluster.startAgents(agents, slots: slots)
    let bench = FailoverBench(cluster: cluster, count: due, seconds: dueSeconds, victim: victim)
    return [try await bench.row()]
  }

  private func measureStored(_ cluster: BenchCluster) async throws -> [Row] {
    try await cluster.startEtcd()
    try await cluster.startServers()
    try await cluster.startAgents(agents, slots: slots)
    return try await StoredJobsBench(
      cluster: cluster, count: storedJobs, agents: agents, noops: noops, connections: connections
    ).rows()
  }

  private var due: DueJobs.Count { DueJobs.Count(jobs: dueJobs, submitRate: submitRate) }

  private func currentCommit() -> String {
    let git = Process()
    git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    git.arguments = ["git", "rev-parse", "--short", "HEAD"]
    let pipe = Pipe()
    git.standardOutput = pipe
    git.standardError = FileHandle.nullDevice
    guard (try? git.run()) != nil else { return "unknown" }
    git.waitUntilExit()
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
