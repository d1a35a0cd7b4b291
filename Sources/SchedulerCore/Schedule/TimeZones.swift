/// All time zones that a program knows. It reads no files: their bytes come in (see ControlPlane's loader).
public final class TimeZones: Sendable {
  private let zones: [String: TimeZoneRules]
  /// The names of files that are no usable zone, with what is wrong.
  public let unreadable: [String: String]

  /// The longest file that is a zone, bytes; the longest of today have under 4 KiB.
  public static let maxFileBytes = 256 * 1_024

  /// Makes zones of the TZif files (RFC 8536 and 9636) by their IANA names. Broken files are left out and
  /// listed in `unreadable`. UTC is known whatever the files are.
  public init(files: [String: [UInt8]]) {
    var zones = ["UTC": TimeZoneRules.utc]
    var unreadable: [String: String] = [:]
    for (name, bytes) in files {
      do throws(TextError) {
        zones[name] = try TZifReader.read(bytes, name: name)
      } catch {
        unreadable[name] = error.message
      }
    }
    self.zones = zones
    self.unreadable = unreadable
  }

  /// Knows UTC alone.
  public static let utcOnly = TimeZones(files: [:])

  /// The names of all zones, sorted.
  public var names: [String] { zones.keys.sorted() }

  /// The zone of that name.
  /// - Throws: An error of the field `time_zone` that names the zone which was probably meant.
  public func zone(_ name: String) throws(FieldError) -> TimeZoneRules {
    if let zone = zones[name] { return zone }
    var message = "is not a known time zone; an IANA name such as Europe/Berlin or UTC was expected"
    if let meant = probablyMeant(name) { message = "is not a known time zone; did you mean \(meant)?" }
    throw FieldError(field: "time_zone", message: message)
  }

  /// The known name that differs in upper and lower case alone, or that has the city, or the nearest.
  private func probablyMeant(_ name: String) -> String? {
    guard name.utf8.count <= SpecLimits.timeZoneBytes else { return nil }
    let wanted = name.lowercased()
    let names = names
    if let same = names.first(where: { $0.lowercased() == wanted }) { return same }
    let city = "/" + wanted.replacing(" ", with: "_")
    if let inside = names.first(where: { $0.lowercased().hasSuffix(city) }) { return inside }
    return nearestName(to: name, in: names)
  }
}
