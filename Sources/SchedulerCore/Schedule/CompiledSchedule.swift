/// A schedule made ready to be asked when it is due: its expression is parsed, its zone looked up, `H` resolved.
/// It is a value of a few hundred bytes, and asking takes well under a microsecond.
public struct CompiledSchedule: Sendable {
  enum Rule: Sendable {
    /// Local times, each so many microseconds later.
    case times(ZonedTimes, fraction: Int64)
    /// The anchor plus multiples of the interval, the first of which is `first`. Microseconds.
    case every(interval: Int64, anchor: Int64, first: Int64)
    /// Once, as far as the schedule by itself can tell.
    case once(Timestamp)
  }

  let rule: Rule
  /// The zone whose local time counts.
  let zone: TimeZoneRules
  /// Only what is later is due.
  let lowerBound: Timestamp
  /// Nothing later is due.
  let upperBound: Timestamp
  private let jitterMillis: Int64
  private let jobHash: UInt64

  /// Makes a schedule of a job ready.
  /// - Parameter createdAt: The job's creation, from which a schedule without a start counts.
  /// - Throws: An error whose field is relative to the schedule: `cron`, `time_zone`.
  public init(_ schedule: Schedule, job: JobKey, createdAt: Timestamp, zones: TimeZones) throws(FieldError) {
    zone = try zones.zone(schedule.timeZone)
    let micros: Int64 = 1_000
    let anchor = schedule.startTime ?? createdAt
    // Without a start the anchor itself, the job's creation, is not due.
    let first: Int64 = schedule.startTime == nil ? 1 : 0
    var lowerBound = (schedule.startTime ?? .earliest).microseconds - 1
    switch schedule.rule {
    case .cron(let text):
      let expression: CronExpression
      do throws(TextError) { expression = try CronExpression(text, job: job) } catch {
        throw FieldError(field: "cron", message: error.message)
      }
      rule = .times(schedule.zonedTimes(expression, in: zone), fraction: 0)
    case .fixedRate(let everyMillis):
      rule = .every(interval: max(1, everyMillis) * micros, anchor: anchor.microseconds, first: first)
    case .fixedDelay(let delayMillis):
      rule = .once(schedule.startTime ?? createdAt.adding(milliseconds: delayMillis))
    case .frequency(.hourly):
      rule = .every(interval: 3_600_000 * micros, anchor: anchor.microseconds, first: first)
    case .frequency(let frequency):
      if schedule.startTime == nil { lowerBound = createdAt.microseconds }
      let (seconds, fraction) = CivilTime.floorDivide(anchor.microseconds, by: CivilTime.microsPerSecond)
      let local = seconds + zone.offset(zone.index(at: seconds))
      let expression = CronExpression(frequency, at: local)
      rule = .times(schedule.zonedTimes(expression, in: zone), fraction: fraction)
    case .at(let time): rule = .once(time)
    }
    self.lowerBound = Timestamp(microseconds: lowerBound)
    upperBound = min(schedule.endTime ?? .latest, .latest)
    jitterMillis = schedule.jitterMillis
    jobHash = Keyspace.stableHash("\(job.namespace)/\(job.jobID)".utf8, seed: 4)
  }

  // MARK: When it is due

  /// The first occurrence after an instant. Nil where there is none: past the schedule's end, past
  /// `Timestamp.latest`, and of a fixed delay after the first, for the others depend on runs.
  public func next(after time: Timestamp) -> Timestamp? {
    let after = max(time, lowerBound).microseconds
    let upperBound = upperBound.microseconds
    guard after < upperBound else { return nil }
    let found: Int64?
    switch rule {
    case .times(let times, let fraction):
      let from = Self.second(after - fraction) + 1
      found = times.next(from: from, through: Self.second(upperBound - fraction)).map {
        $0 * CivilTime.microsPerSecond + fraction
      }
    case .every(let interval, let anchor, let first):
      let count = CivilTime.floorDivide(after - anchor, by: interval).quotient + 1
      found = anchor + max(count, first) * interval
    case .once(let instant): found = instant.microseconds > after ? instant.microseconds : nil
    }
    guard let found, found <= upperBound else { return nil }
    return Timestamp(microseconds: found)
  }

  /// The last occurrence not after an instant, from 1970 on; nil where there is none. A cron expression without
  /// a start has occurrences before the job's creation, too.
  public func last(notAfter time: Timestamp) -> Timestamp? {
    let upTo = min(time, upperBound).microseconds
    let lowerBound = lowerBound.microseconds
    guard upTo > lowerBound else { return nil }
    let found: Int64?
    switch rule {
    case .times(let times, let fraction):
      found = times.last(from: Self.second(upTo - fraction), downTo: Self.second(lowerBound - fraction) + 1)
        .map { $0 * CivilTime.microsPerSecond + fraction }
    case .every(let interval, let anchor, let first):
      let count = CivilTime.floorDivide(upTo - anchor, by: interval).quotient
      found = count >= first ? anchor + count * interval : nil
    case .once(let instant): found = instant.microseconds <= upTo ? instant.microseconds : nil
    }
    guard let found, found > lowerBound else { return nil }
    return Timestamp(microseconds: found)
  }

  /// What a search for an occurrence has found.
  public enum Search: Hashable, Sendable {
    case found(Timestamp)
    /// There is none, up to the end of what was looked through.
    case none
    /// All is excluded up to and with that instant; the search goes on after it.
    case excluded(through: Timestamp)
  }

  /// Looks for the first occurrence after an instant that no calendar excludes. Excluded stretches are skipped as a
  /// whole, at most `SpecLimits.excludedPerSearch` of them in one search.
  /// - Parameter end: Nothing later is looked for.
  public func search(
    after time: Timestamp, excluding calendars: [CompiledCalendar], through end: Timestamp = .latest
  ) -> Search {
    var after = time
    var steps = SpecLimits.excludedPerSearch
    while let found = next(after: after), found <= end {
      guard let calendar = calendars.first(where: { $0.excludes(found) }) else { return .found(found) }
      guard let end = calendar.endOfExclusion(at: found, steps: &steps) else { return .none }
      after = Timestamp(microseconds: end.microseconds - 1)
      guard steps > 0 else { return .excluded(through: after) }
    }
    return .none
  }

  /// The first occurrence after an instant that no calendar excludes. Nil where there is none, or none within
  /// `SpecLimits.excludedInARow` exclusions.
  /// - Parameter end: Nothing later is looked for.
  public func next(
    after time: Timestamp, excluding calendars: [CompiledCalendar], through end: Timestamp = .latest
  ) -> Timestamp? {
    var after = time
    for _ in 0..<SpecLimits.excludedInARow / SpecLimits.excludedPerSearch {
      switch search(after: after, excluding: calendars, through: end) {
      case .found(let found): return found
      case .excluded(let stop): after = stop
      case .none: return nil
      }
    }
    return nil
  }

  private static func second(_ micros: Int64) -> Int64 {
    CivilTime.floorDivide(micros, by: CivilTime.microsPerSecond).quotient
  }

  // MARK: Jitter

  /// How much later than it is due the run of an occurrence is created, milliseconds: 0 to the schedule's
  /// jitter. It depends on the job and the occurrence alone, so that all servers agree on it.
  public func jitter(of occurrence: Timestamp) -> Int64 {
    guard jitterMillis > 0 else { return 0 }
    var hash = jobHash ^ (UInt64(bitPattern: occurrence.microseconds) &* 0x9e37_79b9_7f4a_7c15)
    hash = (hash ^ hash >> 30) &* 0xbf58_476d_1ce4_e5b9
    hash = (hash ^ hash >> 27) &* 0x94d0_49bb_1331_11eb
    hash ^= hash >> 31
    return Int64(hash % UInt64(jitterMillis + 1))
  }
}

extension Schedule {
  /// The expression in the zone, with the policies of the schedule or their defaults.
  fileprivate func zonedTimes(_ expression: CronExpression, in zone: TimeZoneRules) -> ZonedTimes {
    ZonedTimes(
      expression: expression, zone: zone, gap: dstGap ?? (expression.hasWildcardHours ? .skip : .runAfter),
      overlap: dstOverlap ?? (expression.hasWildcardHours ? .both : .first))
  }
}

extension CronExpression {
  /// Each day, week or month, as a local time has it. (`hourly` goes by elapsed time and has no expression.)
  fileprivate init(_ frequency: Schedule.Frequency, at local: Int64) {
    let time = CivilTime(Timestamp(microseconds: local * CivilTime.microsPerSecond))
    self.init()
    seconds = 1 << UInt64(time.second)
    minutes = 1 << UInt64(time.minute)
    hours = 1 << UInt32(time.hour)
    switch frequency {
    case .hourly, .daily: break
    case .weekly:
      let day = CivilTime.days(year: time.year, month: time.month, day: time.day)
      weekdays = 1 << UInt8(CivilTime.weekday(days: day))
    case .monthly:
      days = 0
      special = SpecialDays(dayOrLast: time.day)
    }
  }
}
