import JSON

// What users of REST write about previews and backfills.

/// The schedules that a preview is asked of: `{"schedules": ["0 3 * * *"], "count": 5}`.
public struct PreviewBody: Hashable, Sendable {
  /// The namespace whose calendars are meant.
  public var namespace = JobSpec.Defaults.namespace
  /// The schedules.
  public var schedules: [Schedule] = []
  /// From when; nil for now.
  public var after: Timestamp?
  /// How many; 0 for the default.
  public var count = 0

  /// Reads a body; the schedules' bounds are checked by the preview.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    var body = PreviewBody()
    let decoder = SpecDecoder(isStrict: true)
    try parse(bytes) { reader in
      try decoder.object(&reader, known: ["namespace", "schedules", "after", "count"]) { name, reader in
        switch name {
        case "namespace": body.namespace = try reader.string()
        case "schedules":
          body.schedules = try decoder.list(&reader) { try Schedule(decoding: &$0, with: decoder) }
        case "after": body.after = try decoder.time(&reader)
        default: body.count = Int(clamping: try reader.int())
        }
      }
    }
    self = body
  }

  private init() {}
}

/// The backfill that is asked for: `{"from": "2026-11-01T00:00:00Z", "to": "2026-11-08T00:00:00Z"}`.
public struct BackfillBody: Hashable, Sendable {
  /// Its id; nil for one that the server makes.
  public var backfillID: String?
  /// The first instant.
  public var from: Timestamp
  /// The last.
  public var to: Timestamp
  /// The order.
  public var order = BackfillRecord.Order.oldestFirst
  /// How many of its runs may be unfinished.
  public var parallelism = 1
  /// Values for its runs.
  public var params: [String: String] = [:]
  /// Whether only to say what it would do.
  public var dryRun = false

  private static let names = ["backfill_id", "from", "to", "order", "parallelism", "params", "dry_run"]

  /// Reads a body; bounds are checked by the service.
  public init(parsingJSON bytes: [UInt8]) throws(FieldError) {
    var from: Timestamp?
    var to: Timestamp?
    var body = BackfillBody(from: .earliest, to: .earliest)
    let decoder = SpecDecoder(isStrict: true)
    try parse(bytes) { reader in
      try decoder.object(&reader, known: Self.names) { name, reader in
        switch name {
        case "from": from = try decoder.time(&reader)
        case "to": to = try decoder.time(&reader)
        default: try body.decodeMember(name, &reader, decoder)
        }
      }
    }
    guard let from else { throw FieldError(field: "from", message: "is required") }
    guard let to else { throw FieldError(field: "to", message: "is required") }
    self = body
    self.from = from
    self.to = to
  }

  private init(from: Timestamp, to: Timestamp) {
    self.from = from
    self.to = to
  }

  private mutating func decodeMember(
    _ name: String, _ reader: inout JSONReader, _ decoder: SpecDecoder
  ) throws {
    switch name {
    case "backfill_id": backfillID = try reader.string()
    case "order": order = try decodeWord(&reader)
    case "parallelism": parallelism = Int(clamping: try reader.int())
    case "params": params = try decoder.stringMap(&reader)
    default: dryRun = try reader.bool()
    }
  }
}

/// Reads a text; what is wrong with it as a whole is said of `body`.
private func parse(
  _ bytes: [UInt8], _ read: (inout JSONReader) throws -> Void
) throws(FieldError) {
  do {
    try JSONReader.read(bytes, read)
  } catch let error as FieldError {
    throw error
  } catch {
    throw FieldError(field: "body", message: "\(error)")
  }
}
