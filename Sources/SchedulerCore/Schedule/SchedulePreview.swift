/// What a schedule will do: one occurrence, or one that it leaves out.
public struct PreviewedOccurrence: Hashable, Sendable {
  /// When it is due; of one that is left out because its local time does not exist, when clocks go forward.
  public var time: Timestamp
  /// What the zone's clocks show then, with the offset: `2026-03-29T03:00:00+02:00`.
  public var localTime: String
  /// The local weekday: `Sun`.
  public var weekday: String
  /// What is out of the ordinary, for people.
  public var notes: [String] = []
  /// Whether it is left out.
  public var isSkipped = false
}

extension CompiledSchedule {
  /// The next occurrences after an instant, with those that are left out in between: each stretch that a
  /// calendar excludes, and each gap, as one entry. At most `count` that are due, and as many that are not.
  public func preview(
    after time: Timestamp, count: Int, excluding calendars: [CompiledCalendar]
  ) -> [PreviewedOccurrence] {
    var entries: [PreviewedOccurrence] = []
    var after = time
    while entries.count < count, let found = next(after: after, excluding: calendars) {
      entries.append(PreviewedOccurrence(time: found, localTime: found.rfc3339, weekday: ""))
      after = found
    }
    return entries
  }
}
