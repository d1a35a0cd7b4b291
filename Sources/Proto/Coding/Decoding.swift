import CProto
import CProtobufC
import SchedulerCore

/// The values of a C message, as Swift ones.
enum Decode {
  /// A text; empty where the field is absent.
  static func text(_ data: ProtobufCBinaryData, _ field: StaticString) throws(ProtoError) -> String {
    guard data.len > 0 else { return "" }
    let bytes = UnsafeBufferPointer(start: data.data, count: data.len)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ProtoError(.invalid, field: "\(field)", "is not valid UTF-8")
    }
    return text
  }

  /// A text, or nil where it is empty.
  static func optionalText(_ data: ProtobufCBinaryData, _ field: StaticString) throws(ProtoError) -> String? {
    data.len == 0 ? nil : try text(data, field)
  }

  /// Bytes.
  static func bytes(_ data: ProtobufCBinaryData) -> [UInt8] {
    Array(UnsafeBufferPointer(start: data.data, count: data.len))
  }

  /// A repeated text.
  static func texts(
    _ count: Int, _ list: UnsafeMutablePointer<ProtobufCBinaryData>?, _ field: StaticString
  ) throws(ProtoError) -> [String] {
    guard let list, count > 0 else { return [] }
    var texts: [String] = []
    texts.reserveCapacity(count)
    for index in 0..<count {
      do { texts.append(try text(list[index], field)) } catch {
        throw ProtoError(error.code, field: "\(field)[\(index)]", error.message)
      }
    }
    return texts
  }

  /// A map; of equal keys the last counts.
  static func map(
    _ count: Int, _ list: UnsafeMutablePointer<UnsafeMutablePointer<Rota__V1__MapEntry>?>?,
    _ field: StaticString
  ) throws(ProtoError) -> [String: String] {
    guard let list, count > 0 else { return [:] }
    var map: [String: String] = [:]
    map.reserveCapacity(count)
    for index in 0..<count {
      guard let entry = list[index] else { continue }
      let key = try text(entry.pointee.key, field)
      do { map[key] = try text(entry.pointee.value, field) } catch {
        throw ProtoError(error.code, field: "\(field)[\(key)]", error.message)
      }
    }
    return map
  }

  /// A message, or nil where it is absent.
  static func optional<Message: Mapped>(
    _ raw: UnsafeMutablePointer<Message.Raw>?, _ field: StaticString, as type: Message.Type = Message.self
  ) throws(ProtoError) -> Message? {
    guard let raw else { return nil }
    do { return try Message(raw: UnsafePointer(raw)) } catch { throw error.inside("\(field)") }
  }

  /// A message that has to be there.
  static func required<Message: Mapped>(
    _ raw: UnsafeMutablePointer<Message.Raw>?, _ field: StaticString, as type: Message.Type = Message.self
  ) throws(ProtoError) -> Message {
    guard let message = try optional(raw, field, as: type) else { throw missing(field) }
    return message
  }

  /// A repeated message.
  static func list<Message: Mapped>(
    _ count: Int, _ list: UnsafeMutablePointer<UnsafeMutablePointer<Message.Raw>?>?, _ field: StaticString,
    of type: Message.Type = Message.self
  ) throws(ProtoError) -> [Message] {
    guard let list, count > 0 else { return [] }
    var messages: [Message] = []
    messages.reserveCapacity(count)
    for index in 0..<count {
      guard let raw = list[index] else { continue }
      do { messages.append(try Message(raw: UnsafePointer(raw))) } catch {
        throw error.inside("\(field)[\(index)]")
      }
    }
    return messages
  }

  /// An enumeration, or nil where it is unspecified.
  static func choice<Choice: WireEnum>(
    _ raw: Choice.Raw, _ field: StaticString, as type: Choice.Type = Choice.self
  ) throws(ProtoError) -> Choice? {
    if raw.rawValue == 0 { return nil }
    for (choice, number) in Choice.wireValues where number == raw { return choice }
    throw ProtoError(.invalid, field: "\(field)", "is \(raw.rawValue), which is not a known value")
  }

  /// An error that says that `field` is absent.
  static func missing(_ field: StaticString) -> ProtoError {
    ProtoError(.missing, field: "\(field)", "is missing")
  }
}

// MARK: - Time

extension Decode {
  /// The seconds that google/protobuf/timestamp.proto allows: the years 1 to 9999.
  private static let timestampSeconds: ClosedRange<Int64> = -62_135_596_800...253_402_300_799
  /// The seconds that google/protobuf/duration.proto allows: ±10,000 years.
  private static let durationSeconds: ClosedRange<Int64> = -315_576_000_000...315_576_000_000

  /// A time, to the microsecond below; nil where it is absent.
  static func time(
    _ raw: UnsafeMutablePointer<Google__Protobuf__Timestamp>?, _ field: StaticString
  ) throws(ProtoError) -> Timestamp? {
    guard let raw else { return nil }
    let (seconds, nanos) = (raw.pointee.seconds, Int64(raw.pointee.nanos))
    guard timestampSeconds.contains(seconds), (0..<1_000_000_000).contains(nanos) else {
      throw ProtoError(.invalid, field: "\(field)", "is not a time between the years 1 and 9999")
    }
    return Timestamp(microseconds: seconds * 1_000_000 + nanos / 1_000)
  }

  /// A time that has to be there.
  static func requiredTime(
    _ raw: UnsafeMutablePointer<Google__Protobuf__Timestamp>?, _ field: StaticString
  ) throws(ProtoError) -> Timestamp {
    guard let time = try time(raw, field) else { throw missing(field) }
    return time
  }

  /// A length of time in milliseconds, rounded away from zero so that a short one does not become none;
  /// nil where it is absent.
  static func millis(
    _ raw: UnsafePointer<Google__Protobuf__Duration>?, _ field: StaticString
  ) throws(ProtoError) -> Int64? {
    guard let raw else { return nil }
    let (seconds, nanos) = (raw.pointee.seconds, Int64(raw.pointee.nanos))
    let agree = seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0)
    guard durationSeconds.contains(seconds), (-999_999_999...999_999_999).contains(nanos), agree else {
      throw ProtoError(.invalid, field: "\(field)", "is not a duration")
    }
    let whole = nanos / 1_000_000
    let rest = nanos % 1_000_000
    return seconds * 1_000 + whole + (rest == 0 ? 0 : rest.signum())
  }
}
