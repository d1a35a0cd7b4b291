import JSON

/// Reads small requests in JSON as strictly as submissions: unknown members, members given twice and wrong types are
/// errors that name the field.
public enum RequestObject {
  /// Reads an object with the members `known`; one that is `null` counts as absent. What is wrong with the text as a
  /// whole is said of `body`.
  public static func read(
    _ bytes: [UInt8], known: [String], _ member: (String, inout JSONReader) throws -> Void
  ) throws(FieldError) {
    try FieldError.ofBody {
      try JSONReader.read(bytes) { try SpecDecoder(isStrict: true).object(&$0, known: known, member) }
    }
  }

  /// Reads an object of texts, such as `params`.
  public static func texts(_ reader: inout JSONReader) throws -> [String: String] {
    try SpecDecoder(isStrict: true).stringMap(&reader)
  }

  /// Reads a length of time in milliseconds: a text, or a whole number of seconds.
  public static func duration(_ reader: inout JSONReader) throws -> Int64 {
    try SpecDecoder(isStrict: true).duration(&reader)
  }

  /// Reads a point in time: a text, or a whole number of seconds since 1970.
  public static func time(_ reader: inout JSONReader) throws -> Timestamp {
    try SpecDecoder(isStrict: true).time(&reader)
  }
}
