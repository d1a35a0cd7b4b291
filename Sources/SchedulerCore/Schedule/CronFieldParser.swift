/// Reads one field of a cron expression: a list of values, ranges and steps, and what only its kind has.
struct CronFieldParser {
  let field: CronField
  private let text: [UInt8]
  /// The position of the field in the expression, from 1.
  private let start: Int
  /// Nil for all values that `H` may have.
  private let hash: CronHash?
  private var index = 0

  /// The values, a bit for each.
  private(set) var values: UInt64 = 0
  /// The days that depend on the month.
  private(set) var special: CronExpression.SpecialDays?
  /// Whether it begins with `*`, or is `?`.
  private(set) var isWildcard = false

  init(field: CronField, text: [UInt8], position: Int, hash: CronHash?) {
    self.field = field
    self.text = text
    start = position
    self.hash = hash
  }

  mutating func parse() throws(TextError) {
    isWildcard = sees("*") || sees("?")
    if sees("?") {
      guard field.isDay else { throw error("'?' is only for the day of month and the day of week") }
      index += 1
      guard isAtEnd else { throw error("'?' stands alone in its field") }
      add(field.range)
      return
    }
    try item()
    while !isAtEnd {
      guard takes(",") else { throw unexpected() }
      try item()
    }
  }

  // MARK: Items of the list

  private mutating func item() throws(TextError) {
    if takes("*") {
      add(field.range, step: try step() ?? 1)
    } else if takes("H") {
      try spread()
    } else if field == .dayOfMonth, sees("L") {
      try lastDay()
    } else {
      try valueOrRange()
    }
  }

  /// `5`, `MON`, `1-5`, `22-2`, `5/15`, `1-31/2`, and what a day may have behind it.
  private mutating func valueOrRange() throws(TextError) {
    let first = try value()
    if field == .dayOfMonth, takes("W") {
      change { $0.nearestWorkdays |= 1 << UInt32(first) }
    } else if field == .dayOfWeek, takes("L") {
      change { $0.lastOfWeekday |= 1 << UInt8(first % 7) }
    } else if field == .dayOfWeek, takes("#") {
      let week = try number(1...5, "the number of a week (1-5)")
      change { $0.nthWeekdays |= 1 << UInt64((week - 1) * 7 + first % 7) }
    } else if takes("-") {
      let last = try value()
      try range(from: first, to: last, step: step() ?? 1)
    } else if let step = try step() {
      // 7 is Sunday, with which the week begins.
      add((first > field.range.upperBound ? 0 : first)...field.range.upperBound, step: step)
    } else {
      set(first)
    }
  }

  /// A range; one that ends before it begins goes on from the field's lowest value.
  private mutating func range(from first: Int, to last: Int, step: Int) throws(TextError) {
    if first <= last {
      add(first...last, step: step)
      return
    }
    // 7 is Sunday, with which the week begins.
    let first = first > field.range.upperBound ? 0 : first
    let range = field.range
    let length = last >= first ? last - first : last - first + range.count
    for distance in stride(from: 0, through: length, by: step) {
      set(range.lowerBound + (first - range.lowerBound + distance) % range.count)
    }
  }

  /// `L`, `L-3`, `LW`.
  private mutating func lastDay() throws(TextError) {
    index += 1
    if takes("W") {
      change { $0.lastWorkday = true }
      return
    }
    let back = takes("-") ? try number(0...30, "a number of days before the last (0-30)") : 0
    change { $0.beforeLast |= 1 << UInt32(back) }
  }

  /// `H`, `H(0-29)`, `H/15`, `H(0-29)/10`.
  private mutating func spread() throws(TextError) {
    var range = field.hashRange
    if takes("(") {
      let at = index
      let first = try value()
      guard takes("-") else { throw unexpected("a range such as H(0-29) was expected") }
      let last = try value()
      guard takes(")") else { throw unexpected("')' was expected") }
      guard first <= last, last <= field.range.upperBound else {
        throw error("the range of H has to rise, up to \(field.range.upperBound)", at: at)
      }
      range = first...last
    }
    let at = index
    let step = try step()
    if let step, step > range.count {
      throw error("a step over \(range.count) leaves this range", at: at + 1)
    }
    guard let hash else { return add(range) }
    if let step {
      let first = range.lowerBound...range.lowerBound + step - 1
      add(hash.value(for: field, in: first)...range.upperBound, step: step)
    } else {
      set(hash.value(for: field, in: range))
    }
  }

  // MARK: Values

  private mutating func step() throws(TextError) -> Int? {
    guard takes("/") else { return nil }
    let most = field.range.count
    return try number(1...most, "a step of the field \(field.title) (1-\(most))")
  }

  /// A number or a name.
  private mutating func value() throws(TextError) -> Int {
    if !isAtEnd, isLetter(text[index]) {
      let name = String(decoding: text[index..<min(index + 3, text.count)], as: UTF8.self)
      guard let number = field.names.firstIndex(of: name) else {
        if field == .dayOfWeek, sees("L") { throw error("say which day: 5L or FRIL is the last Friday") }
        throw unexpected("\(field.rule) was expected")
      }
      index += 3
      return field.range.lowerBound + number
    }
    return try number(field.range.lowerBound...field.highestWritten, field.rule)
  }

  /// A number of a range; what is none is "not" what `rule` says.
  private mutating func number(_ range: ClosedRange<Int>, _ rule: String) throws(TextError) -> Int {
    let at = index
    while !isAtEnd, (0x30...0x39).contains(text[index]) { index += 1 }
    guard index > at else { throw unexpected("\(rule) was expected") }
    guard index - at <= 4, let value = Int(String(decoding: text[at..<index], as: UTF8.self)) else {
      throw error("a number of so many digits is not \(rule)", at: at)
    }
    guard range.contains(value) else { throw error("\(value) is not \(rule)", at: at) }
    return value
  }

  private mutating func set(_ value: Int) {
    values |= 1 << UInt64(value > 6 && field == .dayOfWeek ? 0 : value)
  }

  private mutating func add(_ range: ClosedRange<Int>, step: Int = 1) {
    for value in stride(from: range.lowerBound, through: range.upperBound, by: step) { set(value) }
  }

  private mutating func change(_ body: (inout CronExpression.SpecialDays) -> Void) {
    var days = special ?? CronExpression.SpecialDays()
    body(&days)
    special = days
  }

  // MARK: Characters and errors

  private var isAtEnd: Bool { index == text.count }

  private func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) }

  private func sees(_ character: Unicode.Scalar) -> Bool {
    !isAtEnd && text[index] == UInt8(ascii: character)
  }

  private mutating func takes(_ character: Unicode.Scalar) -> Bool {
    guard sees(character) else { return false }
    index += 1
    return true
  }

  private func error(_ message: String, at index: Int? = nil) -> TextError {
    TextError("character \(start + (index ?? self.index)): \(message)")
  }

  /// The error for what stands at the present position.
  private func unexpected(_ hint: String? = nil) -> TextError {
    let hint = hint.map { "; " + $0 } ?? ""
    guard !isAtEnd else { return error("the field \(field.title) ends too early" + hint) }
    let byte = text[index]
    let shown = (0x21...0x7E).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "this character"
    return error("\(shown) cannot stand here in the field \(field.title)" + hint)
  }
}
