/// The instants at which a zone's clocks show times that match an expression.
///
/// It goes from one transition of the zone to the next. Between two of them local time is UTC plus a constant,
/// so the expression alone finds the match; what the transition itself makes is looked at there.
/// Instants are whole seconds since 1970, UTC.
struct ZonedTimes: Sendable {
  let expression: CronExpression
  let zone: TimeZoneRules
  let gap: Schedule.GapPolicy
  let overlap: Schedule.OverlapPolicy

  /// The first instant from one on, up to another.
  func next(from: Int64, through limit: Int64) -> Int64? {
    var index = zone.index(at: from)
    var utc = from
    while utc <= limit {
      if utc == zone.start(index), isDueAfterGap(before: index) { return utc }
      let offset = zone.offset(index)
      let end = min(zone.end(index), limit + 1)
      var local = utc + offset
      while let found = expression.next(from: local, to: end + offset) {
        guard let other = stretchThatCounts(insteadOf: index, for: found) else { return found - offset }
        // Whatever the other stretch shows counts there.
        local = zone.localRange(other).upperBound
      }
      utc = zone.end(index)
      index += 1
    }
    return nil
  }

  /// The last instant not after one, and not before another.
  func last(from: Int64, downTo limit: Int64) -> Int64? {
    var index = zone.index(at: from)
    var utc = from
    while utc >= limit {
      let offset = zone.offset(index)
      let start = zone.start(index)
      var local = utc + offset
      while let found = expression.last(from: local, downTo: max(start, limit) + offset) {
        guard let other = stretchThatCounts(insteadOf: index, for: found) else { return found - offset }
        local = zone.localRange(other).lowerBound - 1
      }
      if start >= limit, isDueAfterGap(before: index) { return start }
      utc = start - 1
      index -= 1
    }
    return nil
  }

  // MARK: Transitions

  /// The other stretch in which a local time counts, if it does not count in this one.
  private func stretchThatCounts(insteadOf index: Int, for local: Int64) -> Int? {
    switch overlap {
    case .both: return nil
    case .first:
      guard local - zone.offset(index) - zone.start(index) < TimeZoneRules.reach else { return nil }
      return zone.earlier(showing: local, before: index)
    case .second:
      let utc = local - zone.offset(index)
      guard zone.end(index) - utc < TimeZoneRules.reach else { return nil }
      return zone.later(showing: local, after: index, within: utc + TimeZoneRules.reach)
    }
  }

  /// Whether the first instant of a stretch stands for times that the gap before it swallows.
  private func isDueAfterGap(before index: Int) -> Bool {
    gap == .runAfter && firstTimeInGap(before: index) != nil
  }

  /// The first matching local time that clocks leave out where a stretch begins.
  func firstTimeInGap(before index: Int) -> Int64? {
    let gap = zone.gap(before: index)
    var local = gap.lowerBound
    while let found = expression.next(from: local, to: gap.upperBound) {
      guard let other = zone.others(coveringGapTime: found, before: index) else { return found }
      local = other.upperBound
    }
    return nil
  }
}
