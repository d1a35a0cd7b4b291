import Foundation
import NIOCore
import Testing

@testable import Transport

/// Rates over loopback, printed. No bounds: tests run unoptimized, in parallel and on loaded machines.
@Suite(.timeLimit(.minutes(2))) struct ThroughputTests {
  @Test func unaryCalls() async throws {
    try await withServerAndClient { _, client in
      let message = ByteBuffer(repeating: 1, count: 200)
      let perTask = 2_000
      try await measure("unary calls", count: 32 * perTask / scale) {
        try await withThrowingTaskGroup { group in
          for _ in 0..<32 {
            group.addTask {
              for _ in 0..<perTask / scale { _ = try await client.unary("/test.Test/Echo", message) }
            }
          }
          try await group.waitForAll()
        }
      }
    }
  }

  @Test func streamedMessages() async throws {
    try await withServerAndClient { _, client in
      let message = ByteBuffer(repeating: 1, count: 100)
      let total = 500_000 / scale
      try await measure("streamed messages", count: total) {
        let answer = try await client.clientStreaming("/test.Test/Sum") { writer in
          for _ in 0..<total { try await writer.send(message) }
        }
        #expect(String(buffer: answer) == "\(total * 100)")
      }
    }
  }

  /// `ROTA_THROUGHPUT=1` makes the runs long enough to be worth quoting.
  private var scale: Int { ProcessInfo.processInfo.environment["ROTA_THROUGHPUT"] == nil ? 50 : 1 }

  private func measure(_ what: String, count: Int, _ body: () async throws -> Void) async throws {
    let cpu = clock()
    let begin = ContinuousClock.now
    try await body()
    let elapsed = (ContinuousClock.now - begin) / .seconds(1)
    let cores = Double(clock() - cpu) / Double(CLOCKS_PER_SEC) / elapsed
    print(
      "\(what): \(Int(Double(count) / elapsed))/s with \(String(format: "%.2f", cores)) cores, both sides together"
    )
  }
}
