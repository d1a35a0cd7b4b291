import NIOCore
import Synchronization

/// Gives a call another connection when the one that it had certainly did not begin to process it.
protocol CallHome: AnyObject, Sendable {
  /// - Parameter mailbox: Of the connection that takes no more calls; nil when only this call was refused.
  func takeBack(_ call: Call, from mailbox: Mailbox?)
}

extension Call {
  /// What was sent of a call that may have to be made again ("transparent retry", gRFC A6): kept until the server's first
  /// header block, or until it is too much.
  struct Replay {
    var messages = MessageBatch()
    var byteCount = 0
    var endsStream = false
    /// How often the call was taken back.
    var retries = 0
    /// How often a server refused it, after it had been sent.
    var refusals = 0
  }

  /// A call that was never sent may go to connection after connection, but not for ever.
  private static let maxRetries = 5
  /// A call that a server saw, and refused, is made again once (gRFC A6).
  private static let maxRefusals = 1

  /// From here on the call may be made again, by its home.
  func settle(at home: any CallHome) {
    state.withLock { state in
      state.home = home
      state.replay = Replay()
    }
  }

  /// Makes a client's call the business of a connection, which is kept alive until the call has ended.
  func adopt(by mailbox: Mailbox, keeping connection: (any AnyObject & Sendable)?) {
    let isWanted = state.withLock { state in
      guard state.inboundResult == nil else { return false }
      state.mailbox = mailbox
      state.connection = connection
      return true
    }
    if isWanted { post() }
  }

  /// Hands a refused call back to its home, as if nothing of it had been sent. False: the call has to end.
  func returnHome() -> Bool {
    let wasSent = streamID.load(ordering: .relaxed) != 0
    let left = state.withLock { state -> Left? in
      guard state.inboundResult == nil, let home = state.home, var replay = state.replay,
        replay.retries < Call.maxRetries
      else { return nil }
      if wasSent { replay.refusals += 1 }
      guard replay.refusals <= Call.maxRefusals else { return nil }
      replay.retries += 1
      var messages = replay.messages
      messages.append(contentsOf: state.work.messages)
      state.work.messages = messages
      state.work.endsStream = state.work.endsStream || replay.endsStream
      state.work.credit = 0
      state.unsentBytes = messages.wireBytes
      state.replay = Replay(retries: replay.retries, refusals: replay.refusals)
      // Nobody posts a call without a connection: whoever adopts it does.
      state.isScheduled = true
      defer {
        state.mailbox = nil
        state.connection = nil
      }
      return Left(home: home, mailbox: state.mailbox, connection: state.connection)
    }
    guard let left else { return false }
    streamID.store(0, ordering: .relaxed)
    left.home.takeBack(self, from: wasSent ? nil : left.mailbox)
    return true
  }

  /// What a call leaves behind; the connection is let go of outside of the lock, because that may close it.
  private struct Left {
    let home: any CallHome
    let mailbox: Mailbox?
    let connection: (any AnyObject & Sendable)?
  }
}

extension Call.State {
  /// Remembers the work that a connection takes, while the call may still be made again.
  mutating func record(_ work: Call.Work, limit: Int) {
    guard replay != nil, !work.messages.isEmpty || work.endsStream else { return }
    replay?.messages.append(contentsOf: work.messages)
    replay?.byteCount += work.messages.reduce(0) { $0 + $1.bytes.readableBytes }
    replay?.endsStream = work.endsStream
    if let replay, replay.byteCount > limit { self.replay = nil }
  }
}
