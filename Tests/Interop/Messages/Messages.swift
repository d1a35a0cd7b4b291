import CInteropProto
import NIOCore

/// The status that a server shall end a call with.
public struct EchoStatus: Sendable {
  /// A gRPC status code.
  public var code: Int
  /// The status message.
  public var message: String

  /// A status.
  public init(code: Int, message: String) {
    self.code = code
    self.message = message
  }

  init?(_ raw: UnsafeMutablePointer<Grpc__Testing__EchoStatus>?) {
    guard let raw else { return nil }
    code = Int(raw.pointee.code)
    message = String(decoding: [UInt8](raw.pointee.message), as: UTF8.self)
  }
}

/// `grpc.testing.SimpleRequest`.
public struct SimpleRequest: InteropMessage {
  /// Bytes of the response's payload.
  public var responseSize = 0
  /// The payload's bytes.
  public var payload: [UInt8]?
  /// Whether the response shall be compressed.
  public var responseCompressed: Bool?
  /// The status to end the call with.
  public var responseStatus: EchoStatus?
  /// Whether this message is compressed.
  public var expectCompressed: Bool?

  /// An empty request.
  public init() {}

  private static var functions: CFunctions<Grpc__Testing__SimpleRequest> {
    CFunctions(
      name: "SimpleRequest", initialize: grpc__testing__simple_request__init,
      unpack: grpc__testing__simple_request__unpack, free: grpc__testing__simple_request__free_unpacked,
      size: grpc__testing__simple_request__get_packed_size, pack: grpc__testing__simple_request__pack)
  }

  /// Decodes a message.
  public init(wire: ByteBuffer) throws {
    self = try SimpleRequest.functions.decode(wire) { raw in
      var value = SimpleRequest()
      value.responseSize = Int(raw.response_size)
      value.payload = [UInt8](raw.payload)
      value.responseCompressed = Bool(raw.response_compressed)
      value.responseStatus = EchoStatus(raw.response_status)
      value.expectCompressed = Bool(raw.expect_compressed)
      return value
    }
  }

  /// The message's bytes.
  public func wire() -> ByteBuffer {
    SimpleRequest.functions.encode { raw, scratch in
      raw.response_size = Int32(clamping: responseSize)
      raw.payload = scratch.payload(payload)
      raw.response_compressed = scratch.bool(responseCompressed)
      raw.response_status = scratch.status(responseStatus)
      raw.expect_compressed = scratch.bool(expectCompressed)
    }
  }
}

/// `grpc.testing.SimpleResponse`.
public struct SimpleResponse: InteropMessage {
  /// The payload's bytes.
  public var payload: [UInt8]?

  /// A response.
  public init(payload: [UInt8]?) { self.payload = payload }

  private static var functions: CFunctions<Grpc__Testing__SimpleResponse> {
    CFunctions(
      name: "SimpleResponse", initialize: grpc__testing__simple_response__init,
      unpack: grpc__testing__simple_response__unpack, free: grpc__testing__simple_response__free_unpacked,
      size: grpc__testing__simple_response__get_packed_size, pack: grpc__testing__simple_response__pack)
  }

  /// Decodes a message.
  public init(wire: ByteBuffer) throws {
    payload = try SimpleResponse.functions.decode(wire) { [UInt8]($0.payload) }
  }

  /// The message's bytes.
  public func wire() -> ByteBuffer {
    SimpleResponse.functions.encode { raw, scratch in raw.payload = scratch.payload(payload) }
  }
}

/// `grpc.testing.StreamingInputCallRequest`.
public struct StreamingInputRequest: InteropMessage {
  /// The payload's bytes.
  public var payload: [UInt8]?
  /// Whether this message is compressed.
  public var expectCompressed: Bool?

  /// A request.
  public init(payload: [UInt8]?, expectCompressed: Bool? = nil) {
    self.payload = payload
    self.expectCompressed = expectCompressed
  }

  private static var functions: CFunctions<Grpc__Testing__StreamingInputCallRequest> {
    CFunctions(
      name: "StreamingInputCallRequest", initialize: grpc__testing__streaming_input_call_request__init,
      unpack: grpc__testing__streaming_input_call_request__unpack,
      free: grpc__testing__streaming_input_call_request__free_unpacked,
      size: grpc__testing__streaming_input_call_request__get_packed_size,
      pack: grpc__testing__streaming_input_call_request__pack)
  }

  /// Decodes a message.
  public init(wire: ByteBuffer) throws {
    self = try StreamingInputRequest.functions.decode(wire) { raw in
      StreamingInputRequest(
        payload: [UInt8](raw.payload), expectCompressed: Bool(raw.expect_compressed))
    }
  }

  /// The message's bytes.
  public func wire() -> ByteBuffer {
    StreamingInputRequest.functions.encode { raw, scratch in
      raw.payload = scratch.payload(payload)
      raw.expect_compressed = scratch.bool(expectCompressed)
    }
  }
}

/// `grpc.testing.StreamingInputCallResponse`.
public struct StreamingInputResponse: InteropMessage {
  /// Bytes of all requests' payloads.
  public var aggregatedPayloadSize: Int

  /// A response.
  public init(aggregatedPayloadSize: Int) { self.aggregatedPayloadSize = aggregatedPayloadSize }

  private static var functions: CFunctions<Grpc__Testing__StreamingInputCallResponse> {
    CFunctions(
      name: "StreamingInputCallResponse", initialize: grpc__testing__streaming_input_call_response__init,
      unpack: grpc__testing__streaming_input_call_response__unpack,
      free: grpc__testing__streaming_input_call_response__free_unpacked,
      size: grpc__testing__streaming_input_call_response__get_packed_size,
      pack: grpc__testing__streaming_input_call_response__pack)
  }

  /// Decodes a message.
  public init(wire: ByteBuffer) throws {
    aggregatedPayloadSize = try StreamingInputResponse.functions.decode(wire) {
      Int($0.aggregated_payload_size)
    }
  }

  /// The message's bytes.
  public func wire() -> ByteBuffer {
    StreamingInputResponse.functions.encode { raw, _ in
      raw.aggregated_payload_size = Int32(clamping: aggregatedPayloadSize)
    }
  }
}

/// `grpc.testing.StreamingOutputCallRequest`.
public struct StreamingOutputRequest: InteropMessage {
  /// One message of the response stream.
  public struct Parameters: Sendable {
    /// Bytes of its payload.
    public var size: Int
    /// Microseconds to wait before it.
    public var intervalMicroseconds: Int
    /// Whether it shall be compressed.
    public var compressed: Bool?

    /// Parameters.
    public init(size: Int, intervalMicroseconds: Int = 0, compressed: Bool? = nil) {
      self.size = size
      self.intervalMicroseconds = intervalMicroseconds
      self.compressed = compressed
    }
  }

  /// The messages to respond with.
  public var parameters: [Parameters] = []
  /// The payload's bytes.
  public var payload: [UInt8]?
  /// The status to end the call with.
  public var responseStatus: EchoStatus?

  /// A request.
  public init(
    parameters: [Parameters] = [], payload: [UInt8]? = nil, responseStatus: EchoStatus? = nil
  ) {
    self.parameters = parameters
    self.payload = payload
    self.responseStatus = responseStatus
  }

  private static var functions: CFunctions<Grpc__Testing__StreamingOutputCallRequest> {
    CFunctions(
      name: "StreamingOutputCallRequest", initialize: grpc__testing__streaming_output_call_request__init,
      unpack: grpc__testing__streaming_output_call_request__unpack,
      free: grpc__testing__streaming_output_call_request__free_unpacked,
      size: grpc__testing__streaming_output_call_request__get_packed_size,
      pack: grpc__testing__streaming_output_call_request__pack)
  }

  /// Decodes a message.
  public init(wire: ByteBuffer) throws {
    self = try StreamingOutputRequest.functions.decode(wire) { raw in
      let items = UnsafeBufferPointer(start: raw.response_parameters, count: raw.n_response_parameters)
      return StreamingOutputRequest(
        parameters: items.compactMap { item in
          guard let item else { return nil }
          return Parameters(
            size: Int(item.pointee.size), intervalMicroseconds: Int(item.pointee.interval_us),
            compressed: Bool(item.pointee.compressed))
        },
        payload: [UInt8](raw.payload), responseStatus: EchoStatus(raw.response_status))
    }
  }

  /// The message's bytes.
  public func wire() -> ByteBuffer {
    StreamingOutputRequest.functions.encode { raw, scratch in
      typealias Item = UnsafeMutablePointer<Grpc__Testing__ResponseParameters>
      let items = scratch.array(Item?.self, count: parameters.count)
      for (index, parameter) in parameters.enumerated() {
        let item: Item = scratch.make(grpc__testing__response_parameters__init)
        item.pointee.size = Int32(clamping: parameter.size)
        item.pointee.interval_us = Int32(clamping: parameter.intervalMicroseconds)
        item.pointee.compressed = scratch.bool(parameter.compressed)
        (items + index).initialize(to: item)
      }
      raw.response_parameters = items
      raw.n_response_parameters = parameters.count
      raw.payload = scratch.payload(payload)
      raw.response_status = scratch.status(responseStatus)
    }
  }
}

/// `grpc.testing.StreamingOutputCallResponse`.
public struct StreamingOutputResponse: InteropMessage {
  /// The payload's bytes.
  public var payload: [UInt8]?

  /// A response.
  public init(payload: [UInt8]?) { self.payload = payload }

  private static var functions: CFunctions<Grpc__Testing__StreamingOutputCallResponse> {
    CFunctions(
      name: "StreamingOutputCallResponse", initialize: grpc__testing__streaming_output_call_response__init,
      unpack: grpc__testing__streaming_output_call_response__unpack,
      free: grpc__testing__streaming_output_call_response__free_unpacked,
      size: grpc__testing__streaming_output_call_response__get_packed_size,
      pack: grpc__testing__streaming_output_call_response__pack)
  }

  /// Decodes a message.
  public init(wire: ByteBuffer) throws {
    payload = try StreamingOutputResponse.functions.decode(wire) { [UInt8]($0.payload) }
  }

  /// The message's bytes.
  public func wire() -> ByteBuffer {
    StreamingOutputResponse.functions.encode { raw, scratch in raw.payload = scratch.payload(payload) }
  }
}
