/// Numbers of bytes as people write them: `512MiB`, `1.5GiB`, `100MB`, `4096`.
public enum ByteText {
  /// Binary units as IEC 80000-13 has them, and as Kubernetes shortens them; decimal ones as the SI has them.
  private static let units: [(name: String, bytes: Int64)] = [
    ("", 1), ("B", 1),
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
    ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40),
    ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
  ]
  private static let form = "a number of bytes such as 512MiB, 1.5GiB or 100MB was expected"
  /// More digits than this say nothing that fits a number of bytes.
  private static let maxDigits = 18

  /// Reads a number of bytes. It may have a fraction, as long as whole bytes come out.
  public static func parse(_ text: String) throws(TextError) -> Int64 {
    let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unitName = text[number.endIndex...].drop { $0 == " " }
    guard let unit = units.first(where: { $0.name == unitName }) else {
      throw TextError("the units are KiB, MiB, GiB, TiB, and kB, MB, GB, TB: " + form)
    }
    let parts = number.split(separator: ".", omittingEmptySubsequences: false)
    let whole = parts.first ?? ""
    let fraction = parts.count > 1 ? parts[1] : ""
    guard !whole.isEmpty, parts.count == 1 || (parts.count == 2 && !fraction.isEmpty) else {
      throw TextError(form)
    }
    guard whole.count + fraction.count <= maxDigits, let digits = Int64(whole + fraction) else {
      throw TextError("at most \(maxDigits) digits: " + form)
    }
    let (product, overflow) = digits.multipliedReportingOverflow(by: unit.bytes)
    guard !overflow else { throw TextError("the number of bytes is too big") }
    var scale: Int64 = 1
    for _ in fraction { scale *= 10 }
    guard product.isMultiple(of: scale) else { throw TextError("a whole number of bytes was expected") }
    return product / scale
  }

  /// A text that `parse` reads as the same number: in the largest binary unit that leaves a whole number.
  public static func format(_ bytes: Int64) -> String {
    let binary = units.filter { $0.name.hasSuffix("iB") }
    guard bytes > 0, let unit = binary.last(where: { bytes.isMultiple(of: $0.bytes) }) else {
      return "\(bytes)"
    }
    return "\(bytes / unit.bytes)\(unit.name)"
  }
}
