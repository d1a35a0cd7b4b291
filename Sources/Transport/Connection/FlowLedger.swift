/// Decides when received bytes are given back to the connection's flow-control window. Pure.
///
/// A stream's window opens only as the application takes its messages. The connection's window opens at once, so that a
/// slow reader of one stream does not stall the others, but only while all streams together hold less than `limit`:
/// that bounds what one peer can make us buffer.
struct FlowLedger {
  let limit: Int
  /// Bytes that arrived and that no application has taken.
  private(set) var buffered = 0
  /// The part of `buffered` that the connection's window was not given back for.
  private(set) var debt = 0

  init(limit: Int) {
    self.limit = limit
  }

  /// Bytes arrived. Returns how many to give back to the connection's window now.
  mutating func received(_ bytes: Int) -> Int {
    buffered += bytes
    guard buffered > limit else { return bytes }
    let held = min(bytes, buffered - limit)
    debt += held
    return bytes - held
  }

  /// Bytes were taken, or dropped. Returns how many to give back to the connection's window now.
  mutating func released(_ bytes: Int) -> Int {
    buffered -= bytes
    let remaining = min(debt, max(0, buffered - limit))
    defer { debt = remaining }
    return debt - remaining
  }
}
