import NIOCore

/// Tells late HEADERS on a stream that we reset, which is a benign race, from HEADERS that break the rules. Pure.
///
/// A server's view: streams are opened by the peer, in rising odd numbers. Memory is bounded: of the resets and of the
/// numbers that were left out, only the latest are known. What was forgotten gets the milder answer.
struct EndedStreams {
  enum Verdict: Equatable {
    /// Not for us to judge: the stream is live or new, or we reset it and the frame was on its way.
    case proceed
    /// The stream is over: a stream error STREAM_CLOSED (RFC 9113, 5.1).
    case streamClosed
    /// The number was passed over when a higher one was opened: a connection error PROTOCOL_ERROR (RFC 9113, 5.1.1).
    case neverOpened
  }

  /// How many of our resets are remembered: those whose frames may still be on their way.
  static let rememberedResets = 256
  /// How many gaps in the numbers are remembered; an honest client leaves none.
  static let rememberedGaps = 8

  private var highest: Int32 = 0
  private var resets = CircularBuffer<Int32>()
  private var gaps = CircularBuffer<ClosedRange<Int32>>()

  /// We sent RST_STREAM.
  mutating func resetByUs(_ stream: Int32) {
    if resets.count == EndedStreams.rememberedResets { resets.removeFirst() }
    resets.append(stream)
  }

  /// HEADERS arrived on a stream with an odd number. `isLive`: HTTP/2 knows it, as open or half-closed.
  mutating func headersReceived(on stream: Int32, isLive: Bool) -> Verdict {
    guard stream <= highest else {
      open(stream)
      return .proceed
    }
    guard !isLive, !resets.contains(stream) else { return .proceed }
    return gaps.contains { $0.contains(stream) } ? .neverOpened : .streamClosed
  }

  private mutating func open(_ stream: Int32) {
    if stream > highest + 2 {
      if gaps.count == EndedStreams.rememberedGaps { gaps.removeFirst() }
      gaps.append((highest + 1)...(stream - 1))
    }
    highest = stream
  }
}
