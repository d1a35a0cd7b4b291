import Foundation
import NIOCore
import Testing

@testable import Transport

/// grpcio, the reference implementation's Python face, against our server and our client.
@Suite(.serialized, .timeLimit(.minutes(2))) struct GRPCIOTests {
  @Test func rawFramesAgainstOurServer() async throws {
    try await withServer({
      $0.limits.streamResetBurst = 200
      $0.limits.maxReceiveMessageBytes = 100_000
      $0.prefaceTimeout = .milliseconds(500)
    }) { server in
      let output = try await PythonChild("raw_client.py", "\(server.port)").finish()
      #expect(output.status == 0, "\(output.text)")
      // Whatever came before, an honest client is served.
      try await withClient(server.port) { client in
        let answer = try await client.unary("/test.Test/Echo", ByteBuffer(string: "fine"))
        #expect(String(buffer: answer) == "fine")
      }
    }
  }

  @Test func ourClientAgainstAGrpcioServer() async throws {
    let python = try PythonChild("grpcio_server.py")
    let port = try #require(Int(try await python.readLine()))
    try await withClient(port) { client in
      try await unaryCalls(client)
      try await streams(client)
      try await endings(client)
      try await goAway(client, python)
    }
    let output = try await python.finish()
    #expect(output.status == 0, "\(output.text)")
  }

  private func unaryCalls(_ client: GRPCClient) async throws {
    for size in [0, 3, 300_000, 3_000_000] {
      let message = ByteBuffer(repeating: 9, count: size)
      let answer = try await client.unary("/test.Test/Echo", message)
      #expect(answer == message)
    }
    var metadata: Metadata = ["echo": "value"]
    metadata.add("echo-bin", binary: [0xab, 0, 0xff])
    let responses = try await client.serverStreaming(
      "/test.Test/Echo", ByteBuffer(string: "x"), metadata: metadata)
    while try await responses.nextBatch() != nil {}
    #expect(responses.initialMetadata?.first("echo") == "value")
    #expect(responses.trailingMetadata?.firstBinary("echo-bin") == [0xab, 0, 0xff])
    let left = try await client.unary("/test.Test/TimeLeft", ByteBuffer(), timeout: .seconds(100))
    let seconds = try #require(Double(String(buffer: left)))
    #expect(seconds > 80 && seconds <= 100.5)
  }

  private func streams(_ client: GRPCClient) async throws {
    let sum = try await client.clientStreaming("/test.Test/Sum") { writer in
      for size in 0..<100 { try await writer.send(ByteBuffer(repeating: 0, count: size)) }
    }
    #expect(String(buffer: sum) == "4950")
    var next = 0
    for try await message in try await client.serverStreaming("/test.Test/Count", ByteBuffer(string: "2000"))
    {
      #expect(String(buffer: message) == "\(next)")
      next += 1
    }
    #expect(next == 2_000)
    try await client.bidirectional("/test.Test/PingPong") { responses, writer in
      var iterator = responses.makeAsyncIterator()
      for number in 0..<50 {
        let message = ByteBuffer(repeating: 1, count: number * 5_003)
        try await writer.send(message)
        let answer = try await iterator.next()
        #expect(answer == message)
      }
      writer.finish()
      let end = try await iterator.next()
      #expect(end == nil)
    }
  }

  private func endings(_ client: GRPCClient) async throws {
    let text = "\t\nspecial ☺ 😈\r\n"
    let error = await #expect(throws: RPCError.self) {
      _ = try await client.unary("/test.Test/Fail", ByteBuffer(string: "10 \(text)"))
    }
    #expect(error?.code == .aborted)
    #expect(error?.message == text)
    #expect(error?.metadata.first("reason") == "asked")
    #expect(await status { _ = try await client.unary("/test.Test/Nope", ByteBuffer()) } == .unimplemented)
    let late = await status {
      _ = try await client.unary("/test.Test/Hang", ByteBuffer(), timeout: .milliseconds(100))
    }
    #expect(late == .deadlineExceeded)
    let task = Task { await status { _ = try await client.unary("/test.Test/Hang", ByteBuffer()) } }
    task.cancel()
    #expect(await task.value == .cancelled)
  }

  private func goAway(_ client: GRPCClient, _ python: PythonChild) async throws {
    try python.write("shutdown\n")
    #expect(try await python.readLine() == "stopped")
    #expect(await client.waitUntilClosed()?.code == .unavailable)
    let error = await #expect(throws: RPCError.self) {
      _ = try await client.unary("/test.Test/Echo", ByteBuffer())
    }
    #expect(error?.isRefusedBeforeProcessing == true)
  }
}

/// A Python script of `Tests/EndToEnd/transport` as a child process.
private final class PythonChild {
  struct NoPython: Error, CustomStringConvertible {
    var path: String
    var description: String {
      "no Python with grpcio at \(path): run scripts/bootstrap, or set ROTA_TEST_PYTHON to an interpreter that has it"
    }
  }

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()

  init(_ script: String, _ arguments: String...) throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let python =
      ProcessInfo.processInfo.environment["ROTA_TEST_PYTHON"]
      ?? root.appending(path: ".venv-test/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: python) else { throw NoPython(path: python) }
    process.executableURL = URL(filePath: python)
    process.arguments = [root.appending(path: "Tests/EndToEnd/transport/\(script)").path] + arguments
    process.standardInput = input
    process.standardOutput = output
    process.standardError = output
    try process.run()
  }

  deinit {
    if process.isRunning { process.terminate() }
  }

  func write(_ text: String) throws {
    try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
  }

  func readLine() async throws -> String {
    let handle = output.fileHandleForReading
    return try await onThread {
      var line: [UInt8] = []
      while let byte = try handle.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") { line.append(byte) }
      return String(decoding: line, as: UTF8.self)
    }
  }

  /// Closes the child's input, and waits for its end.
  func finish() async throws -> (status: Int32, text: String) {
    try input.fileHandleForWriting.close()
    let handle = output.fileHandleForReading
    let text = try await onThread { try String(decoding: handle.readToEnd() ?? Data(), as: UTF8.self) }
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  /// Blocking reads stay off the threads that Swift's tasks share.
  private func onThread<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedContinuation { continuation in
      Thread { continuation.resume(returning: Result { try body() }) }.start()
    }.get()
  }
}
