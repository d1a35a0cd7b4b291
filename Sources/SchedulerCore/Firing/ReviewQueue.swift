/// Jobs to be looked at although nothing is due and their records have not changed: a segment after the other, so
/// that a million of them cost no more than a list of one segment's at a time.
struct ReviewQueue: Sendable {
  /// Why a job is looked at.
  enum Cause: Hashable, Sendable {
    /// Its segment has a new owner: what happened while there was none is not in its record.
    case takenOver
    /// A calendar has changed.
    case calendar(CalendarKey, at: Timestamp)
    /// A run has ended, or an earlier review came to nothing.
    case single

    /// Whether a job may be concerned, told without decoding it.
    func mayConcern(_ facts: JobTable.Facts, _ cache: ClusterCache) -> Bool {
      switch self {
      case .takenOver: facts.record.awaitsRun || !cache.calendars.isEmpty
      case .calendar, .single: true
      }
    }

    /// Whether it is.
    func concerns(_ record: JobRecord) -> Bool {
      switch self {
      case .takenOver: record.hasFixedDelay || record.spec.schedules.contains { !$0.calendars.isEmpty }
      case .calendar(let key, _):
        key.namespace == record.key.namespace
          && record.spec.schedules.contains { $0.calendars.contains(key.name) }
      case .single: !record.spec.schedules.isEmpty
      }
    }
  }

  private var singles: [(slot: JobTable.Slot, cause: Cause)] = []
  private var segments: [(number: Int, cause: Cause)] = []
  private var slots: [JobTable.Slot] = []
  private var cause = Cause.single

  var isEmpty: Bool { singles.isEmpty && segments.isEmpty && slots.isEmpty }

  /// Adds one job.
  mutating func add(_ slot: JobTable.Slot, _ cause: Cause = .single) { singles.append((slot, cause)) }

  /// Adds the jobs of a segment.
  mutating func add(_ segment: Int, _ cause: Cause) {
    if !segments.contains(where: { $0.number == segment && $0.cause == cause }) {
      segments.append((segment, cause))
    }
  }

  /// Takes the next job out.
  mutating func next(
    _ cache: ClusterCache, owned: [Int: Int64]
  ) -> (slot: JobTable.Slot, cause: Cause)? {
    if let single = singles.popLast() { return single }
    while slots.isEmpty, let segment = segments.popLast() {
      guard owned[segment.number] != nil else { continue }
      cause = segment.cause
      cache.jobs.forEach(inSegment: segment.number) { slots.append($0) }
    }
    return slots.popLast().map { ($0, cause) }
  }
}
