import JSON

extension FailureFilter {
  /// Reads an object with `exit_codes`, `http_statuses` and `reasons`.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    self.init()
    try decoder.object(&reader, known: ["exit_codes", "http_statuses", "reasons"]) { name, reader in
      switch name {
      case "exit_codes": exitCodes = try decoder.list(&reader) { try Self.codes(&$0) }
      case "http_statuses": httpStatuses = try decoder.list(&reader) { try Self.codes(&$0) }
      default:
        reasons = try decoder.list(&reader) { reader in
          guard let reason = Reason(rawValue: try reader.string()) else {
            throw TextError("one of \(Reason.list) was expected")
          }
          return reason
        }
      }
    }
  }

  /// A text, or a whole number.
  private static func codes(_ reader: inout JSONReader) throws -> CodeRange {
    guard try reader.peek() == .number else { return try CodeRange(text: try reader.string()) }
    return CodeRange(try reader.wholeNumber())
  }

  /// Writes the filter as the member `name` of the object that is open.
  func writeMember(_ name: String, to json: inout JSONWriter) {
    json.key(name)
    json.beginObject()
    if !exitCodes.isEmpty { json.member("exit_codes", exitCodes.map(\.text)) }
    if !httpStatuses.isEmpty { json.member("http_statuses", httpStatuses.map(\.text)) }
    if !reasons.isEmpty { json.member("reasons", reasons.map(\.rawValue)) }
    json.endObject()
  }
}
