/// The occurrences of a job's schedules in a range, each instant once: whatever has been decided, and however many
/// runs the schedules may create. A fixed delay has none, for they depend on runs.
public struct OccurrenceSequence: Sequence, IteratorProtocol, Sendable {
  private let rules: [ReadyRule]
  private let from: Timestamp
  private let end: Timestamp
  private let order: BackfillRecord.Order
  private var heads: [Timestamp?] = []

  /// Makes the sequence.
  /// - Parameters:
  ///   - from: The first instant of the range.
  ///   - end: The last.
  public init(
    _ rules: JobPlan.Rules, from: Timestamp, through end: Timestamp,
    order: BackfillRecord.Order = .oldestFirst
  ) {
    self.rules = rules.rules
    self.from = from
    self.end = end
    self.order = order
    let before = order == .oldestFirst ? from.earlier : Timestamp(microseconds: end.microseconds + 1)
    heads = self.rules.map { following(before, of: $0) }
  }

  /// What a backfill has left to look at, in its order.
  public init(of backfill: BackfillRecord, _ rules: JobPlan.Rules) {
    var (from, end) = (backfill.from, backfill.to)
    if let position = backfill.position {
      switch backfill.order {
      case .oldestFirst: from = Timestamp(microseconds: position.microseconds + 1)
      case .newestFirst: end = position.earlier
      }
    }
    self.init(rules, from: from, through: end, order: backfill.order)
  }

  /// The next one; nil at the end of the range.
  public mutating func next() -> Timestamp? {
    let left = heads.lazy.compactMap(\.self)
    guard let time = order == .oldestFirst ? left.min() : left.max() else { return nil }
    for index in heads.indices where heads[index] == time {
      heads[index] = following(time, of: rules[index])
    }
    return time
  }

  private func following(_ time: Timestamp, of rule: ReadyRule) -> Timestamp? {
    switch order {
    case .oldestFirst: rule.occurrence(after: time, through: end)
    case .newestFirst: rule.lastOccurrence(before: time, after: from.earlier)
    }
  }
}
