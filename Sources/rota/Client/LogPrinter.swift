import Glibc
import Proto
import SchedulerCore
import Transport

/// Prints a run's output: what it wrote to its standard output to ours, and likewise for standard error.
struct LogPrinter {
  let client: APIClient

  private struct Source: Hashable {
    let attempt: Int
    let stream: LogStream
  }

  /// Shows all that was asked for. When a server fails in the middle, another one goes on, and what was
  /// shown is not shown again.
  func show(_ request: LogsRequest) async throws {
    var shown: [Source: Int64] = [:]
    let patience = ClientLimits.patience
    var deadline = ContinuousClock.now + patience
    while true {
      do {
        for try await message in try await client.stream("/rota.v1.Runs/Logs", request) {
          print(try APIClient.decode(message), &shown)
          deadline = .now + patience
        }
        return
      } catch let error as RPCError {
        guard error.code == .unavailable, .now < deadline else {
          throw CommandFailure(APIClient.sentence(error))
        }
        client.moveOn()
        try await Task.sleep(for: ClientLimits.pause.upperBound)
      }
    }
  }

  private func print(_ chunk: LogChunk, _ shown: inout [Source: Int64]) {
    let source = Source(attempt: chunk.attempt, stream: chunk.stream)
    let end = chunk.offset + Int64(chunk.data.count)
    let known = shown[source] ?? chunk.offset
    guard end > known else { return }
    let fresh = known > chunk.offset ? Array(chunk.data.dropFirst(Int(known - chunk.offset))) : chunk.data
    shown[source] = end
    Terminal.write(fresh, to: chunk.stream == .stdout ? STDOUT_FILENO : STDERR_FILENO)
  }
}
