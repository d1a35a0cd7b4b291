/// The `grpc-timeout` header: at most eight digits and a unit (gRPC over HTTP/2, "Timeout").
enum GRPCTimeout {
  private static let maxValue: Int64 = 99_999_999

  /// Nanoseconds per unit, finest first.
  private static let units: [(symbol: Character, nanoseconds: Int64)] = [
    ("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000),
    ("H", 3_600_000_000_000),
  ]

  /// The finest unit that fits, rounded up so that the peer never gives up before the caller does.
  static func encode(nanoseconds: Int64) -> String {
    let value = max(nanoseconds, 0)
    for unit in units {
      let amount = value / unit.nanoseconds + (value % unit.nanoseconds == 0 ? 0 : 1)
      if amount <= maxValue { return "\(amount)\(unit.symbol)" }
    }
    return "\(maxValue)H"
  }

  /// Nanoseconds, capped at `Int64.max` (292 years); nil when the text is malformed.
  static func decode(_ text: String) -> Int64? {
    guard let symbol = text.last, let unit = units.first(where: { $0.symbol == symbol }) else { return nil }
    let digits = text.dropLast()
    guard (1...8).contains(digits.utf8.count), digits.utf8.allSatisfy({ (48...57).contains($0) }),
      let amount = Int64(digits)
    else { return nil }
    let (product, overflow) = amount.multipliedReportingOverflow(by: unit.nanoseconds)
    return overflow ? Int64.max : product
  }
}

extension Duration {
  /// Whole nanoseconds, capped at the range of `Int64`.
  var cappedNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if overflow { return seconds < 0 ? .min : .max }
    let (sum, sumOverflow) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
    if sumOverflow { return seconds < 0 ? .min : .max }
    return sum
  }
}
