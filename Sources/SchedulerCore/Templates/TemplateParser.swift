extension Template {
  /// Reads a template. `\{{` is a literal `{{`; before a place, two backslashes are one.
  init(parsing text: String) throws(TemplateError) {
    var parser = TemplateParser(text)
    parts = try parser.template()
  }
}

private struct TemplateParser {
  private let bytes: [UInt8]
  private var position = 0
  /// How many characters the first bytes are: places come in order, so each byte is counted once.
  private var counted = (bytes: 0, characters: 0)

  init(_ text: String) { bytes = Array(text.utf8) }

  private static let hint = "; for a literal '{{' write '\\{{'"

  /// An error at a byte, which is told as a character.
  private mutating func error(at offset: Int, _ message: String) -> TemplateError {
    TemplateError(character: character(at: offset), message: message)
  }

  private mutating func character(at offset: Int) -> Int {
    if offset < counted.bytes { counted = (0, 0) }
    // Bytes that continue a character of UTF-8 do not count.
    counted.characters += bytes[counted.bytes..<offset].count { $0 & 0xC0 != 0x80 }
    counted.bytes = offset
    return counted.characters + 1
  }

  // MARK: Text

  mutating func template() throws(TemplateError) -> [Template.Part] {
    var parts: [Template.Part] = []
    var literal: [UInt8] = []
    while position < bytes.count {
      guard isNext("{{") else {
        literal.append(bytes[position])
        position += 1
        continue
      }
      let backslashes = literal.reversed().prefix { $0 == UInt8(ascii: "\\") }.count
      literal.removeLast((backslashes + 1) / 2)
      if backslashes.isMultiple(of: 2) {
        if !literal.isEmpty { parts.append(.text(String(decoding: literal, as: UTF8.self))) }
        literal = []
        parts.append(.place(try place()))
      } else {
        literal += Array("{{".utf8)
        position += 2
      }
    }
    if !literal.isEmpty { parts.append(.text(String(decoding: literal, as: UTF8.self))) }
    return parts
  }

  private func isNext(_ token: StaticString) -> Bool {
    let end = position + token.utf8CodeUnitCount
    guard end <= bytes.count else { return false }
    return bytes[position..<end].elementsEqual(
      UnsafeBufferPointer(start: token.utf8Start, count: end - position))
  }

  // MARK: Places

  private mutating func place() throws(TemplateError) -> Template.Place {
    let start = position
    position += 2
    var place = Template.Place(value: try value(), character: character(at: start))
    var type = place.value.type
    while true {
      skipSpaces()
      if isNext("}}") { break }
      guard position < bytes.count else {
        throw error(at: start, "the '{{' here is not closed by '}}'" + Self.hint)
      }
      guard bytes[position] == UInt8(ascii: "|") else {
        throw error(at: position, "'|' and a filter, or '}}', was expected" + Self.hint)
      }
      position += 1
      place.filters.append(try filter(of: &type))
    }
    position += 2
    return place
  }

  private mutating func value() throws(TemplateError) -> TemplateValue {
    skipSpaces()
    let start = position
    let name = word()
    guard !name.isEmpty else {
      throw error(at: start, "the name of a value, such as scheduled_time, was expected" + Self.hint)
    }
    if let value = TemplateValue.byName[name] { return value }
    if name.hasPrefix(TemplateValue.paramPrefix) {
      let param = String(name.dropFirst(TemplateValue.paramPrefix.count))
      guard !param.isEmpty, !param.contains(".") else {
        throw error(at: start, "the name of a parameter, as in params.region, was expected")
      }
      return .param(param)
    }
    let shown = FieldError.shown(name)
    let names = TemplateValue.byName.keys.sorted()
    let meant = nearestName(to: name, in: names).map { "; did you mean '\($0)'?" }
    let known = "; the values are \(names.joined(separator: ", ")) and params.NAME"
    throw error(at: start, "there is no value '\(shown)'" + (meant ?? known) + Self.hint)
  }

  // MARK: Filters

  private mutating func filter(of type: inout TemplateType) throws(TemplateError) -> TemplateFilter {
    skipSpaces()
    let start = position
    let name = word()
    guard let filter = try filter(named: name, at: start) else {
      let meant = nearestName(to: name, in: TemplateFilter.names).map { "; did you mean '\($0)'?" }
      let known = "; the filters are \(TemplateFilter.names.joined(separator: ", "))"
      let what =
        name.isEmpty ? "the name of a filter was expected" : "no filter is called '\(FieldError.shown(name))'"
      throw error(at: start, what + (meant ?? known))
    }
    guard !filter.needsTime || type == .time else {
      throw error(at: start, "'\(name)' needs a time, and what comes before it is \(type.rawValue)")
    }
    type = filter.result
    return filter
  }

  private mutating func filter(named name: String, at start: Int) throws(TemplateError) -> TemplateFilter? {
    switch name {
    case "date": return .format(.date)
    case "time": return .format(.time)
    case "datetime": return .format(.dateAndTime)
    case "format":
      let argument = try argument(of: name, such: "\"%Y/%m/%d\"")
      do throws(TextError) { return .format(try TimeFormat(argument.text)) } catch {
        throw self.error(at: argument.offset, error.message)
      }
    case "rfc3339": return .rfc3339
    case "unix": return .unix
    case "unix_ms": return .unixMillis
    case "in_zone": return .inZone(try argument(of: name, such: "\"Europe/Berlin\"").text)
    case "plus": return try shift(name, sign: 1)
    case "minus": return try shift(name, sign: -1)
    case "default": return .fallback(try argument(of: name, such: "\"never\"").text)
    case "upper": return .upper
    case "lower": return .lower
    case "json": return .json
    case "urlencode": return .urlencode
    default: return nil
    }
  }

  /// Days are days of the calendar, so that a day before is the day before where clocks change, too.
  private mutating func shift(_ name: String, sign: Int64) throws(TemplateError) -> TemplateFilter {
    let argument = try argument(of: name, such: "1d or 2h30m")
    do throws(TextError) {
      // What is too long or no length of time is found here, days included.
      let total = try DurationText.parse(argument.text)
      let digits = argument.text.prefix { $0 != "d" }
      guard digits.count < argument.text.count, let days = Int64(digits) else {
        return .shift(days: 0, millis: sign * total)
      }
      return .shift(days: sign * days, millis: sign * (total - days * 86_400_000))
    } catch {
      throw self.error(at: argument.offset, error.message)
    }
  }

  // MARK: Words

  private mutating func skipSpaces() {
    while position < bytes.count, Self.isSpace(bytes[position]) { position += 1 }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// Letters, digits, `_` and `.`.
  private mutating func word() -> String {
    let start = position
    while position < bytes.count, Self.isWordByte(bytes[position]) { position += 1 }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."):
      true
    default: false
    }
  }

  /// A text in double or single quotes, in which a backslash takes the next character as it is, or one word.
  private mutating func argument(
    of filter: String, such example: String
  ) throws(TemplateError) -> (text: String, offset: Int) {
    skipSpaces()
    let start = position
    let quote = position < bytes.count ? bytes[position] : 0
    var text: [UInt8] = []
    guard quote == UInt8(ascii: "\"") || quote == UInt8(ascii: "'") else {
      while position < bytes.count, !Self.isSpace(bytes[position]), bytes[position] != UInt8(ascii: "|"),
        !isNext("}}")
      {
        text.append(bytes[position])
        position += 1
      }
      guard !text.isEmpty else {
        throw error(at: start, "'\(filter)' needs an argument, such as \(filter) \(example)")
      }
      return (String(decoding: text, as: UTF8.self), start)
    }
    position += 1
    while position < bytes.count, bytes[position] != quote {
      if bytes[position] == UInt8(ascii: "\\"), position + 1 < bytes.count { position += 1 }
      text.append(bytes[position])
      position += 1
    }
    guard position < bytes.count else { throw error(at: start, "the quote here is not closed") }
    position += 1
    return (String(decoding: text, as: UTF8.self), start)
  }
}
