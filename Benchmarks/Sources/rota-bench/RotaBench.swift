import ArgumentParser
import Foundation
import SchedulerCore

/// `make bench`.
@main
struct RotaBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rota-bench",
    abstract: "Measures throughput and latency on a real etcd (fsync on), a real server and real agents.")

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
    let binaries = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
      .deletingLastPathComponent()
    let cluster = try BenchCluster(binaries: binaries, under: URL(fileURLWithPath: folder))
    var report = Report()
    do {
      report = try await measure(cluster)
    } catch {
      cluster.stop(keepFolder: true)
      throw error
    }
    cluster.stop(keepFolder: keep)
    report.printTable()
    let url = URL(fileURLWithPath: output)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(report.json(commit: currentCommit())).write(to: url)
    print("written to \(output)")
  }

  private func measure(_ cluster: BenchCluster) async throws -> Report {
    let measurements = Measurements(cluster: cluster)
    var report = Report()
    try await cluster.startEtcd()
    let raw = try await measurements.rawPuts(seconds: 4, connections: connections)
    report.rows.append(raw)
    let puts = raw.figures[0].value
    try await cluster.startServer()
    try await cluster.startAgents(agents, slots: slots)
    report.rows.append(try await measurements.idleLatency(samples: samples))
    report.rows.append(
      try await measurements.throughput(
        "throughput: noop", jobs: noops, task: .noop, rawPuts: puts, target: "at least 1,500 jobs/s"))
    report.rows.append(
      try await measurements.throughput(
        "throughput: exec /bin/true", jobs: execs, task: .exec(argv: ["/bin/true"]), rawPuts: puts,
        target: "1,200 jobs/s in step 6"))
    report.rows += try await GetLoad(
      cluster: cluster, calls: gets, python: python, scripts: URL(fileURLWithPath: "Benchmarks")
    ).rows()
    return report
  }

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
