extension JobSpec {
  /// Checks when the job runs, and what it is given.
  func validateSchedules(zones: TimeZones?) throws(FieldError) {
    guard schedules.count <= SpecLimits.schedules else {
      throw FieldError(
        field: "schedules",
        message: "there are \(schedules.count); at most \(SpecLimits.schedules) are allowed")
    }
    guard schedules.isEmpty || executionTime == nil else {
      throw FieldError(
        field: "execution_time",
        message: "is for a job that runs once, and this one has schedules; they have start_time and at")
    }
    for (index, schedule) in schedules.enumerated() {
      guard !schedules[..<index].contains(schedule) else {
        throw FieldError(field: "schedules[\(index)]", message: "is given twice")
      }
      guard let zones else { continue }
      do throws(FieldError) { try schedule.validate(zones: zones) } catch {
        throw error.inside("schedules[\(index)]")
      }
    }
    do throws(FieldError) { try misfire.validate() } catch { throw error.inside("misfire") }
    do throws(FieldError) { try overlap.validate() } catch { throw error.inside("overlap") }
    try Params.validate(params)
  }

  /// About how much text the schedules hold, bytes.
  var scheduleTextBytes: Int {
    schedules.reduce(0) { sum, schedule in
      let rule = if case .cron(let text) = schedule.rule { text.utf8.count } else { 0 }
      return schedule.calendars.reduce(sum + rule + schedule.timeZone.utf8.count) { $0 + $1.utf8.count }
    }
  }
}

/// The values that a job, a trigger or a backfill gives to a run.
public enum Params {
  /// Checks their names and bounds. An error's field is that of the value, as `params.name`.
  public static func validate(_ params: [String: String]) throws(FieldError) {
    guard params.count <= SpecLimits.params else {
      throw FieldError(
        field: "params", message: "there are \(params.count); at most \(SpecLimits.params) are allowed")
    }
    var total = 0
    for (name, value) in params {
      let check = TextCheck(field: "params.\(FieldError.shown(name))")
      guard isName(name) else {
        throw check.error(
          "a name has letters, digits and '_', first a letter or '_', at most \(SpecLimits.paramNameBytes)")
      }
      try check.noNUL(value)
      total += name.utf8.count + value.utf8.count
    }
    guard total <= SpecLimits.paramBytes else {
      throw FieldError(
        field: "params",
        message: "names and values together have \(total) bytes; at most \(SpecLimits.paramBytes) are allowed"
      )
    }
  }

  /// Whether `text` is `[A-Za-z_][A-Za-z0-9_]{0,63}`.
  private static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= SpecLimits.paramNameBytes else { return false }
    func isLetter(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
    let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
    return isLetter(first) && text.utf8.allSatisfy { isLetter($0) || digits.contains($0) }
  }
}
