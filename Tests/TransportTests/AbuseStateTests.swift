import Testing

@testable import Transport

/// The state that tells an abusive peer from an honest one.
@Suite struct AbuseStateTests {
  @Test func lateHeadersAfterOurResetAreARace() {
    var ended = EndedStreams()
    func headers(_ stream: Int32, isLive: Bool = false) -> EndedStreams.Verdict {
      ended.headersReceived(on: stream, isLive: isLive)
    }
    #expect(headers(1) == .proceed)
    #expect(headers(1, isLive: true) == .proceed)
    #expect(headers(1) == .streamClosed)
    ended.resetByUs(1)
    #expect(headers(1) == .proceed)
    // Only the latest resets are remembered.
    for stream in 0..<EndedStreams.rememberedResets { ended.resetByUs(Int32(2 * stream + 3)) }
    #expect(headers(1) == .streamClosed)
  }

  @Test func passedOverNumbersMustNotBeOpened() {
    var ended = EndedStreams()
    func headers(_ stream: Int32, isLive: Bool = false) -> EndedStreams.Verdict {
      ended.headersReceived(on: stream, isLive: isLive)
    }
    #expect(headers(5) == .proceed)
    #expect(headers(3) == .neverOpened)
    #expect(headers(1) == .neverOpened)
    #expect(headers(5) == .streamClosed)
    // Consecutive numbers leave no gap; of many gaps the latest are remembered.
    for gap in 1...EndedStreams.rememberedGaps {
      #expect(headers(Int32(5 + 10 * gap)) == .proceed)
      #expect(headers(Int32(7 + 10 * gap)) == .proceed)
    }
    #expect(headers(3) == .streamClosed)
    #expect(headers(77) == .streamClosed)
    #expect(headers(79) == .neverOpened)
  }

  @Test func noProgressForTheWholeTimeIsAStall() {
    var progress = SendProgress()
    func isStalled(hasMore: Bool = true) -> Bool {
      progress.check(hasMore: hasMore)
      return progress.isStalled()
    }
    for _ in 0..<SendProgress.checksPerTimeout { #expect(!isStalled()) }
    #expect(isStalled())
    progress.sent(SendProgress.minimumBytes)
    #expect(!isStalled())
  }

  @Test func anOctetAtATimeIsAStall() {
    var progress = SendProgress()
    func isStalled(hasMore: Bool = true) -> Bool {
      progress.check(hasMore: hasMore)
      return progress.isStalled()
    }
    for _ in 0..<SendProgress.checksPerTimeout {
      progress.sent(1)
      #expect(!isStalled())
    }
    progress.sent(1)
    #expect(isStalled())
  }

  @Test func moreTimeMayBeGiven() {
    var progress = SendProgress()
    for _ in 0..<(3 * SendProgress.checksPerTimeout) { progress.check(hasMore: true) }
    #expect(progress.isStalled(times: 2) && !progress.isStalled(times: 3))
    progress.check(hasMore: true)
    #expect(progress.isStalled(times: 3))
  }

  @Test func silenceWithoutAnythingToSendIsNoStall() {
    var progress = SendProgress()
    func isStalled(hasMore: Bool = true) -> Bool {
      progress.check(hasMore: hasMore)
      return progress.isStalled()
    }
    for _ in 0..<10 { #expect(!isStalled(hasMore: false)) }
    // What waits from now on gets the whole time.
    for _ in 0..<SendProgress.checksPerTimeout { #expect(!isStalled()) }
    #expect(isStalled())
  }
}
