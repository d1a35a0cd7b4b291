import CProto
import CProtobufC

/// `google.rpc.Status`: an error with details that a program can read, sent in the trailing metadata
/// `grpc-status-details-bin`.
public struct StatusDetails: Hashable, Sendable {
  /// A field of the request, and what is wrong with it.
  public struct Violation: Hashable, Sendable {
    /// The path of the field in the request, such as `spec.exec.argv[0]`.
    public var field: String
    /// What is wrong, and what was expected.
    public var description: String

    /// A violation.
    public init(field: String, description: String) {
      self.field = field
      self.description = description
    }
  }

  /// The gRPC status code.
  public var code: Int32
  /// The sentence of `grpc-message`.
  public var message: String
  /// The fields that are to blame (`google.rpc.BadRequest`).
  public var violations: [Violation]
  /// How long to wait before the call is made again, milliseconds (`google.rpc.RetryInfo`); nil where that
  /// would not help or is not known.
  public var retryMillis: Int64?

  /// The details of an error.
  public init(code: Int32, message: String, violations: [Violation] = [], retryMillis: Int64? = nil) {
    self.code = code
    self.message = message
    self.violations = violations
    self.retryMillis = retryMillis
  }
}

// MARK: - Wire form

extension StatusDetails: Mapped, WireMessage {
  /// As `google.rpc.Status`.
  public static var codec: WireCodec<StatusDetails> { .mapped }

  /// Details of other types than these are left out.
  init(raw: UnsafePointer<Google__Rpc__Status>) throws(ProtoError) {
    self.init(code: raw.pointee.code, message: try Decode.text(raw.pointee.message, "message"))
    for packed in try Decode.list(raw.pointee.n_details, raw.pointee.details, "details", of: Packed.self) {
      do {
        switch packed.type {
        case BadRequest.type: violations += try packed.message(BadRequest.self).violations
        case RetryInfo.type: retryMillis = try packed.message(RetryInfo.self).millis
        default: break
        }
      } catch {
        throw error.inside("details")
      }
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Rpc__Status>, _ arena: Arena) {
    raw.pointee.code = code
    raw.pointee.message = arena.text(message)
    var details: [Packed] = []
    if !violations.isEmpty {
      details.append(Packed(type: BadRequest.type, bytes: pack(BadRequest(violations: violations))))
    }
    if let retryMillis {
      details.append(Packed(type: RetryInfo.type, bytes: pack(RetryInfo(millis: retryMillis))))
    }
    raw.pointee.details = arena.list(details, &raw.pointee.n_details)
  }
}

/// `google.protobuf.Any`
private struct Packed: Mapped {
  private static let prefix = "type.googleapis.com/"

  /// The full name of the message's type.
  var type: String
  var bytes: [UInt8]

  init(type: String, bytes: [UInt8]) {
    self.type = type
    self.bytes = bytes
  }

  init(raw: UnsafePointer<Google__Protobuf__Any>) throws(ProtoError) {
    // What is before the last slash says where the type could be looked up, which nobody does.
    let url = try Decode.text(raw.pointee.type_url, "type_url")
    type = url.split(separator: "/").last.map(String.init) ?? ""
    bytes = Decode.bytes(raw.pointee.value)
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Protobuf__Any>, _ arena: Arena) {
    raw.pointee.type_url = arena.text(Packed.prefix + type)
    raw.pointee.value = arena.bytes(bytes)
  }

  func message<Message: Mapped>(_ type: Message.Type) throws(ProtoError) -> Message {
    // The typed error is carried out by hand: `withUnsafeBytes` rethrows without its type.
    try bytes.withUnsafeBytes { buffer -> Result<Message, ProtoError> in
      Result { () throws(ProtoError) -> Message in try unpack(type, from: buffer) }
    }.get()
  }
}

/// `google.rpc.BadRequest`
private struct BadRequest: Mapped {
  static let type = "google.rpc.BadRequest"
  var violations: [StatusDetails.Violation]

  init(violations: [StatusDetails.Violation]) { self.violations = violations }

  init(raw: UnsafePointer<Google__Rpc__BadRequest>) throws(ProtoError) {
    violations = try Decode.list(
      raw.pointee.n_field_violations, raw.pointee.field_violations, "field_violations")
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Rpc__BadRequest>, _ arena: Arena) {
    raw.pointee.field_violations = arena.list(violations, &raw.pointee.n_field_violations)
  }
}

extension StatusDetails.Violation: Mapped {
  init(raw: UnsafePointer<Google__Rpc__BadRequest__FieldViolation>) throws(ProtoError) {
    self.init(
      field: try Decode.text(raw.pointee.field, "field"),
      description: try Decode.text(raw.pointee.description, "description"))
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Rpc__BadRequest__FieldViolation>, _ arena: Arena) {
    raw.pointee.field = arena.text(field)
    raw.pointee.description = arena.text(description)
  }
}

/// `google.rpc.RetryInfo`
private struct RetryInfo: Mapped {
  static let type = "google.rpc.RetryInfo"
  var millis: Int64?

  init(millis: Int64?) { self.millis = millis }

  init(raw: UnsafePointer<Google__Rpc__RetryInfo>) throws(ProtoError) {
    millis = try Decode.millis(raw.pointee.retry_delay, "retry_delay")
  }

  func fill(_ raw: UnsafeMutablePointer<Google__Rpc__RetryInfo>, _ arena: Arena) {
    raw.pointee.retry_delay = arena.duration(millis: millis)
  }
}
