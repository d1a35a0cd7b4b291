/// A calendar made ready to be asked whether an instant is excluded, and until when.
public struct CompiledCalendar: Sendable {
  /// The calendar's name.
  public let name: String
  private let zone: TimeZoneRules
  /// Excluded instants, microseconds; in order.
  private var instants: [Range<Int64>] = []
  /// Excluded local days, days since 1970-01-01; in order.
  private var days: [Int] = []
  /// Bits 0 (Sunday) to 6.
  private var weekdays: UInt8 = 0
  /// For each month, bits 1 to 31.
  private var yearly = [UInt32](repeating: 0, count: 13)
  private var windows: [CronExpression] = []

  /// Checks a calendar and makes it ready.
  /// - Throws: An error whose field is relative to the calendar: `time_zone`, `cron[2]`.
  public init(_ spec: CalendarSpec, name: String, zones: TimeZones) throws(FieldError) {
    self.name = name
    zone = try zones.zone(spec.timeZone)
    try CalendarSpec.check(spec)
    for (index, text) in spec.days.enumerated() {
      do throws(TextError) { try add(day: text) } catch {
        throw FieldError(field: "days[\(index)]", message: error.message)
      }
    }
    for (index, range) in spec.ranges.enumerated() {
      do throws(FieldError) { try add(range) } catch { throw error.inside("ranges[\(index)]") }
    }
    for (index, text) in spec.cron.enumerated() {
      // There is no job here; `H` falls where the calendar's name says.
      let owner = JobKey(namespace: "calendar", jobID: name)
      do throws(TextError) { windows.append(try CronExpression(window: text, job: owner)) } catch {
        throw FieldError(field: "cron[\(index)]", message: error.message)
      }
    }
    instants.sort { $0.lowerBound < $1.lowerBound }
    days = Set(days).sorted()
  }

  private mutating func add(day text: String) throws(TextError) {
    switch try CalendarDay(text: text) {
    case .date(let day): days.append(day)
    case .yearly(let month, let day): yearly[month] |= 1 << UInt32(day)
    case .weekday(let weekday): weekdays |= 1 << UInt8(weekday)
    }
  }

  private mutating func add(_ range: CalendarSpec.Range) throws(FieldError) {
    func instant(_ text: String, _ field: String) throws(FieldError) -> Int64 {
      do throws(TextError) { return try CalendarText.instant(text, in: zone).microseconds } catch {
        throw FieldError(field: field, message: error.message)
      }
    }
    let from = try instant(range.from, "from")
    let to = try instant(range.to, "to")
    guard from < to else { throw FieldError(field: "to", message: "has to be later than from") }
    instants.append(from..<to)
  }

  /// Whether an instant is excluded.
  public func excludes(_ time: Timestamp) -> Bool {
    if endOfInstants(at: time.microseconds) != nil { return true }
    let local = local(time.microseconds).time
    return excludes(day: Self.day(of: local)) || windows.contains { $0.matches(local) }
  }

  /// The first instant from one on that is not excluded: that one itself, if it is not. Nil where all is
  /// excluded up to `Timestamp.latest`, or in more than `SpecLimits.excludedInARow` pieces.
  public func endOfExclusion(at time: Timestamp) -> Timestamp? {
    var steps = SpecLimits.excludedInARow
    let end = endOfExclusion(at: time, steps: &steps)
    return steps > 0 ? end : nil
  }

  /// As `endOfExclusion(at:)`, but with no steps left it returns how far it has come. Each excluded piece is a step.
  func endOfExclusion(at time: Timestamp, steps: inout Int) -> Timestamp? {
    var micros = time.microseconds
    repeat {
      guard micros <= Timestamp.latest.microseconds else { return nil }
      if let end = endOfInstants(at: micros) {
        micros = end
        steps -= 1
        continue
      }
      let (local, stretch) = local(micros)
      let end = endOfLocalExclusion(from: local)
      guard end > local else { break }
      steps -= 1
      // Beyond a transition of the zone the clocks show something else.
      micros = min(end - zone.offset(stretch), zone.end(stretch)) * CivilTime.microsPerSecond
    } while steps > 0
    return Timestamp(microseconds: micros)
  }

  // MARK: Parts

  private func local(_ micros: Int64) -> (time: Int64, stretch: Int) {
    let utc = CivilTime.floorDivide(micros, by: CivilTime.microsPerSecond).quotient
    let stretch = zone.index(at: utc)
    return (utc + zone.offset(stretch), stretch)
  }

  private static func day(of local: Int64) -> Int {
    Int(CivilTime.floorDivide(local, by: CivilTime.secondsPerDay).quotient)
  }

  private func endOfInstants(at micros: Int64) -> Int64? {
    var end: Int64?
    for range in instants {
      guard range.lowerBound <= micros else { break }
      if range.contains(micros) { end = max(end ?? .min, range.upperBound) }
    }
    return end
  }

  private func excludes(day: Int) -> Bool {
    if weekdays & 1 << UInt8(CivilTime.weekday(days: day)) != 0 { return true }
    let date = CivilTime.date(days: day)
    if yearly[date.month] & 1 << UInt32(date.day) != 0 { return true }
    return includes(day)
  }

  /// Whether the day is one of `days`.
  private func includes(_ day: Int) -> Bool {
    var low = 0
    var high = days.count
    while low < high {
      let middle = (low + high) / 2
      if days[middle] < day { low = middle + 1 } else { high = middle }
    }
    return low < days.count && days[low] == day
  }

  /// The first local time from one on that neither days nor windows exclude, as far as it can be told in one
  /// go: days together, then one window after the other.
  private func endOfLocalExclusion(from local: Int64) -> Int64 {
    var day = Self.day(of: local)
    let first = day
    let lastDay = Self.day(of: Timestamp.latest.microseconds / CivilTime.microsPerSecond) + 2
    while day < lastDay, excludes(day: day) { day += 1 }
    var end = day > first ? Int64(day) * CivilTime.secondsPerDay : local
    let limit = Int64(lastDay) * CivilTime.secondsPerDay
    for window in windows { end = window.endOfMatch(from: end, to: limit) }
    return end
  }
}

extension CronExpression {
  /// The first local time from one on that does not match.
  func endOfMatch(from local: Int64, to limit: Int64) -> Int64 {
    var time = local
    while time < limit, matches(time) {
      let second = CivilTime.floorDivide(time, by: 60).rest
      if seconds != Self.all60 {
        // Bits from 60 on are not set, so a minute's end ends the search at the latest.
        time += Int64((~seconds >> UInt64(second)).trailingZeroBitCount)
        continue
      }
      var unit: Int64 = 60
      if minutes == Self.all60 { unit = hours == (1 << 24) - 1 ? CivilTime.secondsPerDay : 3_600 }
      time += unit - CivilTime.floorDivide(time, by: unit).rest
    }
    return time
  }
}
