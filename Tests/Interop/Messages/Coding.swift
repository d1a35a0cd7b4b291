import CInteropProto
import CProtobufC
import NIOCore

/// Bytes that are not the message that they should be.
public struct MalformedMessage: Error, CustomStringConvertible {
  /// The message's name.
  public var type: String
  /// What is wrong.
  public var description: String { "the bytes are no \(type)" }
}

/// A message of `grpc.testing` as a Swift value.
public protocol InteropMessage: Sendable {
  /// Decodes a message.
  ///
  /// - Throws: `MalformedMessage`.
  init(wire: ByteBuffer) throws
  /// The message's bytes.
  func wire() -> ByteBuffer
}

/// What protoc-c generates for one message.
struct CFunctions<Raw> {
  var name: String
  var initialize: (UnsafeMutablePointer<Raw>) -> Void
  var unpack:
    (UnsafeMutablePointer<ProtobufCAllocator>?, Int, UnsafePointer<UInt8>?) -> UnsafeMutablePointer<Raw>?
  var free: (UnsafeMutablePointer<Raw>?, UnsafeMutablePointer<ProtobufCAllocator>?) -> Void
  var size: (UnsafePointer<Raw>?) -> Int
  var pack: (UnsafePointer<Raw>?, UnsafeMutablePointer<UInt8>?) -> Int
}

extension CFunctions {
  func decode<Value>(_ wire: ByteBuffer, _ read: (Raw) -> Value) throws -> Value {
    try wire.withUnsafeReadableBytes { bytes in
      guard let raw = unpack(nil, bytes.count, bytes.bindMemory(to: UInt8.self).baseAddress) else {
        throw MalformedMessage(type: name)
      }
      defer { free(raw, nil) }
      return read(raw.pointee)
    }
  }

  func encode(_ fill: (inout Raw, Scratch) -> Void) -> ByteBuffer {
    let scratch = Scratch()
    let raw = scratch.make(initialize)
    fill(&raw.pointee, scratch)
    let count = size(raw)
    var buffer = ByteBuffer()
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
      pack(raw, target.bindMemory(to: UInt8.self).baseAddress)
    }
    withExtendedLifetime(scratch) {}
    return buffer
  }
}

/// Memory for the C form of one message, all freed together.
final class Scratch {
  private var memory: [UnsafeMutableRawPointer] = []

  deinit {
    for pointer in memory { pointer.deallocate() }
  }

  func array<T>(_ type: T.Type, count: Int) -> UnsafeMutablePointer<T> {
    let pointer = UnsafeMutablePointer<T>.allocate(capacity: max(count, 1))
    memory.append(pointer)
    return pointer
  }

  func make<T>(_ initialize: (UnsafeMutablePointer<T>) -> Void) -> UnsafeMutablePointer<T> {
    let pointer = array(T.self, count: 1)
    initialize(pointer)
    return pointer
  }

  func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
    let data = array(UInt8.self, count: bytes.count)
    data.update(from: bytes, count: bytes.count)
    return ProtobufCBinaryData(len: bytes.count, data: data)
  }

  func payload(_ body: [UInt8]?) -> UnsafeMutablePointer<Grpc__Testing__Payload>? {
    guard let body else { return nil }
    let payload = make(grpc__testing__payload__init)
    payload.pointee.body = bytes(body)
    return payload
  }

  func bool(_ value: Bool?) -> UnsafeMutablePointer<Grpc__Testing__BoolValue>? {
    guard let value else { return nil }
    let pointer = make(grpc__testing__bool_value__init)
    pointer.pointee.value = value ? 1 : 0
    return pointer
  }

  func status(_ status: EchoStatus?) -> UnsafeMutablePointer<Grpc__Testing__EchoStatus>? {
    guard let status else { return nil }
    let pointer = make(grpc__testing__echo_status__init)
    pointer.pointee.code = Int32(clamping: status.code)
    pointer.pointee.message = bytes(Array(status.message.utf8))
    return pointer
  }
}

extension [UInt8] {
  init(_ data: ProtobufCBinaryData) {
    self.init(UnsafeBufferPointer(start: data.data, count: data.len))
  }

  /// A payload's body; nil when there is no payload.
  init?(_ payload: UnsafeMutablePointer<Grpc__Testing__Payload>?) {
    guard let payload else { return nil }
    self.init(payload.pointee.body)
  }
}

extension Bool {
  init?(_ value: UnsafeMutablePointer<Grpc__Testing__BoolValue>?) {
    guard let value else { return nil }
    self = value.pointee.value != 0
  }
}
