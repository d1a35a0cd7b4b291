/// Whether a peer takes what we have for it, looked at several times within the time that it is given. Pure.
///
/// A peer may answer PINGs and still never open its window, or open it by an octet at a time: what was queued for it would
/// be kept for as long as it likes.
struct SendProgress {
  /// How many checks fit in the time that a peer is given.
  static let checksPerTimeout = 4
  /// Less than this in the whole time, while more waits, is no progress.
  static let minimumBytes = 1_024

  private var bytes = 0
  private var idleChecks = 0

  mutating func sent(_ count: Int) {
    bytes += count
  }

  /// To be called at every check.
  mutating func check(hasMore: Bool) {
    guard hasMore, bytes < SendProgress.minimumBytes else {
      bytes = 0
      idleChecks = 0
      return
    }
    idleChecks += 1
  }

  /// Whether so many times that a peer is given have passed without progress.
  func isStalled(times: Double = 1) -> Bool {
    // The first check may come right after the bytes that it sees.
    Double(idleChecks) > times * Double(SendProgress.checksPerTimeout)
  }
}
