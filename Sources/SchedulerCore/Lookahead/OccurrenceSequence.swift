/// The occurrences of a job's schedules in a range, oldest first, each instant once: whatever has been decided,
/// and however many runs the schedules may create. A fixed delay has none, for they depend on runs.
public struct OccurrenceSequence: Sequence, IteratorProtocol {
  private let rules: [ReadyRule]
  private var heads: [Timestamp?]
  private let end: Timestamp

  /// Makes the sequence.
  /// - Parameters:
  ///   - from: The first instant of the range.
  ///   - end: The last.
  public init(_ rules: JobPlan.Rules, from: Timestamp, through end: Timestamp) {
    self.rules = rules.rules
    self.end = end
    heads = rules.rules.map { $0.occurrence(after: from.earlier) }
  }

  /// The next one; nil at the end of the range.
  public mutating func next() -> Timestamp? {
    guard let time = heads.lazy.compactMap(\.self).min(), time <= end else { return nil }
    for index in heads.indices where heads[index] == time {
      heads[index] = rules[index].occurrence(after: time)
    }
    return time
  }
}
