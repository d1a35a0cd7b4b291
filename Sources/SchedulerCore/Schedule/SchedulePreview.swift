/// What a schedule will do: one occurrence, or one that it leaves out.
public struct PreviewedOccurrence: Hashable, Sendable {
  /// When it is due. Of one whose local time does not exist and that is left out, when clocks go forward.
  public var time: Timestamp
  /// What the zone's clocks show then, with the offset: `2026-03-29T03:00:00+02:00`.
  public var localTime: String
  /// The local weekday: `Sun`.
  public var weekday: String
  /// What is out of the ordinary, for people.
  public var notes: [String] = []
  /// Whether it is left out.
  public var isSkipped = false
  /// The calendar that excludes it; nil where none does.
  public var calendar: String?
}

extension CompiledSchedule {
  /// The next occurrences after an instant, with those that are left out in between: each stretch that a
  /// calendar excludes, and each gap that clocks make, as one entry. At most `count` that are due, and as many
  /// that are not.
  public func preview(
    after time: Timestamp, count: Int, excluding calendars: [CompiledCalendar]
  ) -> [PreviewedOccurrence] {
    var entries: [PreviewedOccurrence] = []
    var after = time
    var due = 0
    while due < count {
      let found = next(after: after)
      for skipped in skippedByGaps(after: after, before: found, atMost: count - (entries.count - due)) {
        entries.append(skipped)
      }
      guard let found else { break }
      guard let calendar = calendars.first(where: { $0.excludes(found) }) else {
        entries.append(occurrence(at: found, notes: clockNotes(at: found)))
        due += 1
        after = found
        continue
      }
      guard entries.count - due < count else { break }
      let end = calendar.endOfExclusion(at: found)
      let until = end.map { "until " + zone.localText($0).time } ?? "for ever"
      var excluded = occurrence(
        at: found, notes: ["excluded by the calendar \(calendar.name) \(until)"], isSkipped: true)
      excluded.calendar = calendar.name
      entries.append(excluded)
      guard let end else { break }
      after = Timestamp(microseconds: end.microseconds - 1)
    }
    return entries
  }

  private func occurrence(at time: Timestamp, notes: [String], isSkipped: Bool = false) -> PreviewedOccurrence
  {
    let local = zone.localText(time)
    return PreviewedOccurrence(
      time: time, localTime: local.time, weekday: local.weekday, notes: notes, isSkipped: isSkipped)
  }

  // MARK: What clocks do

  /// Where clocks that go forward leave out times of the schedule, which are not made up for.
  private func skippedByGaps(after: Timestamp, before: Timestamp?, atMost limit: Int) -> [PreviewedOccurrence]
  {
    guard case .times(let times, _) = rule, times.gap == .skip else { return [] }
    let end = min(before ?? upperBound, upperBound)
    var index = zone.index(at: Self.second(max(after, lowerBound))) + 1
    var skipped: [PreviewedOccurrence] = []
    while skipped.count < limit, index < zone.count, zone.start(index) < Self.second(end) {
      if let local = times.firstTimeInGap(before: index) {
        let start = Timestamp(microseconds: zone.start(index) * CivilTime.microsPerSecond)
        let note = "left out: \(zone.gapText(of: local, before: index))"
        skipped.append(occurrence(at: start, notes: [note], isSkipped: true))
      }
      index += 1
    }
    return skipped
  }

  /// What clocks do to an occurrence.
  private func clockNotes(at time: Timestamp) -> [String] {
    guard case .times(let times, _) = rule else { return [] }
    let utc = Self.second(time)
    let index = zone.index(at: utc)
    let local = utc + zone.offset(index)
    if utc == zone.start(index), times.gap == .runAfter, let missing = times.firstTimeInGap(before: index) {
      let reason = zone.gapText(of: missing, before: index)
      return [
        times.expression.matches(local)
          ? "also for what is left out: \(reason)" : "moved out of the gap: \(reason)"
      ]
    }
    if zone.later(showing: local, after: index, within: utc + TimeZoneRules.reach) != nil {
      return ["first \(zone.clockText(local)) of two: \(zone.changeText(before: index + 1))"]
    }
    if zone.earlier(showing: local, before: index) != nil {
      return ["second \(zone.clockText(local)) of two: \(zone.changeText(before: index))"]
    }
    return []
  }

  private static func second(_ time: Timestamp) -> Int64 {
    CivilTime.floorDivide(time.microseconds, by: CivilTime.microsPerSecond).quotient
  }
}

extension TimeZoneRules {
  /// What clocks show at an instant, in the form of RFC 3339 (offsets of old times may have seconds).
  fileprivate func localText(_ time: Timestamp) -> (time: String, weekday: String) {
    let utc = CivilTime.floorDivide(time.microseconds, by: CivilTime.microsPerSecond).quotient
    let offset = offset(index(at: utc))
    let local = Timestamp(microseconds: time.microseconds + offset * CivilTime.microsPerSecond)
    let day = CivilTime.floorDivide(utc + offset, by: CivilTime.secondsPerDay).quotient
    let name = CronField.weekdayNames[CivilTime.weekday(days: Int(day))]
    return (
      local.rfc3339.dropLast() + Self.offsetText(offset),
      String(name.prefix(1)) + name.dropFirst().lowercased()
    )
  }

  private static func offsetText(_ offset: Int64) -> String {
    let seconds = Int(offset.magnitude)
    let rest = seconds % 60 == 0 ? "" : ":" + twoDigits(seconds % 60)
    return (offset < 0 ? "-" : "+") + twoDigits(seconds / 3_600) + ":" + twoDigits(seconds / 60 % 60) + rest
  }

  /// The time of day: `02:30`.
  fileprivate func clockText(_ local: Int64) -> String {
    let second = Int(CivilTime.floorDivide(local, by: CivilTime.secondsPerDay).rest)
    let rest = second % 60 == 0 ? "" : ":" + Self.twoDigits(second % 60)
    return Self.twoDigits(second / 3_600) + ":" + Self.twoDigits(second / 60 % 60) + rest
  }

  private static func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

  /// `02:30 does not exist, clocks go forward 02:00 -> 03:00`.
  fileprivate func gapText(of local: Int64, before index: Int) -> String {
    "\(clockText(local)) does not exist, \(changeText(before: index))"
  }

  /// `clocks go back 03:00 -> 02:00`, with the days where they differ.
  fileprivate func changeText(before index: Int) -> String {
    let from = start(index) + offset(index - 1)
    let to = start(index) + offset(index)
    let days = [from, to].map { CivilTime.floorDivide($0, by: CivilTime.secondsPerDay).quotient }
    let isOneDay = days[0] == days[1]
    func text(_ local: Int64) -> String {
      let date = Timestamp(microseconds: local * CivilTime.microsPerSecond).rfc3339.prefix(10)
      return (isOneDay ? "" : date + " ") + clockText(local)
    }
    return "clocks go \(to > from ? "forward" : "back") \(text(from)) -> \(text(to))"
  }
}
