import JSON

/// A named set of excluded time, as its author writes it. It is validated, and made ready to be asked, by
/// `CompiledCalendar`.
public struct CalendarSpec: Hashable, Sendable {
  /// Excluded time from `from` up to, not including, `to`: each a time with an offset, or a local date or time
  /// of the calendar's zone, such as `2026-12-24` or `2026-12-24T18:00:00`.
  public struct Range: Hashable, Sendable {
    /// Where it begins.
    public var from: String
    /// Where it ends.
    public var to: String

    /// Makes a range.
    public init(from: String, to: String) {
      self.from = from
      self.to = to
    }
  }

  /// What it is for.
  public var description = ""
  /// The IANA name of the zone of its days and cron windows.
  public var timeZone = Schedule.Defaults.timeZone
  /// Excluded days: `2026-12-25`, each year `12-25`, each week `sat`.
  public var days: [String] = []
  /// Excluded ranges.
  public var ranges: [Range] = []
  /// Each second that one of these cron expressions matches is excluded.
  public var cron: [String] = []
  /// What people file it under, by name.
  public var labels: [String: String] = [:]

  /// Makes a calendar that excludes nothing.
  public init() {}
}

/// A calendar as etcd holds it.
public struct CalendarRecord: Hashable, Sendable {
  /// Which calendar.
  public var key: CalendarKey
  /// What it excludes.
  public var spec: CalendarSpec
  /// Rises with each change, from 1.
  public var generation = 1
  /// Names the change that made this generation: tells a change whose answer was lost from the same change made by
  /// somebody else.
  public var changeID: String?
  /// When it was created.
  public var createdAt: Timestamp
  /// When it was written last.
  public var updatedAt: Timestamp

  /// Makes a record of a new calendar.
  public init(key: CalendarKey, spec: CalendarSpec, createdAt: Timestamp) {
    self.key = key
    self.spec = spec
    self.createdAt = createdAt
    self.updatedAt = createdAt
  }
}

// MARK: - JSON

extension CalendarSpec {
  /// The members of a calendar.
  public static let names = ["description", "time_zone", "days", "ranges", "cron", "labels"]

  /// Reads what a user sent, strictly; `validate` checks the bounds. What is wrong with the text as a whole is
  /// said of `body`.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    self = try FieldError.ofBody {
      try JSONReader.read(bytes) { try SpecDecoder(isStrict: true).calendar(&$0) }
    }
  }

  /// Writes the members into the object that is open. Defaults are not written.
  public func writeJSON(to json: inout JSONWriter) {
    if !description.isEmpty { json.member("description", description) }
    if timeZone != Schedule.Defaults.timeZone { json.member("time_zone", timeZone) }
    if !days.isEmpty { json.member("days", days) }
    if !ranges.isEmpty {
      json.key("ranges")
      json.beginArray()
      for range in ranges {
        json.beginObject()
        json.member("from", range.from)
        json.member("to", range.to)
        json.endObject()
      }
      json.endArray()
    }
    if !cron.isEmpty { json.member("cron", cron) }
    if !labels.isEmpty { json.member("labels", labels) }
  }
}

extension CalendarRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512)
    json.beginObject()
    json.member("namespace", key.namespace)
    json.member("name", key.name)
    json.key("spec")
    json.beginObject()
    spec.writeJSON(to: &json)
    json.endObject()
    if generation != 1 { json.member("generation", generation) }
    json.optionalMember("change_id", changeID)
    json.member("created_at", createdAt)
    json.member("updated_at", updatedAt)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no calendar record.
  public init(decoding bytes: [UInt8], key: CalendarKey) throws {
    var spec: CalendarSpec?
    var generation = 1
    var changeID: String?
    var createdAt: Timestamp?
    var updatedAt: Timestamp?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "spec": spec = try SpecDecoder(isStrict: false).calendar(&reader)
      case "generation": generation = try reader.wholeNumber()
      case "change_id": changeID = try reader.string()
      case "created_at": createdAt = try reader.timestamp()
      case "updated_at": updatedAt = try reader.timestamp()
      default: try reader.skip()
      }
    }
    self.init(
      key: key, spec: try required(spec, "spec"), createdAt: try required(createdAt, "created_at"))
    self.generation = generation
    self.changeID = changeID
    self.updatedAt = updatedAt ?? self.createdAt
  }
}

extension SpecDecoder {
  /// Reads a calendar.
  func calendar(_ reader: inout JSONReader) throws -> CalendarSpec {
    var calendar = CalendarSpec()
    try object(&reader, known: CalendarSpec.names) { name, reader in
      switch name {
      case "description": calendar.description = try reader.string()
      case "time_zone": calendar.timeZone = try reader.string()
      case "days": calendar.days = try list(&reader) { try $0.string() }
      case "ranges": calendar.ranges = try list(&reader) { try calendarRange(&$0) }
      case "labels": calendar.labels = try stringMap(&reader)
      default: calendar.cron = try list(&reader) { try $0.string() }
      }
    }
    return calendar
  }

  private func calendarRange(_ reader: inout JSONReader) throws -> CalendarSpec.Range {
    var from: String?
    var to: String?
    try object(&reader, known: ["from", "to"]) { name, reader in
      if name == "from" { from = try reader.string() } else { to = try reader.string() }
    }
    guard let from else { throw FieldError(field: "from", message: "is required") }
    guard let to else { throw FieldError(field: "to", message: "is required") }
    return CalendarSpec.Range(from: from, to: to)
  }
}
