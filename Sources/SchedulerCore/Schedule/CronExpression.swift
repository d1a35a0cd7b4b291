/// A cron expression made ready: one bit for each value of each field, so that the next match is found by
/// looking for the next set bit.
///
/// It knows local times only, as seconds since 1970 as if the zone were UTC; `ZonedTimes` brings zones in. The
/// rules are in docs/SCHEDULES.md.
public struct CronExpression: Hashable, Sendable {
  /// Bits 0 to 59.
  var seconds: UInt64 = 1
  /// Bits 0 to 59.
  var minutes = Self.all60
  /// Bits 0 to 23.
  var hours: UInt32 = (1 << 24) - 1
  /// Bits 1 to 31.
  var days = Self.allDays
  /// Bits 1 to 12.
  var months: UInt16 = 0b1_1111_1111_1110
  /// Bits 0 (Sunday) to 6.
  var weekdays = Self.allWeekdays
  /// Whether hours are `*` or `*/n`, so that the expression goes by elapsed time.
  var hasWildcardHours = false
  /// Whether it is enough that the day of month or the day of week matches: both are restricted.
  var eitherDay = false
  /// The days that depend on the month; nil where there are none, as in most expressions.
  var special: SpecialDays?

  /// Days that are others in each month.
  struct SpecialDays: Hashable, Sendable {
    /// Bit n for `L-n`: n days before the month's last. Bit 0 is `L`.
    var beforeLast: UInt32 = 0
    /// `LW`: the month's last Monday to Friday.
    var lastWorkday = false
    /// Bit n for `nW`: of Monday to Friday the nearest to the day n in its month.
    var nearestWorkdays: UInt32 = 0
    /// Bit n for `nL`: the month's last such weekday.
    var lastOfWeekday: UInt8 = 0
    /// Bit (k - 1) * 7 + n for `n#k`: the month's k-th such weekday.
    var nthWeekdays: UInt64 = 0
    /// The day, or the last one in a shorter month; 0 for none. No text says this: it is `monthly`.
    var dayOrLast = 0
  }

  static let all60: UInt64 = (1 << 60) - 1
  static let allDays: UInt32 = 0xFFFF_FFFE
  static let allWeekdays: UInt8 = 0x7F
  private static let secondsPerDay = Int(CivilTime.secondsPerDay)

  /// Every minute.
  init() {}

  // MARK: Days

  /// A month, with the bits of its days that match.
  struct Month {
    var year: Int
    /// 1 to 12.
    var month: Int
    /// The first day, in days since 1970-01-01.
    var firstDay: Int
    /// How many days it has.
    var length: Int
  }

  /// The days that match, bits 1 to 31.
  func matchingDays(of month: Month) -> UInt32 {
    guard months & 1 << UInt16(month.month) != 0 else { return 0 }
    let existing = UInt32(truncatingIfNeeded: (UInt64(2) << UInt64(month.length)) - 2)
    var byDate = days
    var byWeekday = Self.allDays
    if weekdays != Self.allWeekdays || special != nil {
      byWeekday = Self.spread(weekdays, firstWeekday: CivilTime.weekday(days: month.firstDay))
    }
    if let special {
      byDate |= special.datesOf(month)
      byWeekday |= special.weekdaysOf(month)
    }
    return existing & (eitherDay ? byDate | byWeekday : byDate & byWeekday)
  }

  /// The days of a month that have one of the weekdays, bits 1 to 35.
  private static func spread(_ weekdays: UInt8, firstWeekday: Int) -> UInt32 {
    let mask = UInt64(weekdays)
    let fromFirst = (mask >> UInt64(firstWeekday) | mask << UInt64(7 - firstWeekday)) & 0x7F
    let fiveWeeks = fromFirst * (1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28)
    return UInt32(truncatingIfNeeded: fiveWeeks << 1)
  }

  /// Whether there is a day at all: 31 February is none.
  var matchesSomeDay: Bool {
    // The calendar repeats after 400 years, which begin and end on the same weekday.
    let start = Int64(CivilTime.days(year: 2_000, month: 1, day: 1)) * CivilTime.secondsPerDay
    return next(from: start, to: start + 146_097 * CivilTime.secondsPerDay) != nil
  }

  /// Whether a local time matches.
  func matches(_ local: Int64) -> Bool {
    let (day, second) = CivilTime.floorDivide(local, by: CivilTime.secondsPerDay)
    return matches(secondOfDay: Int(second)) && matches(day: Int(day))
  }

  func matches(secondOfDay second: Int) -> Bool {
    hours & 1 << UInt32(second / 3_600) != 0 && minutes & 1 << UInt64(second / 60 % 60) != 0
      && seconds & 1 << UInt64(second % 60) != 0
  }

  func matches(day: Int) -> Bool {
    let month = Month(of: day)
    return matchingDays(of: month) & 1 << UInt32(day - month.firstDay + 1) != 0
  }

  // MARK: The next and the last match

  /// The first match from a local time on, before another.
  func next(from local: Int64, to limit: Int64) -> Int64? {
    guard local < limit else { return nil }
    let (dayNumber, second) = CivilTime.floorDivide(local, by: CivilTime.secondsPerDay)
    let day = Int(dayNumber)
    var month = Month(of: day)
    let index = UInt32(day - month.firstDay + 1)
    var mask = matchingDays(of: month)
    var found: Int64?
    if mask & 1 << index != 0, let time = firstTime(from: Int(second)) {
      found = Int64(day * Self.secondsPerDay + time)
    } else {
      mask &= ~1 << index
      while mask == 0 {
        month = month.following(in: months)
        guard Int64(month.firstDay) * CivilTime.secondsPerDay < limit else { return nil }
        mask = matchingDays(of: month)
      }
      let next = month.firstDay + mask.trailingZeroBitCount - 1
      found = firstTime(from: 0).map { Int64(next * Self.secondsPerDay + $0) }
    }
    guard let found, found < limit else { return nil }
    return found
  }

  /// The last match not after a local time, and not before another.
  func last(from local: Int64, downTo limit: Int64) -> Int64? {
    guard local >= limit else { return nil }
    let (dayNumber, second) = CivilTime.floorDivide(local, by: CivilTime.secondsPerDay)
    let day = Int(dayNumber)
    var month = Month(of: day)
    let index = UInt32(day - month.firstDay + 1)
    var mask = matchingDays(of: month)
    var found: Int64?
    if mask & 1 << index != 0, let time = lastTime(upTo: Int(second)) {
      found = Int64(day * Self.secondsPerDay + time)
    } else {
      mask &= (1 << index) - 1
      while mask == 0 {
        month = month.preceding(in: months)
        guard Int64(month.firstDay + month.length) * CivilTime.secondsPerDay > limit else { return nil }
        mask = matchingDays(of: month)
      }
      let last = month.firstDay + (31 - mask.leadingZeroBitCount) - 1
      found = lastTime(upTo: Self.secondsPerDay - 1).map { Int64(last * Self.secondsPerDay + $0) }
    }
    guard let found, found >= limit else { return nil }
    return found
  }

  /// The first time of the day that matches, from a second of it on.
  private func firstTime(from second: Int) -> Int? {
    var hour = second / 3_600
    if hours & 1 << UInt32(hour) != 0 {
      let minute = second / 60 % 60
      if minutes & 1 << UInt64(minute) != 0 {
        let rest = seconds >> UInt64(second % 60)
        if rest != 0 { return second + rest.trailingZeroBitCount }
      }
      let rest = minutes >> UInt64(minute + 1)
      if rest != 0 {
        return hour * 3_600 + (minute + 1 + rest.trailingZeroBitCount) * 60 + seconds.trailingZeroBitCount
      }
    }
    let rest = hours >> UInt32(hour + 1)
    guard rest != 0 else { return nil }
    hour += 1 + rest.trailingZeroBitCount
    return hour * 3_600 + minutes.trailingZeroBitCount * 60 + seconds.trailingZeroBitCount
  }

  /// The last time of the day that matches, up to a second of it.
  private func lastTime(upTo second: Int) -> Int? {
    let hour = second / 3_600
    if hours & 1 << UInt32(hour) != 0 {
      let minute = second / 60 % 60
      if minutes & 1 << UInt64(minute) != 0 {
        let before = seconds & ((2 << UInt64(second % 60)) - 1)
        if before != 0 { return second - second % 60 + before.highestBit }
      }
      let before = minutes & ((1 << UInt64(minute)) - 1)
      if before != 0 { return hour * 3_600 + before.highestBit * 60 + seconds.highestBit }
    }
    let before = UInt64(hours) & ((1 << UInt64(hour)) - 1)
    guard before != 0 else { return nil }
    return before.highestBit * 3_600 + minutes.highestBit * 60 + seconds.highestBit
  }
}

extension UInt64 {
  /// The number of the highest bit that is set.
  fileprivate var highestBit: Int { 63 - leadingZeroBitCount }
}

extension CronExpression.Month {
  /// The month of a day since 1970-01-01.
  init(of day: Int) {
    let date = CivilTime.date(days: day)
    self.init(
      year: date.year, month: date.month, firstDay: day - date.day + 1,
      length: CivilTime.daysInMonth(year: date.year, month: date.month))
  }

  init(year: Int, month: Int) {
    self.init(
      year: year, month: month, firstDay: CivilTime.days(year: year, month: month, day: 1),
      length: CivilTime.daysInMonth(year: year, month: month))
  }

  /// The next month of those that are set, bits 1 to 12.
  func following(in months: UInt16) -> Self {
    let later = months >> UInt16(month + 1)
    if later != 0 { return Self(year: year, month: month + 1 + later.trailingZeroBitCount) }
    return Self(year: year + 1, month: months.trailingZeroBitCount)
  }

  /// The last month before of those that are set, bits 1 to 12.
  func preceding(in months: UInt16) -> Self {
    let earlier = months & ((1 << UInt16(month)) - 1)
    if earlier != 0 { return Self(year: year, month: 15 - earlier.leadingZeroBitCount) }
    return Self(year: year - 1, month: 15 - months.leadingZeroBitCount)
  }
}

extension CronExpression.SpecialDays {
  /// The days of a month by its dates, bits 1 to 31.
  func datesOf(_ month: CronExpression.Month) -> UInt32 {
    var found: UInt32 = 0
    for back in beforeLast.setBits where back < month.length { found |= 1 << UInt32(month.length - back) }
    if lastWorkday { found |= 1 << UInt32(nearestWorkday(to: month.length, of: month)) }
    for day in nearestWorkdays.setBits where day <= month.length {
      found |= 1 << UInt32(nearestWorkday(to: day, of: month))
    }
    if dayOrLast > 0 { found |= 1 << UInt32(min(dayOrLast, month.length)) }
    return found
  }

  /// Monday to Friday nearest to a day, in the same month.
  private func nearestWorkday(to day: Int, of month: CronExpression.Month) -> Int {
    switch CivilTime.weekday(days: month.firstDay + day - 1) {
    case 6: day > 1 ? day - 1 : day + 2
    case 0: day < month.length ? day + 1 : day - 2
    default: day
    }
  }

  /// The days of a month by its weekdays, bits 1 to 31.
  func weekdaysOf(_ month: CronExpression.Month) -> UInt32 {
    var found: UInt32 = 0
    let firstWeekday = CivilTime.weekday(days: month.firstDay)
    for weekday in 0..<7 {
      let first = 1 + (weekday - firstWeekday + 7) % 7
      if lastOfWeekday & 1 << UInt8(weekday) != 0 {
        found |= 1 << UInt32(first + (month.length - first) / 7 * 7)
      }
      for week in 0..<5 where nthWeekdays & 1 << UInt64(week * 7 + weekday) != 0 {
        let day = first + week * 7
        if day <= month.length { found |= 1 << UInt32(day) }
      }
    }
    return found
  }
}

extension UInt32 {
  /// The numbers of the bits that are set, rising.
  fileprivate var setBits: some Sequence<Int> {
    sequence(state: self) { (rest: inout UInt32) -> Int? in
      guard rest != 0 else { return nil }
      let bit = rest.trailingZeroBitCount
      rest &= rest - 1
      return bit
    }
  }
}
