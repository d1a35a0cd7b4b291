extension CronExpression {
  /// Reads an expression of five fields (minute, hour, day of month, month, day of week), of six with seconds
  /// in front, or a macro such as `@daily`. `H` is resolved for the job.
  /// - Throws: An error that names the character that is wrong.
  public init(_ text: String, job: JobKey) throws(TextError) {
    try self.init(text, job: job, secondsOfFive: 1)
  }

  /// As a window of time: where seconds are not written they are all meant, not the first.
  init(window text: String, job: JobKey) throws(TextError) {
    try self.init(text, job: job, secondsOfFive: Self.all60)
  }

  /// With all values that `H` may have, whatever the job.
  init(forAnyJob text: String) throws(TextError) { try self.init(text, job: nil, secondsOfFive: 1) }

  private init(_ text: String, job: JobKey?, secondsOfFive: UInt64) throws(TextError) {
    guard text.utf8.count <= SpecLimits.cronBytes else {
      throw TextError("has \(text.utf8.count) bytes; at most \(SpecLimits.cronBytes) are allowed")
    }
    let words = Self.words(of: text)
    guard let first = words.first else { throw Self.fieldCount(0) }
    if first.text.first == UInt8(ascii: "@") {
      try self.init(Self.expanded(macro: words), job: job, secondsOfFive: secondsOfFive)
      return
    }
    if words.count > 6 {
      throw TextError(
        "character \(words[6].position): a seventh field, as for years, is not accepted; "
          + "start_time and end_time bound a schedule")
    }
    guard words.count >= 5 else { throw Self.fieldCount(words.count) }
    self.init()
    seconds = secondsOfFive
    let hash = job.map { CronHash(job: $0) }
    for (field, word) in zip(CronField.allCases.suffix(words.count), words) {
      var parser = CronFieldParser(field: field, text: word.text, position: word.position, hash: hash)
      try parser.parse()
      take(parser, field, word.text)
    }
  }

  private static func fieldCount(_ count: Int) -> TextError {
    TextError(
      "five fields (minute, hour, day of month, month, day of week), or six with seconds in front, were "
        + "expected, and there are \(count)")
  }

  private mutating func take(_ field: CronFieldParser, _ kind: CronField, _ text: [UInt8]) {
    switch kind {
    case .second: seconds = field.values
    case .minute: minutes = field.values
    case .hour:
      hours = UInt32(truncatingIfNeeded: field.values)
      hasWildcardHours = field.isWildcard && !text.contains(UInt8(ascii: ","))
    case .month: months = UInt16(truncatingIfNeeded: field.values)
    case .dayOfMonth:
      days = UInt32(truncatingIfNeeded: field.values)
      eitherDay = !field.isWildcard
      special = field.special
    case .dayOfWeek:
      weekdays = UInt8(truncatingIfNeeded: field.values)
      eitherDay = eitherDay && !field.isWildcard
      if let found = field.special {
        var both = special ?? SpecialDays()
        both.lastOfWeekday = found.lastOfWeekday
        both.nthWeekdays = found.nthWeekdays
        special = both
      }
    }
  }

  // MARK: Words

  private struct Word {
    var text: [UInt8]
    /// Of its first character, from 1. What stands before is ASCII, or an error that comes first.
    var position: Int
  }

  private static func words(of text: String) -> [Word] {
    var words: [Word] = []
    var current: [UInt8] = []
    for (index, byte) in text.utf8.enumerated() {
      if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
        if !current.isEmpty { words.append(Word(text: current, position: index + 1 - current.count)) }
        current = []
      } else {
        let isLower = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
        current.append(isLower ? byte - 0x20 : byte)
      }
    }
    if !current.isEmpty {
      words.append(Word(text: current, position: text.utf8.count + 1 - current.count))
    }
    return words
  }

  // MARK: Macros

  private static let macros = [
    "@YEARLY": "0 0 1 1 *", "@ANNUALLY": "0 0 1 1 *", "@MONTHLY": "0 0 1 * *", "@WEEKLY": "0 0 * * 0",
    "@DAILY": "0 0 * * *", "@MIDNIGHT": "0 0 * * *", "@HOURLY": "0 * * * *",
  ]

  private static func expanded(macro words: [Word]) throws(TextError) -> String {
    let word = words[0]
    let name = String(decoding: word.text, as: UTF8.self)
    switch name {
    case "@REBOOT":
      throw TextError(
        "character \(word.position): @reboot means nothing in a cluster; submit a job without a schedule to "
          + "run it once, now")
    case "@EVERY":
      throw TextError(
        "character \(word.position): @every is no cron expression; use every, such as {\"every\": \"5m\"}")
    default: break
    }
    guard let meaning = macros[name] else {
      let known = macros.keys.sorted().map { $0.lowercased() }.joined(separator: ", ")
      throw TextError("character \(word.position): the macros are \(known)")
    }
    guard words.count == 1 else {
      throw TextError("character \(words[1].position): nothing may follow a macro")
    }
    return meaning
  }
}
