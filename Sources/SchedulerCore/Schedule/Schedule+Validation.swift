extension Schedule {
  /// Checks everything that can be checked without the job: bounds, names, expression and zone; an
  /// expression that no day matches is refused.
  public func validate(zones: TimeZones) throws(FieldError) {
    try validateRule()
    try validateBounds()
    try JobSpec.check(millis: jitterMillis, in: 0...SpecLimits.jitterMillis, field: "jitter")
    try validateCalendars()
    _ = try zones.zone(timeZone)
    if case .cron(let text) = rule { try Self.validate(cron: text) }
  }

  private static func validate(cron text: String) throws(FieldError) {
    let expression: CronExpression
    do throws(TextError) { expression = try CronExpression(forAnyJob: text) } catch {
      throw FieldError(field: "cron", message: error.message)
    }
    guard expression.matchesSomeDay else {
      throw FieldError(field: "cron", message: "no day matches it: there is no such day in these months")
    }
  }

  private func validateRule() throws(FieldError) {
    switch rule {
    case .cron, .frequency: break
    case .fixedRate(let millis):
      try JobSpec.check(millis: millis, in: SpecLimits.intervalMillis, field: "every")
    case .fixedDelay(let millis):
      try JobSpec.check(millis: millis, in: SpecLimits.intervalMillis, field: "fixed_delay")
    case .at(let time):
      guard time.isInAcceptedYears else { throw Self.outsideYears("at") }
    }
  }

  private func validateBounds() throws(FieldError) {
    if let startTime, !startTime.isInAcceptedYears { throw Self.outsideYears("start_time") }
    if let endTime, !endTime.isInAcceptedYears { throw Self.outsideYears("end_time") }
    if let startTime, let endTime, endTime < startTime {
      throw FieldError(field: "end_time", message: "has to be later than start_time")
    }
    if let maxRuns { try JobSpec.check(maxRuns, in: 1...SpecLimits.scheduleRuns, field: "max_runs") }
  }

  private func validateCalendars() throws(FieldError) {
    guard calendars.count <= SpecLimits.scheduleCalendars else {
      throw FieldError(
        field: "calendars",
        message: "there are \(calendars.count); at most \(SpecLimits.scheduleCalendars) are allowed")
    }
    for (index, name) in calendars.enumerated() {
      let field = "calendars[\(index)]"
      guard Identifier.isValid(name) else {
        throw FieldError(field: field, message: "an identifier has " + Identifier.rule)
      }
      guard !calendars[..<index].contains(name) else {
        throw FieldError(field: field, message: "is given twice")
      }
    }
  }

  static func outsideYears(_ field: String) -> FieldError {
    let years = Timestamp.years
    return FieldError(
      field: field, message: "a time from \(years.lowerBound) to \(years.upperBound) was expected")
  }
}

extension MisfirePolicy {
  /// Checks the bounds.
  public func validate() throws(FieldError) {
    try JobSpec.check(limit, in: SpecLimits.misfireRuns, field: "limit")
    if let withinMillis {
      try JobSpec.check(millis: withinMillis, in: 1_000...SpecLimits.misfireMillis, field: "within")
    }
    try JobSpec.check(millis: graceMillis, in: 0...SpecLimits.misfireMillis, field: "grace")
  }
}

extension OverlapPolicy {
  /// Checks the bounds.
  public func validate() throws(FieldError) {
    if case .queue(let limit) = self { try JobSpec.check(limit, in: SpecLimits.overlapQueue, field: "limit") }
  }
}
