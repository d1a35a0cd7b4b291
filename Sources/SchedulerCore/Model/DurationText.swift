/// Lengths of time as people write them: `1h30m`, `90s`, `500ms`, `1.5s`, `2d`.
public enum DurationText {
  /// The longest length of time: ten years of 365 days, milliseconds.
  public static let maxMillis: Int64 = 3_650 * 86_400_000

  private static let units: [(name: String, millis: Int64)] = [
    ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1),
  ]
  private static let form = "a length of time such as 30m, 1h30m, 1.5s or 500ms was expected"
  /// More digits than this say nothing that fits the bound.
  private static let maxDigits = 12

  /// Reads a length of time and returns its milliseconds. Units are d, h, m, s and ms, the longer first,
  /// each at most once; each number may have a fraction, as long as whole milliseconds come out.
  public static func parse(_ text: String) throws(TextError) -> Int64 {
    var rest = text.utf8[...]
    guard !rest.isEmpty else { throw TextError(form) }
    if rest.first == UInt8(ascii: "-") { throw TextError("a length of time cannot be negative") }
    var total: Int64 = 0
    var nextUnit = 0
    while !rest.isEmpty {
      let number = try takeNumber(&rest)
      let unitName = takeUnitName(&rest)
      guard !unitName.isEmpty else { throw TextError("a unit is missing (d, h, m, s or ms): " + form) }
      guard let unit = units.firstIndex(where: { $0.name == unitName }) else {
        throw TextError("the units are d, h, m, s and ms: " + form)
      }
      guard unit >= nextUnit else { throw TextError("longer units come first, each once: " + form) }
      nextUnit = unit + 1
      let millis = try number.times(units[unit].millis)
      guard millis <= maxMillis - total else { throw tooLong }
      total += millis
    }
    return total
  }

  /// The shortest text, without units that are zero, that `parse` reads as the same length: `1h30m`,
  /// `1m30s`, `1.5s`, `500ms`, `0s`. A negative length, which nothing valid has, gets a minus sign.
  public static func format(milliseconds: Int64) -> String {
    if milliseconds < 0 { return "-" + format(magnitude: milliseconds.magnitude) }
    return format(magnitude: milliseconds.magnitude)
  }

  private static func format(magnitude: UInt64) -> String {
    if magnitude == 0 { return "0s" }
    if magnitude < 1_000 { return "\(magnitude)ms" }
    var text = ""
    var rest = magnitude
    for (name, millis) in units.prefix(3) {
      let (count, remainder) = rest.quotientAndRemainder(dividingBy: UInt64(millis))
      if count > 0 { text += "\(count)\(name)" }
      rest = remainder
    }
    guard rest > 0 else { return text }
    text += "\(rest / 1_000)"
    var fraction = rest % 1_000
    if fraction > 0 {
      var digits = 3
      while fraction.isMultiple(of: 10) {
        fraction /= 10
        digits -= 1
      }
      let decimals = "\(fraction)"
      text += "." + String(repeating: "0", count: digits - decimals.utf8.count) + decimals
    }
    return text + "s"
  }

  private static let tooLong = TextError("a length of time is at most \(format(milliseconds: maxMillis))")

  // MARK: Parts

  /// A decimal number: `digits` / 10^`decimals`.
  private struct Decimal {
    var digits: Int64 = 0
    var decimals = 0

    /// The product, which has to be whole.
    func times(_ factor: Int64) throws(TextError) -> Int64 {
      let (product, overflow) = digits.multipliedReportingOverflow(by: factor)
      guard !overflow else { throw tooLong }
      var scale: Int64 = 1
      for _ in 0..<decimals { scale *= 10 }
      guard product.isMultiple(of: scale) else {
        throw TextError("a length of time is a whole number of milliseconds")
      }
      return product / scale
    }
  }

  private static func takeNumber(_ rest: inout Substring.UTF8View) throws(TextError) -> Decimal {
    var number = Decimal()
    var count = 0
    var sawPoint = false
    while let byte = rest.first {
      if byte == UInt8(ascii: "."), !sawPoint, count > 0 {
        sawPoint = true
      } else if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") {
        count += 1
        guard count <= maxDigits else { throw TextError("at most \(maxDigits) digits: " + form) }
        number.digits = number.digits * 10 + Int64(byte - UInt8(ascii: "0"))
        if sawPoint { number.decimals += 1 }
      } else {
        break
      }
      rest.removeFirst()
    }
    guard count > 0, !sawPoint || number.decimals > 0 else { throw TextError(form) }
    return number
  }

  private static func takeUnitName(_ rest: inout Substring.UTF8View) -> String {
    let name = rest.prefix { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") }
    rest = rest[name.endIndex...]
    return String(Substring(name))
  }
}
