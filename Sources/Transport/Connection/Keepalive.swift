import NIOCore

/// Notices dead peers: after `interval` without a complete frame it asks for a PING, and after `timeout` more without
/// a frame it gives up (gRFC A8). Pure.
///
/// Frames count, not bytes: a peer that trickles bytes of one frame for ever is as dead as a silent one.
struct Keepalive {
  enum Action: Equatable { case none, sendPing, giveUp }

  let interval: TimeAmount
  let timeout: TimeAmount
  private var lastFrame: NIODeadline
  private var pingSent: NIODeadline?

  init(interval: TimeAmount, timeout: TimeAmount, now: NIODeadline) {
    self.interval = interval
    self.timeout = timeout
    lastFrame = now
  }

  mutating func frameReceived(now: NIODeadline) {
    lastFrame = now
    pingSent = nil
  }

  /// When `check` has something to do at the earliest.
  var nextCheck: NIODeadline {
    if let pingSent { pingSent + timeout } else { lastFrame + interval }
  }

  /// - Parameter isActive: Whether silence matters now; a client without calls need not ping.
  mutating func check(now: NIODeadline, isActive: Bool) -> Action {
    if let pingSent {
      return now >= pingSent + timeout ? .giveUp : .none
    }
    guard now >= lastFrame + interval else { return .none }
    guard isActive else {
      lastFrame = now
      return .none
    }
    pingSent = now
    return .sendPing
  }
}
