import CProto
import SchedulerCore

extension Schedule: Mapped {
  init(raw: UnsafePointer<Rota__V1__Schedule>) throws(ProtoError) {
    self.init(try Rule(raw.pointee))
    timeZone = try Decode.optionalText(raw.pointee.time_zone, "time_zone") ?? Defaults.timeZone
    dstGap = try Decode.choice(raw.pointee.dst_gap, "dst_gap")
    dstOverlap = try Decode.choice(raw.pointee.dst_overlap, "dst_overlap")
    startTime = try Decode.time(raw.pointee.start_time, "start_time")
    endTime = try Decode.time(raw.pointee.end_time, "end_time")
    maxRuns = raw.pointee.max_runs == 0 ? nil : Int(raw.pointee.max_runs)
    jitterMillis = try Decode.millis(raw.pointee.jitter, "jitter") ?? 0
    calendars = try Decode.texts(raw.pointee.n_calendars, raw.pointee.calendars, "calendars")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Schedule>, _ arena: Arena) {
    rule.fill(raw, arena)
    if timeZone != Defaults.timeZone { raw.pointee.time_zone = arena.text(timeZone) }
    if let dstGap { raw.pointee.dst_gap = dstGap.raw }
    if let dstOverlap { raw.pointee.dst_overlap = dstOverlap.raw }
    raw.pointee.start_time = arena.time(startTime)
    raw.pointee.end_time = arena.time(endTime)
    raw.pointee.max_runs = Int64(maxRuns ?? 0)
    if jitterMillis != 0 { raw.pointee.jitter = arena.duration(millis: jitterMillis) }
    raw.pointee.calendars = arena.texts(calendars, &raw.pointee.n_calendars)
  }
}

extension Schedule.Rule {
  /// The rule of a schedule, which has to have one.
  fileprivate init(_ schedule: Rota__V1__Schedule) throws(ProtoError) {
    switch schedule.rule_case {
    case ROTA__V1__SCHEDULE__RULE_CRON:
      self = .cron(try Decode.text(schedule.cron, "cron"))
    case ROTA__V1__SCHEDULE__RULE_EVERY:
      guard let millis = try Decode.millis(schedule.every, "every") else { throw Decode.missing("every") }
      self = .fixedRate(everyMillis: millis)
    case ROTA__V1__SCHEDULE__RULE_FIXED_DELAY:
      guard let millis = try Decode.millis(schedule.fixed_delay, "fixed_delay") else {
        throw Decode.missing("fixed_delay")
      }
      self = .fixedDelay(delayMillis: millis)
    case ROTA__V1__SCHEDULE__RULE_FREQUENCY:
      guard schedule.frequency != ROTA__V1__FREQUENCY__FREQUENCY_ONCE else {
        throw ProtoError(
          .invalid, field: "frequency",
          "ONCE is no repetition: set `at`, or leave the schedule out and set execution_time")
      }
      guard let frequency = try Decode.choice(schedule.frequency, "frequency", as: Schedule.Frequency.self)
      else { throw Decode.missing("frequency") }
      self = .frequency(frequency)
    case ROTA__V1__SCHEDULE__RULE_AT:
      self = .at(try Decode.requiredTime(schedule.at, "at"))
    default:
      throw ProtoError(
        .missing, field: "rule", "is missing: set one of cron, every, fixed_delay, frequency and at")
    }
  }

  fileprivate func fill(_ schedule: UnsafeMutablePointer<Rota__V1__Schedule>, _ arena: Arena) {
    switch self {
    case .cron(let expression):
      schedule.pointee.rule_case = ROTA__V1__SCHEDULE__RULE_CRON
      schedule.pointee.cron = arena.text(expression)
    case .fixedRate(let millis):
      schedule.pointee.rule_case = ROTA__V1__SCHEDULE__RULE_EVERY
      schedule.pointee.every = arena.duration(millis: millis)
    case .fixedDelay(let millis):
      schedule.pointee.rule_case = ROTA__V1__SCHEDULE__RULE_FIXED_DELAY
      schedule.pointee.fixed_delay = arena.duration(millis: millis)
    case .frequency(let frequency):
      schedule.pointee.rule_case = ROTA__V1__SCHEDULE__RULE_FREQUENCY
      schedule.pointee.frequency = frequency.raw
    case .at(let time):
      schedule.pointee.rule_case = ROTA__V1__SCHEDULE__RULE_AT
      schedule.pointee.at = arena.time(time)
    }
  }
}

extension MisfirePolicy: Mapped {
  init(raw: UnsafePointer<Rota__V1__MisfirePolicy>) throws(ProtoError) {
    self.init()
    if let action = try Decode.choice(raw.pointee.policy, "policy", as: Action.self) { self.action = action }
    if raw.pointee.limit != 0 { limit = Int(raw.pointee.limit) }
    withinMillis = try Decode.millis(raw.pointee.within, "within")
    if let grace = try Decode.millis(raw.pointee.grace, "grace") { graceMillis = grace }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__MisfirePolicy>, _ arena: Arena) {
    raw.pointee.policy = action.raw
    if limit != Defaults.limit { raw.pointee.limit = Int32(wire: limit) }
    raw.pointee.within = arena.duration(millis: withinMillis)
    if graceMillis != Defaults.graceMillis { raw.pointee.grace = arena.duration(millis: graceMillis) }
  }
}

extension OverlapPolicy: Mapped {
  init(raw: UnsafePointer<Rota__V1__Overlap>) throws(ProtoError) {
    let limit = raw.pointee.limit
    switch raw.pointee.policy {
    case ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_QUEUE:
      self = .queue(limit: limit == 0 ? OverlapPolicy.defaultQueueLimit : Int(limit))
      return
    case ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_UNSPECIFIED, ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_ALLOW:
      self = .allow
    case ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_FORBID: self = .forbid
    case ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_REPLACE: self = .replace
    default:
      throw ProtoError(
        .invalid, field: "policy", "is \(raw.pointee.policy.rawValue), which is not a known value")
    }
    guard limit == 0 else { throw ProtoError(.invalid, field: "limit", "goes with QUEUE only") }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Overlap>, _ arena: Arena) {
    switch self {
    case .allow: raw.pointee.policy = ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_ALLOW
    case .forbid: raw.pointee.policy = ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_FORBID
    case .queue(let limit):
      raw.pointee.policy = ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_QUEUE
      raw.pointee.limit = Int32(wire: limit)
    case .replace: raw.pointee.policy = ROTA__V1__OVERLAP_ACTION__OVERLAP_ACTION_REPLACE
    }
  }
}

extension ScheduleState: Mapped {
  init(raw: UnsafePointer<Rota__V1__ScheduleState>) throws(ProtoError) {
    self.init(
      decidedThrough: try Decode.requiredTime(raw.pointee.decided_through, "decided_through"),
      runs: Int(raw.pointee.runs))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ScheduleState>, _ arena: Arena) {
    raw.pointee.decided_through = arena.time(decidedThrough)
    raw.pointee.runs = Int64(runs)
  }
}

// MARK: - Enumerations

extension Schedule.Frequency: WireEnum {
  static let wireValues: [(Schedule.Frequency, Rota__V1__Frequency)] = [
    (.hourly, ROTA__V1__FREQUENCY__FREQUENCY_HOURLY),
    (.daily, ROTA__V1__FREQUENCY__FREQUENCY_DAILY),
    (.weekly, ROTA__V1__FREQUENCY__FREQUENCY_WEEKLY),
    (.monthly, ROTA__V1__FREQUENCY__FREQUENCY_MONTHLY),
  ]
}

extension SubmitRequest.Frequency: WireEnum {
  static let wireValues: [(SubmitRequest.Frequency, Rota__V1__Frequency)] = [
    (.once, ROTA__V1__FREQUENCY__FREQUENCY_ONCE),
    (.hourly, ROTA__V1__FREQUENCY__FREQUENCY_HOURLY),
    (.daily, ROTA__V1__FREQUENCY__FREQUENCY_DAILY),
    (.weekly, ROTA__V1__FREQUENCY__FREQUENCY_WEEKLY),
    (.monthly, ROTA__V1__FREQUENCY__FREQUENCY_MONTHLY),
  ]
}

extension Schedule.GapPolicy: WireEnum {
  static let wireValues: [(Schedule.GapPolicy, Rota__V1__DstGap)] = [
    (.runAfter, ROTA__V1__DST_GAP__DST_GAP_RUN_AFTER),
    (.skip, ROTA__V1__DST_GAP__DST_GAP_SKIP),
  ]
}

extension Schedule.OverlapPolicy: WireEnum {
  static let wireValues: [(Schedule.OverlapPolicy, Rota__V1__DstOverlap)] = [
    (.first, ROTA__V1__DST_OVERLAP__DST_OVERLAP_FIRST),
    (.second, ROTA__V1__DST_OVERLAP__DST_OVERLAP_SECOND),
    (.both, ROTA__V1__DST_OVERLAP__DST_OVERLAP_BOTH),
  ]
}

extension MisfirePolicy.Action: WireEnum {
  static let wireValues: [(MisfirePolicy.Action, Rota__V1__MisfireAction)] = [
    (.skip, ROTA__V1__MISFIRE_ACTION__MISFIRE_ACTION_SKIP),
    (.latest, ROTA__V1__MISFIRE_ACTION__MISFIRE_ACTION_LATEST),
    (.all, ROTA__V1__MISFIRE_ACTION__MISFIRE_ACTION_ALL),
  ]
}

extension RunTrigger: WireEnum {
  static let wireValues: [(RunTrigger, Rota__V1__RunTrigger)] = [
    (.schedule, ROTA__V1__RUN_TRIGGER__RUN_TRIGGER_SCHEDULE),
    (.manual, ROTA__V1__RUN_TRIGGER__RUN_TRIGGER_MANUAL),
    (.backfill, ROTA__V1__RUN_TRIGGER__RUN_TRIGGER_BACKFILL),
    (.retry, ROTA__V1__RUN_TRIGGER__RUN_TRIGGER_RETRY),
  ]
}
