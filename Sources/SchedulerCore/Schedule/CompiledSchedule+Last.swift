extension CompiledSchedule {
  /// The last occurrence before an instant that no calendar excludes; nil where there is none, or only exclusions for
  /// longer than `next(after:excluding:)` looks.
  func last(before upper: Timestamp, excluding calendars: [CompiledCalendar]) -> Timestamp? {
    last(before: upper, after: .earliest, excluding: calendars) {
      next(after: $0, excluding: calendars, through: $1)
    }
  }

  /// The last occurrence in `lower < t < upper` that no calendar excludes.
  ///
  /// Going back through what calendars exclude could take a million steps; "is there one from here to there?" is
  /// answered by one search forward. So it looks back in stretches that grow, then halves the one that has some.
  /// - Parameter first: Finds the first occurrence after an instant, up to and with another, that no calendar excludes.
  func last(
    before upper: Timestamp, after lower: Timestamp, excluding calendars: [CompiledCalendar],
    first: (_ after: Timestamp, _ through: Timestamp) -> Timestamp?
  ) -> Timestamp? {
    guard let latest = last(notAfter: upper.earlier), latest > lower else { return nil }
    guard calendars.contains(where: { $0.excludes(latest) }) else { return latest }
    var end = latest.earlier
    var reach: Int64 = 3_600_000
    while end > lower {
      let start = max(latest.adding(milliseconds: -reach), lower)
      if let found = first(start, end) { return Self.last(from: found, through: end, first: first) }
      end = start
      reach *= 4
    }
    return nil
  }

  /// The last occurrence up to an instant, given an earlier one.
  private static func last(
    from found: Timestamp, through end: Timestamp, first: (Timestamp, Timestamp) -> Timestamp?
  ) -> Timestamp {
    var best = found
    // There is none after `high`.
    var high = end
    while best < high {
      let half = (high.microseconds - best.microseconds) / 2
      let middle = Timestamp(microseconds: best.microseconds + half)
      if let later = first(middle, high) { best = later } else { high = middle }
    }
    return best
  }
}

extension Timestamp {
  /// The instant just before.
  var earlier: Timestamp { Timestamp(microseconds: microseconds - 1) }
}
