/// What a backfill has to do, found out piece by piece, so that nobody else waits for a long range.
///
/// It counts as the owner of the job's segment does, who goes through the same occurrences in the same order.
public struct BackfillOutlook: Sendable {
  /// Occurrences in the range, as far as it has been looked through.
  public private(set) var occurrences = 0
  /// Those of them that have a run.
  public private(set) var existing = 0
  /// Those without a run that the job's schedules have passed since it was created: each was left out, or had a run
  /// that has been removed since. Which of the two, nobody knows any more.
  public private(set) var decided = 0
  /// The first of those without a run, in the backfill's order.
  public private(set) var preview: [Timestamp] = []
  /// Where there are too many: the last one that was looked at.
  public private(set) var limitReached: Timestamp?

  private var sequence: OccurrenceSequence
  private let created: Timestamp
  private let decidedThrough: Timestamp
  private let limit: Int
  private let previewCount: Int
  private var last: (time: Timestamp, runID: String)?

  /// Makes the outlook of a backfill that has not begun.
  /// - Parameters:
  ///   - plan: The job's.
  ///   - limit: The most occurrences; a range with more is given up there.
  ///   - previewCount: How many of those without a run are named.
  public init(
    of backfill: BackfillRecord, _ plan: JobPlan, previewCount: Int,
    limit: Int = LookaheadLimits.backfillOccurrences
  ) {
    sequence = OccurrenceSequence(of: backfill, plan.rules)
    created = plan.record.createdAt
    decidedThrough = plan.record.scheduleStates.map(\.decidedThrough).max() ?? .earliest
    self.limit = limit
    self.previewCount = previewCount
  }

  /// Looks at the next occurrences, at most so many.
  /// - Parameter exists: Whether there is a run of that id.
  /// - Returns: Whether there may be more.
  public mutating func look(most: Int, exists: (String) -> Bool) -> Bool {
    for _ in 0..<most {
      guard let time = sequence.next() else { return false }
      guard occurrences < limit else {
        limitReached = last?.time
        return false
      }
      occurrences += 1
      let id = runID(for: time)
      // Two instants within a millisecond have one run.
      if exists(id) || last?.runID == id {
        existing += 1
      } else {
        if time > created, time <= decidedThrough { decided += 1 }
        if preview.count < previewCount { preview.append(time) }
      }
      last = (time, id)
    }
    return true
  }
}
