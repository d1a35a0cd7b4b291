import Foundation
import Glibc
import SchedulerCore
import Testing

@testable import Agent

/// A folder of its own for a test, removed with it.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = "/tmp/rota-agent-tests-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    try Files.makeFolders(path)
  }

  deinit { FolderTree.delete(path) }
}

/// The real `rota-shim`, built once from its sources.
enum Shim {
  static let path: Result<String, any Error> = Result {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let folder = root.appending(path: "Sources/rota-shim").path
    let sources = Files.names(in: folder).filter { $0.hasSuffix(".c") }.map { folder + "/" + $0 }
    // One file for each state of the sources: runs of other checkouts must not exchange it under this one's tests.
    let program = "/tmp/rota-shim-for-tests-\(getuid())-\(try digest(of: folder))"
    if access(program, X_OK) == 0 { return program }
    let fresh = program + ".\(getpid())"
    let compiler = Process()
    compiler.executableURL = URL(filePath: "/usr/bin/env")
    compiler.arguments = ["clang", "-std=gnu11", "-O2", "-o", fresh] + sources
    try compiler.run()
    compiler.waitUntilExit()
    guard compiler.terminationStatus == 0 else { throw AgentError(.system, "rota-shim does not compile") }
    guard rename(fresh, program) == 0 else { throw Files.failure("rename to", program) }
    return program
  }

  private static func digest(of folder: String) throws -> String {
    let sources = try Files.names(in: folder).sorted().filter { $0.hasSuffix(".c") || $0.hasSuffix(".h") }
      .map { try Files.read(folder + "/" + $0) ?? [] }
    return String(CheckpointMark(of: Array(sources.joined())).digest.prefix(16))
  }
}

func makeRef(_ run: String, attempt: Int = 1, incarnation: Int64 = 7) -> AttemptRef {
  AttemptRef(
    run: RunKey(job: JobKey(namespace: "default", jobID: "job"), runID: run), attempt: attempt, fence: 42,
    incarnation: incarnation)
}

func makeWork(
  _ run: String, _ task: TaskSpec, incarnation: Int64 = 7, _ change: (inout JobSpec) -> Void = { _ in }
) -> Assignment {
  var spec = JobSpec(task: task)
  change(&spec)
  return Assignment(
    ref: makeRef(run, incarnation: incarnation), spec: spec, scheduledTime: Timestamp(milliseconds: 1_000),
    retryCount: 2)
}

/// A fixed set of values from other threads, in order.
final class Inbox<Value: Sendable>: Sendable {
  private let stream: AsyncStream<Value>
  private let continuation: AsyncStream<Value>.Continuation

  init() { (stream, continuation) = AsyncStream.makeStream(of: Value.self) }

  func add(_ value: Value) { continuation.yield(value) }

  /// Waits for the first value that fits.
  func next<Wanted: Sendable>(_ fits: (Value) -> Wanted?) async throws -> Wanted {
    for await value in stream { if let wanted = fits(value) { return wanted } }
    throw AgentError(.system, "the stream of the test ended")
  }
}
