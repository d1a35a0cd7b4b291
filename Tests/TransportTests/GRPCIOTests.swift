import Foundation
import NIOCore
import Testing

@testable import Transport

/// Hand-made frames against our server.
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
