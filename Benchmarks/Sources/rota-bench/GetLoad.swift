import Foundation
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Unary calls from many connections, by h2load: Rota's `Jobs/Get`, and, as yardsticks on the same machine in
/// the same run, a server of Python's grpcio and plain nghttpd that answer with as many bytes.
struct GetLoad {
  let cluster: BenchCluster
  /// How many calls; a tenth of them where Python answers.
  let calls: Int
  /// A Python that has grpcio.
  let python: String
  /// The folder of `grpcio_server.py`.
  let scripts: URL

  private static let connections = 50
  private static let streamsPerConnection = 100
  private static let method = "/rota.v1.Jobs/Get"

  func rows() async throws -> [Row] {
    let call = try await prepareCall()
    let rota = try load(
      "Jobs/Get by h2load: Rota", call, count: calls, port: cluster.server.grpcPort, server: cluster.children)
    let grpcio = try await withServer("grpcio", grpcioServer) {
      try load("the same load: grpcio (Python)", call, count: calls / 10, port: $0, server: [$1])
    }
    let plain = try await withServer("nghttpd", nghttpdServer) {
      try load("the same load: nghttpd, a file", call, count: calls, port: $0, server: [$1])
    }
    var first = rota
    first.figures.append(("ratio_to_grpcio", rota.figures[0].value / grpcio.figures[0].value))
    first.figures.append(("ratio_to_nghttpd", rota.figures[0].value / plain.figures[0].value))
    return [first, grpcio, plain]
  }

  // MARK: The call

  /// A call in files, as h2load and the other servers want it.
  private struct Call {
    let requestFile: URL
    let responseFile: URL
    let htdocs: URL
    /// The length-prefixed response, bytes.
    let responseBytes: Int
  }

  /// Makes a job that has ended, and notes what `Get` answers.
  private func prepareCall() async throws -> Call {
    let client = try await cluster.connect()
    let submit = SubmitRequest(spec: JobSpec(task: .noop))
    let answer = try await client.unary("/rota.v1.Jobs/Submit", buffer(submit), timeout: .seconds(10))
    let key = try SubmitResponse(wire: Array(answer.readableBytesView)).job.key
    let get = GetJobRequest(key: key)
    var response: [UInt8] = []
    try await cluster.wait(seconds: 20, for: "a job has ended") {
      let answer = try await client.unary(Self.method, buffer(get), timeout: .seconds(10))
      response = Array(answer.readableBytesView)
      return try JobView(wire: response).status.isTerminal
    }
    await client.close()
    let htdocs = cluster.folder.appendingPathComponent("htdocs")
    let page = htdocs.appendingPathComponent(String(Self.method.dropFirst()))
    try FileManager.default.createDirectory(
      at: page.deletingLastPathComponent(), withIntermediateDirectories: true)
    try framed(response).write(to: page)
    let call = Call(
      requestFile: cluster.folder.appendingPathComponent("get-request"),
      responseFile: cluster.folder.appendingPathComponent("get-response"), htdocs: htdocs,
      responseBytes: framed(response).count)
    try framed(get.wire()).write(to: call.requestFile)
    try Data(response).write(to: call.responseFile)
    return call
  }

  private func buffer(_ message: some WireMessage) -> ByteBuffer { ByteBuffer(bytes: message.wire()) }

  /// With gRPC's length prefix.
  private func framed(_ message: [UInt8]) -> Data {
    Data([0] + withUnsafeBytes(of: UInt32(message.count).bigEndian, Array.init) + message)
  }

  // MARK: Servers to compare with

  private func withServer(
    _ name: String, _ start: (Int) throws -> Child, _ body: (Int, Child) throws -> Row
  ) async throws -> Row {
    let port = try freePort()
    let child = try start(port)
    defer { child.stop() }
    try await cluster.wait(seconds: 20, for: "\(name) listens") {
      guard child.isRunning else {
        throw BenchError("\(name) has ended; its log is in \(cluster.folder.path)")
      }
      return canConnect(to: port)
    }
    return try body(port, child)
  }

  private func grpcioServer(port: Int) throws -> Child {
    let script = scripts.appendingPathComponent("grpcio_server.py").path
    let response = cluster.folder.appendingPathComponent("get-response").path
    return try child("grpcio", python, [script, "\(port)", Self.method, response])
  }

  private func nghttpdServer(port: Int) throws -> Child {
    let htdocs = cluster.folder.appendingPathComponent("htdocs").path
    return try child(
      "nghttpd", try tool("nghttpd"),
      ["--no-tls", "-a", "127.0.0.1", "-m", "\(Self.streamsPerConnection)", "-d", htdocs, "\(port)"])
  }

  private func child(_ name: String, _ executable: String, _ arguments: [String]) throws -> Child {
    try Child(name, executable, arguments, log: cluster.folder.appendingPathComponent("\(name).log"))
  }

  // MARK: h2load

  private func load(_ name: String, _ call: Call, count: Int, port: Int, server: [Child]) throws -> Row {
    let before = server.map { $0.usage() }
    let log = cluster.folder.appendingPathComponent("h2load-\(port).log")
    let requests = cluster.folder.appendingPathComponent("h2load-\(port).requests")
    let h2load = try Child(
      "h2load", try tool("h2load"),
      [
        "-c", "\(Self.connections)", "-m", "\(Self.streamsPerConnection)", "-n", "\(count)", "-d",
        call.requestFile.path, "-H", "content-type: application/grpc",
        "-H", "te: trailers", "--log-file", requests.path, "http://127.0.0.1:\(port)\(Self.method)",
      ], log: log)
    try h2load.wait(seconds: 300)
    let summary = try H2LoadSummary(
      text: try String(contentsOf: log, encoding: .utf8),
      requestLog: try String(contentsOf: requests, encoding: .utf8))
    guard summary.succeeded == count, summary.dataBytes == count * call.responseBytes else {
      throw BenchError("\(name): not every answer was whole; h2load's output is in \(log.path)")
    }
    let usage = zip(server, before).map { child, before in
      var usage = child.usage()
      usage.cpuSeconds -= before.cpuSeconds
      return (process: child.name, usage: usage)
    }
    return Row(
      name: name,
      figures: [
        ("requests_per_second", summary.requestsPerSecond), ("p50_ms", summary.percentileMillis(0.5)),
        ("p99_ms", summary.percentileMillis(0.99)),
      ], usage: usage)
  }
}

/// What h2load said.
struct H2LoadSummary {
  let requestsPerSecond: Double
  let succeeded: Int
  /// In DATA frames, all answers together.
  let dataBytes: Int
  private let sortedMicros: [Double]

  /// - Parameters:
  ///   - text: Its summary.
  ///   - requestLog: Its log: start, status and duration in microseconds, a line for each request.
  init(text: String, requestLog: String) throws {
    func number(_ pattern: String) throws -> Double {
      let expression = try NSRegularExpression(pattern: pattern)
      let all = NSRange(text.startIndex..., in: text)
      guard let match = expression.firstMatch(in: text, range: all),
        let range = Range(match.range(at: 1), in: text), let value = Double(text[range])
      else { throw BenchError("h2load's output has no \(pattern):\n\(text)") }
      return value
    }
    requestsPerSecond = try number(#"finished in [^,]*, ([0-9.]+) req/s"#)
    succeeded = Int(try number(#"([0-9]+) succeeded"#))
    dataBytes = Int(try number(#"\(([0-9]+)\) data"#))
    sortedMicros = requestLog.split(separator: "\n").compactMap { line in
      line.split(whereSeparator: \.isWhitespace).last.flatMap { Double($0) }
    }.sorted()
  }

  func percentileMillis(_ share: Double) -> Double {
    guard !sortedMicros.isEmpty else { return 0 }
    return sortedMicros[min(sortedMicros.count - 1, Int(Double(sortedMicros.count) * share))] / 1_000
  }
}
