import CProto
import CProtobufC
import SchedulerCore

/// The C form of Swift values, made in an arena.
extension Arena {
  /// A C message with nothing in it.
  func blank<Raw: CMessage>(_ type: Raw.Type) -> UnsafeMutablePointer<Raw> {
    let raw = array(of: type, count: 1)
    Raw.initialise(raw)
    return raw
  }

  /// A message.
  func message<Message: Mapped>(_ message: Message) -> UnsafeMutablePointer<Message.Raw> {
    let raw = blank(Message.Raw.self)
    message.fill(raw, self)
    return raw
  }

  /// A message, or nothing.
  func optional<Message: Mapped>(_ value: Message?) -> UnsafeMutablePointer<Message.Raw>? {
    value.map { message($0) }
  }

  /// A repeated message: the list, and its length.
  func list<Message: Mapped>(
    _ messages: [Message], _ count: inout Int
  ) -> UnsafeMutablePointer<UnsafeMutablePointer<Message.Raw>?>? {
    count = messages.count
    guard !messages.isEmpty else { return nil }
    let list = array(of: UnsafeMutablePointer<Message.Raw>?.self, count: messages.count)
    for (index, value) in messages.enumerated() {
      (list + index).initialize(to: message(value))
    }
    return list
  }

  /// A text.
  func text(_ text: String) -> ProtobufCBinaryData {
    var text = text
    return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
  }

  /// A text, empty for nil.
  func text(_ value: String?) -> ProtobufCBinaryData {
    guard let value else { return ProtobufCBinaryData() }
    return text(value)
  }

  /// Bytes.
  func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
    bytes.withUnsafeBytes { copy($0) }
  }

  /// A repeated text: the list, and its length.
  func texts(_ texts: [String], _ count: inout Int) -> UnsafeMutablePointer<ProtobufCBinaryData>? {
    values(texts.map { text($0) }, &count)
  }

  /// A repeated field of plain values: the list, and its length.
  func values<Value>(_ values: [Value], _ count: inout Int) -> UnsafeMutablePointer<Value>? {
    count = values.count
    guard !values.isEmpty else { return nil }
    let list = array(of: Value.self, count: values.count)
    for (index, value) in values.enumerated() { (list + index).initialize(to: value) }
    return list
  }

  /// A map, ordered by its keys so that equal maps give equal bytes: the list, and its length.
  func map(
    _ map: [String: String], _ count: inout Int
  ) -> UnsafeMutablePointer<UnsafeMutablePointer<Rota__V1__MapEntry>?>? {
    count = map.count
    guard !map.isEmpty else { return nil }
    let list = array(of: UnsafeMutablePointer<Rota__V1__MapEntry>?.self, count: map.count)
    for (index, (key, value)) in map.sorted(by: { $0.key < $1.key }).enumerated() {
      let entry = blank(Rota__V1__MapEntry.self)
      entry.pointee.key = text(key)
      entry.pointee.value = text(value)
      (list + index).initialize(to: entry)
    }
    return list
  }

  /// A time, or nothing.
  func time(_ time: Timestamp?) -> UnsafeMutablePointer<Google__Protobuf__Timestamp>? {
    guard let time else { return nil }
    let (seconds, micros) = time.microseconds.flooredDivision(by: 1_000_000)
    let raw = blank(Google__Protobuf__Timestamp.self)
    raw.pointee.seconds = seconds
    raw.pointee.nanos = Int32(micros * 1_000)
    return raw
  }

  /// A length of time, or nothing.
  func duration(millis: Int64?) -> UnsafeMutablePointer<Google__Protobuf__Duration>? {
    guard let millis else { return nil }
    let raw = blank(Google__Protobuf__Duration.self)
    raw.pointee.seconds = millis / 1_000
    raw.pointee.nanos = Int32(millis % 1_000 * 1_000_000)
    return raw
  }
}

extension Int64 {
  /// Quotient and remainder, the remainder never negative.
  fileprivate func flooredDivision(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

extension Int32 {
  /// The nearest value: the wire has 32 bits where the model has more, and no valid value needs them.
  init(wire value: Int) { self.init(clamping: value) }
}
