import SchedulerCore
import Synchronization

/// One agent's log stream: queries go out, replies come back to who asked.
final class LogChannel: Sendable {
  private struct State {
    var waiting: [UInt64: CheckedContinuation<LogReply, any Error>] = [:]
    var nextRequest: UInt64 = 1
    var isClosed = false
  }

  let agentID: String
  let outbox = Outbox<LogQuery>(limit: ServerLimits.logQueriesInFlight)
  private let state = Mutex(State())

  init(agentID: String) { self.agentID = agentID }

  /// Asks the agent, and waits for its reply for at most `ServerLimits.logQueryPatience`.
  func ask(_ ref: AttemptRef, _ stream: LogStream, offset: Int64, limit: Int) async throws -> LogReply {
    let request = state.withLock { state in
      defer { state.nextRequest += 1 }
      return state.nextRequest
    }
    let timeout = Task {
      try await Task.sleep(for: ServerLimits.logQueryPatience)
      fail(request, ServiceError.unavailable("agent '\(agentID)' has not answered in time"))
    }
    defer { timeout.cancel() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let refusal = state.withLock { state -> (any Error)? in
          if Task.isCancelled { return CancellationError() }
          if state.isClosed { return ServiceError.unavailable("agent '\(agentID)' is not connected") }
          guard state.waiting.count < ServerLimits.logQueriesInFlight else {
            return ServiceError.overloaded("too many log queries to agent '\(agentID)'; try again later")
          }
          state.waiting[request] = continuation
          return nil
        }
        if let refusal {
          continuation.resume(throwing: refusal)
        } else {
          outbox.send(LogQuery(request: request, ref: ref, stream: stream, offset: offset, limit: limit))
        }
      }
    } onCancel: {
      fail(request, CancellationError())
    }
  }

  /// Hands a reply to who waits for it; a late one is dropped.
  func received(_ reply: LogReply) {
    state.withLock { $0.waiting.removeValue(forKey: reply.request) }?.resume(returning: reply)
  }

  private func fail(_ request: UInt64, _ error: any Error) {
    state.withLock { $0.waiting.removeValue(forKey: request) }?.resume(throwing: error)
  }

  /// Ends the channel; who waits is told.
  func close() {
    let waiting = state.withLock { state in
      state.isClosed = true
      defer { state.waiting = [:] }
      return state.waiting.values
    }
    for continuation in waiting {
      continuation.resume(throwing: ServiceError.unavailable("agent '\(agentID)' has disconnected"))
    }
    outbox.close(because: "closed")
  }
}

/// The log streams of the connected agents.
final class LogRelay: Sendable {
  private let channels = Mutex<[String: LogChannel]>([:])

  /// Takes an agent's new stream; an older one of the same agent ends.
  func open(_ agentID: String) -> LogChannel {
    let channel = LogChannel(agentID: agentID)
    channels.withLock { $0.updateValue(channel, forKey: agentID) }?.close()
    return channel
  }

  /// A stream has ended.
  func close(_ channel: LogChannel) {
    channels.withLock { if $0[channel.agentID] === channel { $0[channel.agentID] = nil } }
    channel.close()
  }

  /// An agent's stream, if it is connected here.
  func channel(of agentID: String) -> LogChannel? { channels.withLock { $0[agentID] } }
}
