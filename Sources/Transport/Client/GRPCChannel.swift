import Logging
import NIOCore
import Synchronization

/// Calls to one address over one connection at a time, which is made when a call needs it and replaced when the server
/// says GOAWAY or it is lost.
///
/// A call that the server certainly did not begin to process (it was still here, the server refused its stream, or its stream
/// is above GOAWAY's last one) is made again, with all that it had sent, and nobody notices: "transparent retry" of
/// gRFC A6. Calls that the server may have begun finish on the old connection, or fail with it. So no message is lost without
/// an error, and none is processed twice.
public final class GRPCChannel: GRPCCaller {
  private struct Waiting {
    let call: Call
    /// Ends the call when its deadline passes before there is a connection.
    let deadline: Scheduled<Void>?
  }

  private struct State {
    var client: GRPCClient?
    /// Makes a connection, for all calls that wait.
    var dial: Task<Void, Never>?
    var waiting: [Waiting] = []
    var isClosed = false

    mutating func takeWaiting() -> [Waiting] {
      defer { waiting = [] }
      return waiting
    }
  }

  /// Bounds of each connection; `maxConcurrentStreams` is also how many calls may wait for one.
  public var limits: TransportLimits { configuration.limits }

  private let configuration: GRPCClientConfiguration
  private let group: any EventLoopGroup
  private let logger: Logger
  private let state = Mutex(State())

  /// A channel; it connects with the first call.
  public init(_ configuration: GRPCClientConfiguration, group: any EventLoopGroup, logger: Logger) {
    self.configuration = configuration
    self.group = group
    self.logger = logger
  }

  /// Makes a call, on the connection that there is or on the next one.
  ///
  /// When no connection can be made, the call ends with UNAVAILABLE; the next call tries again.
  public func start(_ call: PreparedCall) {
    call.call.settle(at: self)
    place(call.call)
  }

  /// Takes no new calls, ends those that wait for a connection, lets those in flight finish for up to `deadline`, then
  /// closes. Calls that finish on a connection which the server is about to close are left to it.
  public func close(graceful deadline: Duration = .seconds(5)) async {
    let (client, waiting) = state.withLock { state in
      state.isClosed = true
      state.dial?.cancel()
      defer { state.client = nil }
      return (state.client, state.takeWaiting())
    }
    end(waiting, GRPCChannel.closed)
    await client?.close(graceful: deadline)
  }

  private static let closed = RPCError(.cancelled, "the channel was closed by its owner")

  // MARK: Placing calls

  private enum Placement {
    case on(GRPCClient)
    case waits
    case refused(RPCError)
  }

  private func place(_ call: Call) {
    let placement = state.withLock { state -> Placement in
      guard !state.isClosed else { return .refused(GRPCChannel.closed) }
      if let client = state.client, client.isConnected { return .on(client) }
      guard state.waiting.count < limits.maxConcurrentStreams else {
        let message = "\(state.waiting.count) calls wait for a connection, which is the limit"
        return .refused(RPCError(.resourceExhausted, message))
      }
      state.waiting.append(Waiting(call: call, deadline: scheduleDeadline(of: call)))
      if state.dial == nil { state.dial = Task { await self.connect() } }
      return .waits
    }
    switch placement {
    case .on(let client): client.adopt(call)
    case .waits: break
    case .refused(let error): call.close(error, isFinal: true)
    }
  }

  private func scheduleDeadline(of call: Call) -> Scheduled<Void>? {
    guard let deadline = call.request?.deadline else { return nil }
    return group.next().scheduleTask(deadline: deadline) {
      call.close(
        RPCError(.deadlineExceeded, "the deadline passed before there was a connection"), isFinal: true)
    }
  }

  private func connect() async {
    let result: Result<GRPCClient, RPCError>
    do {
      result = .success(try await GRPCClient.connect(configuration, group: group, logger: logger))
    } catch let error as RPCError {
      result = .failure(error)
    } catch {
      result = .failure(RPCError(.unavailable, "cannot connect: \(error)"))
    }
    let (waiting, old) = state.withLock { state in
      state.dial = nil
      let old = state.client
      if case .success(let client) = result, !state.isClosed { state.client = client }
      return (state.takeWaiting(), old)
    }
    // Not under the lock: without calls, this closes it.
    withExtendedLifetime(old) {}
    switch result {
    case .success(let client):
      for each in waiting {
        each.deadline?.cancel()
        client.adopt(each.call)
      }
    case .failure(let error):
      end(waiting, error)
    }
  }

  private func end(_ waiting: [Waiting], _ error: RPCError) {
    for each in waiting {
      each.deadline?.cancel()
      each.call.close(error, isFinal: true)
    }
  }
}

extension GRPCChannel: CallHome {
  func takeBack(_ call: Call, from mailbox: Mailbox?) {
    logger.debug("call is made again", metadata: ["method": "\(call.request?.path ?? "")"])
    if let mailbox {
      let old = state.withLock { state -> GRPCClient? in
        guard let client = state.client, client.isReached(through: mailbox) else { return nil }
        state.client = nil
        return client
      }
      // Not under the lock: without calls, this closes it.
      withExtendedLifetime(old) {}
    }
    place(call)
  }
}
