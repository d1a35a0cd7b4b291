import Proto
import SchedulerCore
import Testing

@Suite struct WireTests {
  @Test(arguments: MessageKind.all) func everyMessageComesBackAsItWas(_ kind: MessageKind) throws {
    var samples = Samples(seed: 1)
    for _ in 0..<300 { try kind.roundTrip(&samples) }
  }

  @Test(arguments: MessageKind.all) func truncatedBytesAreDecodedOrRefused(_ kind: MessageKind) {
    var samples = Samples(seed: 2)
    for _ in 0..<10 {
      let bytes = kind.sample(&samples)
      for end in 0..<bytes.count { try? kind.decode(Array(bytes[..<end])) }
    }
  }

  @Test(arguments: MessageKind.all) func damagedBytesAreDecodedOrRefused(_ kind: MessageKind) {
    var samples = Samples(seed: 3)
    for _ in 0..<400 {
      let bytes = kind.sample(&samples)
      for _ in 0..<10 where !bytes.isEmpty {
        var damaged = bytes
        for _ in 0...samples.count(3) {
          damaged[samples.count(damaged.count - 1)] = UInt8.random(in: 0...255, using: &samples.random)
        }
        try? kind.decode(damaged)
      }
    }
  }

  @Test func randomBytesAreDecodedOrRefused() {
    var samples = Samples(seed: 4)
    for _ in 0..<100_000 {
      let kind = samples.pick(MessageKind.all)
      try? kind.decode(samples.bytes())
    }
  }

  @Test func batchKeepsTheReadableRequestsOfABatch() throws {
    var samples = Samples(seed: 5)
    let good = samples.submit()
    var batch = SubmitBatchRequest([good, good])
    batch.requests[0] = .failure(try #require(error { _ = try SubmitRequest(wire: [UInt8]()) }))
    let decoded = try SubmitBatchRequest(wire: batch.wire())
    #expect(decoded.requests.count == 2)
    #expect(throws: ProtoError.self) { try decoded.requests[0].get() }
    #expect(try decoded.requests[1].get() == good)
  }

  @Test func thousandUpdatesAndAssignmentsFitInOneMessage() throws {
    var samples = Samples(seed: 6)
    let assignments = (0..<1_000).map { _ in samples.assignment() }
    #expect(try ServerMessage(wire: ServerMessage.assign(assignments).wire()) == .assign(assignments))
  }
}

@Suite struct RefusalTests {
  @Test func oversizedMessageIsRefusedUnread() {
    let failure = error { _ = try LogReply(wire: [UInt8](repeating: 0, count: ProtoLimits.messageBytes + 1)) }
    #expect(failure?.code == .tooLarge)
  }

  @Test func messageThatUnpacksToTooMuchIsRefused() {
    // Two million empty attempts, two bytes each: AgentMessage.hello (field 1) with Hello.attempts (field 4).
    let attempts = [[UInt8]](repeating: [0x22, 0x00], count: 2_000_000).flatMap { $0 }
    let length = attempts.count
    let varint = [
      UInt8(length & 0x7F | 0x80), UInt8(length >> 7 & 0x7F | 0x80), UInt8(length >> 14 & 0x7F | 0x80),
      UInt8(length >> 21),
    ]
    let failure = error { _ = try AgentMessage(wire: [0x0A] + varint + attempts) }
    #expect(failure?.code == .malformed)
  }

  @Test func invalidTextNamesItsField() {
    // SubmitRequest.namespace (field 1), one byte that is no UTF-8.
    let failure = error { _ = try SubmitRequest(wire: [0x0A, 0x01, 0xFF]) }
    #expect(failure?.code == .invalid)
    #expect(failure?.description == "namespace: is not valid UTF-8")
  }

  @Test func missingTaskNamesItsField() {
    // SubmitRequest.spec (field 4), empty.
    let failure = error { _ = try SubmitRequest(wire: [0x22, 0x00]) }
    #expect(failure?.code == .missing)
    #expect(failure?.field == "spec.task")
  }

  @Test func unknownEnumNamesItsField() {
    // ListJobsRequest.status (field 2) = 99.
    let failure = error { _ = try ListJobsRequest(wire: [0x10, 99]) }
    #expect(failure?.description == "status: is 99, which is not a known value")
  }

  @Test func durationOutOfRangeNamesItsPath() {
    // spec { noop {} timeout { nanos: 2_000_000_000 } }
    let timeout: [UInt8] = [0xB2, 0x01, 0x06, 0x10, 0x80, 0xA8, 0xD6, 0xB9, 0x07]
    let spec: [UInt8] = [0x6A, 0x00] + timeout
    let failure = error { _ = try SubmitRequest(wire: [0x22, UInt8(spec.count)] + spec) }
    #expect(failure?.field == "spec.timeout")
  }

  @Test func absentFieldsMeanTheDefaults() throws {
    // spec { noop {} }
    let request = try SubmitRequest(wire: [0x22, 0x02, 0x6A, 0x00])
    #expect(request.namespace == JobSpec.Defaults.namespace)
    #expect(request.jobID == nil)
    #expect(request.spec == JobSpec(task: .noop))
  }

  @Test func shortDurationDoesNotBecomeNone() throws {
    // spec { noop {} timeout { nanos: 1 } }
    let request = try SubmitRequest(wire: [0x22, 0x07, 0x6A, 0x00, 0xB2, 0x01, 0x02, 0x10, 0x01])
    #expect(request.spec.timeoutMillis == 1)
  }

  @Test func exitWithoutCodeIsNotSuccess() throws {
    var samples = Samples(seed: 7)
    let end = AttemptEnd(endedAt: samples.time(), reason: .exited)
    let update = AttemptUpdate(ref: samples.ref(), end: end)
    let message = AgentMessage.status(AgentStatus(sequence: 1, updates: [update]))
    #expect(try AgentMessage(wire: message.wire()) == message)
  }
}

/// The `ProtoError` that `body` throws.
func error(_ body: () throws -> Void) -> ProtoError? {
  do {
    try body()
    return nil
  } catch {
    return error as? ProtoError
  }
}
