import Curl
import SchedulerCore
import Synchronization

/// Makes the requests of HTTP tasks.
final class HTTPRunner: Sendable {
  private let engine: CurlEngine
  private let root: String
  private let isTrusted: @Sendable () -> Bool
  private let deliver: @Sendable ([TaskEvent]) -> Void
  /// The requests in progress. Each is a task of its own so that one of them can be cancelled; `shutdown()`
  /// cancels and awaits all, so none outlives the agent.
  private let running = Mutex<[AttemptRef: Task<Void, Never>]>([:])

  /// - Parameters:
  ///   - root: the folder of all attempts.
  ///   - isTrusted: asked right before a request goes out.
  init(
    engine: CurlEngine, root: String, isTrusted: @escaping @Sendable () -> Bool,
    deliver: @escaping @Sendable ([TaskEvent]) -> Void
  ) {
    self.engine = engine
    self.root = root
    self.isTrusted = isTrusted
    self.deliver = deliver
  }

  /// Starts a request; its end is delivered.
  func start(_ assignment: Assignment, _ request: HTTPTask) {
    // Under the lock, so that the task finds itself when it ends at once.
    running.withLock { running in
      running[assignment.ref] = Task {
        let end = await self.perform(assignment, request)
        self.running.withLock { $0[assignment.ref] = nil }
        self.deliver([.ended(assignment.ref, end)])
      }
    }
  }

  /// Aborts a request: its end is delivered as `cancelled`, unless it came before.
  func kill(_ ref: AttemptRef) { running.withLock { $0[ref] }?.cancel() }

  /// Aborts all and waits for them.
  func shutdown() async {
    let tasks = running.withLock { Array($0.values) }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

  private func perform(_ assignment: Assignment, _ task: HTTPTask) async -> AttemptEnd {
    let folder = AttemptFolder(ref: assignment.ref, root: root)
    do {
      try folder?.create()
    } catch {
      return AttemptEnd(endedAt: Clocks.wall(), reason: .startFailed, error: error.message)
    }
    guard isTrusted() else {
      let error = "the agent's lease could not be trusted"
      return AttemptEnd(endedAt: Clocks.wall(), reason: .fenced, error: error)
    }
    deliver([.started(assignment.ref, Clocks.wall())])
    let timeout = assignment.spec.timeoutMillis.map { max(1, min($0, AgentLimits.httpMillisUnlimited)) }
    let request = HTTPRequest(
      method: task.method, url: task.url, headers: headers(of: task, assignment),
      body: Array(task.body.utf8), timeout: .milliseconds(timeout ?? AgentLimits.httpMillisUnlimited),
      maxResponseBytes: AgentLimits.httpResponseBytes)
    do {
      let response = try await engine.perform(request)
      return end(response, folder)
    } catch {
      return end(error, assignment, folder)
    }
  }

  /// The user's headers, and those that tell of the run. The latter win: a job of before their names were
  /// reserved may have them.
  private func headers(of task: HTTPTask, _ assignment: Assignment) -> [(String, String)] {
    let users = task.headers.filter { !$0.key.lowercased().hasPrefix(HTTPTask.reservedHeaderPrefix) }
    return users.map { ($0.key, $0.value) } + RunFacts(assignment).headers
  }

  private func end(_ response: HTTPResponse, _ folder: AttemptFolder?) -> AttemptEnd {
    let log = Array("HTTP \(response.status)\n\n".utf8) + response.body.prefix(AgentLimits.httpLoggedBytes)
    // The run's result does not depend on its log.
    if let folder { try? Files.write(folder.log(.stdout), log) }
    let succeeded = (200..<300).contains(response.status)
    return AttemptEnd(
      endedAt: Clocks.wall(), reason: .exited, exitCode: succeeded ? 0 : 1, httpStatus: response.status,
      error: succeeded ? nil : "the answer was HTTP \(response.status)",
      outputTail: Array(response.body.prefix(RunLimits.outputTailBytes)),
      retryAfterMillis: succeeded ? nil : Self.retryAfter(response))
  }

  /// What the server asks for with 429 or 503 (RFC 9110 section 10.2.3), in seconds; a date is not understood.
  private static func retryAfter(_ response: HTTPResponse) -> Int64? {
    guard response.status == 429 || response.status == 503,
      let seconds = response.header("retry-after").flatMap({ Int64($0) }), seconds >= 0
    else { return nil }
    return min(seconds, SpecLimits.retryAfterMillis / 1_000) * 1_000
  }

  private func end(_ error: CurlError, _ assignment: Assignment, _ folder: AttemptFolder?) -> AttemptEnd {
    if let folder { try? Files.write(folder.log(.stderr), Array("\(error)\n".utf8)) }
    switch error.code {
    case .cancelled, .shutdown: return AttemptEnd(endedAt: Clocks.wall(), reason: .cancelled)
    case .timeout where assignment.spec.timeoutMillis != nil:
      return AttemptEnd(endedAt: Clocks.wall(), reason: .timeout, error: error.description)
    case .invalidRequest:
      return AttemptEnd(endedAt: Clocks.wall(), reason: .startFailed, error: error.description)
    default:
      return AttemptEnd(endedAt: Clocks.wall(), reason: .exited, exitCode: 1, error: error.description)
    }
  }
}
