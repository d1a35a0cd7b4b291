import JSON

// What the codecs of all records share. Records are written without members that are absent or have
// their default, and read with unknown members skipped, so that old and new programs can share a cluster.

extension JSONWriter {
  /// Writes a member with a time.
  mutating func member(_ name: String, _ time: Timestamp) { member(name, time.rfc3339) }

  /// Writes a member with a time, if there is one.
  mutating func optionalMember(_ name: String, _ time: Timestamp?) {
    if let time { member(name, time.rfc3339) }
  }

  /// Writes a member with a string, if there is one.
  mutating func optionalMember(_ name: String, _ text: String?) {
    if let text { member(name, text) }
  }

  /// Writes a member with a whole number, if there is one.
  mutating func optionalMember(_ name: String, _ number: Int?) {
    if let number { member(name, number) }
  }

  /// Writes the members that name a job.
  mutating func keyMembers(_ key: JobKey) {
    member("namespace", key.namespace)
    member("job_id", key.jobID)
  }
}

extension JSONReader {
  /// Reads a time.
  mutating func timestamp() throws -> Timestamp {
    let text = try string()
    do throws(TextError) { return try Timestamp(rfc3339: text) } catch { throw self.error(error.message) }
  }

  /// Reads a word that stands for a case.
  mutating func word<Word: RawRepresentable>(_ type: Word.Type) throws -> Word
  where Word.RawValue == String {
    guard let word = Word(rawValue: try string()) else { throw error("unknown word for \(type)") }
    return word
  }

  /// Reads a whole number.
  mutating func wholeNumber() throws -> Int { Int(try int()) }

  /// Reads the object that is a whole record.
  static func readRecord(
    _ bytes: [UInt8], _ member: (String, inout JSONReader) throws -> Void
  ) throws {
    try JSONReader.read(bytes) { try $0.object(member) }
  }
}

/// The value of a member that a record cannot do without.
func required<Value>(_ value: Value?, _ field: String) throws(FieldError) -> Value {
  guard let value else { throw FieldError(field: field, message: "is missing from the record") }
  return value
}
