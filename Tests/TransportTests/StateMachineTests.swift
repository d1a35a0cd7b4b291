import NIOCore
import Testing

@testable import Transport

private func unexpected(_ what: Comment, location: SourceLocation = #_sourceLocation) {
  Issue.record(what, sourceLocation: location)
}

@Suite struct ServerStreamStateTests {
  private let message = ByteBuffer(string: "m")

  @Test func singleRequestStartsAtTheEnd() {
    var state = ServerStreamState(takesSingleRequest: true)
    guard case .none = state.receive([message]) else { return unexpected("started early") }
    guard case .start(let start) = state.receiveEnd(pendingBytes: 0) else { return unexpected("not started") }
    #expect(start.bytes == message)
    #expect(state.sendHeaders() == true)
    #expect(state.sendHeaders() == false)
    #expect(state.finish() == .trailers)
    #expect(state.finish() == .none)
  }

  @Test func cardinality() {
    var two = ServerStreamState(takesSingleRequest: true)
    _ = two.receive([message])
    guard case .fail(let error) = two.receive([message]) else { return unexpected("accepted two") }
    #expect(error.code == .unimplemented)
    var none = ServerStreamState(takesSingleRequest: true)
    guard case .fail(let error) = none.receiveEnd(pendingBytes: 0) else { return unexpected("accepted none") }
    #expect(error.code == .unimplemented)
  }

  @Test func truncatedRequest() {
    for single in [true, false] {
      var state = ServerStreamState(takesSingleRequest: single)
      guard case .fail(let error) = state.receiveEnd(pendingBytes: 3) else { return unexpected("accepted") }
      #expect(error.code == .internalError)
      #expect(state.finish() == .trailersOnly)
    }
  }

  @Test func lateMessagesAreDropped() {
    var state = ServerStreamState(takesSingleRequest: false)
    guard case .deliver = state.receive([message]) else { return unexpected("not delivered") }
    #expect(state.finish() == .trailersOnly)
    guard case .none = state.receive([message]) else { return unexpected("delivered late") }
    guard case .none = state.receiveEnd(pendingBytes: 0) else { return unexpected("ended late") }
  }

  @Test func nothingFollowsAReset() {
    var state = ServerStreamState(takesSingleRequest: false)
    state.reset()
    #expect(state.sendHeaders() == false)
    #expect(state.finish() == .none)
  }
}

@Suite struct ClientStreamStateTests {
  private let initial = [HeaderField(":status", "200"), HeaderField("content-type", "application/grpc")]
  private let message = ByteBuffer(string: "m")

  @Test func goodUnary() {
    var state = ClientStreamState(expectsSingleResponse: true)
    guard case .begin = state.receive(headers: initial, endStream: false, pendingBytes: 0) else {
      return unexpected("no begin")
    }
    guard case .deliver = state.receive([message]) else { return unexpected("no message") }
    let action = state.receive(headers: [HeaderField("grpc-status", "0")], endStream: true, pendingBytes: 0)
    guard case .finish(let status) = action else { return unexpected("no end") }
    #expect(status.code == .ok)
    #expect(state.end() == false)
  }

  @Test func trailersOnly() {
    var state = ClientStreamState(expectsSingleResponse: true)
    let fields = initial + [HeaderField("grpc-status", "5"), HeaderField("grpc-message", "not%20here")]
    guard case .finish(let status) = state.receive(headers: fields, endStream: true, pendingBytes: 0) else {
      return unexpected("no end")
    }
    #expect(status.code == .notFound)
    #expect(status.message == "not here")
  }

  @Test(arguments: [
    ("401", StatusCode.unauthenticated), ("403", .permissionDenied), ("404", .unimplemented),
    ("503", .unavailable),
    ("400", .internalError), ("418", .unknown),
  ])
  func httpErrors(http: String, code: StatusCode) {
    var state = ClientStreamState(expectsSingleResponse: true)
    let action = state.receive(headers: [HeaderField(":status", http)], endStream: true, pendingBytes: 0)
    guard case .fail(let error) = action else { return unexpected("no failure") }
    #expect(error.code == code)
  }

  @Test func informationalHeadersAreSkipped() {
    var state = ClientStreamState(expectsSingleResponse: true)
    let action = state.receive(headers: [HeaderField(":status", "103")], endStream: false, pendingBytes: 0)
    guard case .none = action else { return unexpected("not skipped") }
    #expect(state.phase == .waiting)
  }

  @Test func protocolErrors() {
    func opened(single: Bool = true) -> ClientStreamState {
      var state = ClientStreamState(expectsSingleResponse: single)
      _ = state.receive(headers: initial, endStream: false, pendingBytes: 0)
      return state
    }
    var cut = opened()
    guard case .fail(let error) = cut.receiveEnd(pendingBytes: 0) else { return unexpected("cut") }
    #expect(error.code == .unknown)
    var truncated = opened()
    guard case .fail(let error) = truncated.receiveEnd(pendingBytes: 2) else {
      return unexpected("truncated")
    }
    #expect(error.code == .internalError)
    var two = opened()
    guard case .fail(let error) = two.receive([message, message]) else { return unexpected("two") }
    #expect(error.code == .unimplemented)
    var none = opened()
    let ok = [HeaderField("grpc-status", "0")]
    guard case .finish(let status) = none.receive(headers: ok, endStream: true, pendingBytes: 0) else {
      return unexpected("none")
    }
    #expect(status.code == .unimplemented)
    var noStatus = opened()
    guard case .fail(let error) = noStatus.receive(headers: [], endStream: true, pendingBytes: 0) else {
      return unexpected("no status")
    }
    #expect(error.code == .unknown)
  }

  @Test func resetCodes() {
    #expect(RPCError.streamReset(code: 7).isRefusedBeforeProcessing)
    #expect(RPCError.streamReset(code: 8).code == .cancelled)
    #expect(RPCError.streamReset(code: 11).code == .resourceExhausted)
    #expect(RPCError.streamReset(code: 2).code == .internalError)
    #expect(!RPCError.streamReset(code: 2).isRefusedBeforeProcessing)
  }
}

@Suite struct ConnectionPolicyTests {
  private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

  @Test func deadlinesComeInOrder() {
    var queue = DeadlineQueue()
    let order = (0..<200).map { Int32(($0 * 73) % 200) }
    for id in order { queue.insert(id, deadline: start + .milliseconds(Int64(id))) }
    #expect(queue.earliest == start)
    var popped: [Int32] = []
    while let id = queue.popExpired(now: start + .milliseconds(99)) { popped.append(id) }
    #expect(popped == Array(0..<100))
    queue.sweep(liveCount: 1) { $0 == 150 }
    #expect(queue.count == 100 || queue.count == 1)
    for id in 200..<400 { queue.insert(Int32(id), deadline: start + .milliseconds(Int64(id))) }
    queue.sweep(liveCount: 1) { $0 == 150 }
    #expect(queue.count == 1)
    #expect(queue.popExpired(now: start + .seconds(9)) == 150)
  }

  @Test func keepaliveNoticesSilence() {
    var keepalive = Keepalive(interval: .seconds(5), timeout: .seconds(4), now: start)
    #expect(keepalive.nextCheck == start + .seconds(5))
    #expect(keepalive.check(now: start + .seconds(4), isActive: true) == .none)
    keepalive.frameReceived(now: start + .seconds(4))
    #expect(keepalive.check(now: start + .seconds(5), isActive: true) == .none)
    #expect(keepalive.check(now: start + .seconds(9), isActive: true) == .sendPing)
    #expect(keepalive.nextCheck == start + .seconds(13))
    #expect(keepalive.check(now: start + .seconds(12), isActive: true) == .none)
    #expect(keepalive.check(now: start + .seconds(13), isActive: true) == .giveUp)
  }

  @Test func keepaliveIsQuietWhenNobodyWaits() {
    var keepalive = Keepalive(interval: .seconds(5), timeout: .seconds(4), now: start)
    #expect(keepalive.check(now: start + .seconds(5), isActive: false) == .none)
    #expect(keepalive.nextCheck == start + .seconds(10))
  }

  @Test func floodGuardRefills() {
    var guardian = FloodGuard(burst: 10, perSecond: 5, now: start)
    #expect(guardian.spend(10, now: start) == true)
    #expect(guardian.spend(0, now: start) == true)
    #expect(guardian.spend(5, now: start + .seconds(1)) == true)
    #expect(guardian.spend(1, now: start + .seconds(1)) == false)
  }

  @Test func ledgerHoldsTheConnectionWindowPastItsLimit() {
    var ledger = FlowLedger(limit: 100)
    #expect(ledger.received(80) == 80)
    #expect(ledger.received(50) == 20)
    #expect(ledger.debt == 30)
    #expect(ledger.released(10) == 10)
    #expect(ledger.released(120) == 20)
    #expect(ledger.debt == 0)
    #expect(ledger.buffered == 0)
  }

  /// Whatever comes and goes: all credit is given back in the end, and never more than was received.
  @Test func ledgerConservesCredit() {
    var generator = SystemRandomNumberGenerator()
    var ledger = FlowLedger(limit: 1_000)
    var received = 0
    var released = 0
    var paid = 0
    for _ in 0..<10_000 {
      if Bool.random(using: &generator) {
        let bytes = Int.random(in: 1...300, using: &generator)
        received += bytes
        paid += ledger.received(bytes)
      } else if received > released {
        let bytes = Int.random(in: 1...(received - released), using: &generator)
        released += bytes
        paid += ledger.released(bytes)
      }
      #expect(paid <= received)
      #expect(ledger.debt == received - paid)
      #expect(ledger.debt == max(0, received - released - 1_000) || ledger.debt <= received - released)
    }
    paid += ledger.released(received - released)
    #expect(paid == received)
  }
}
