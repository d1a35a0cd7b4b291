import CProto
import CProtobufC

/// `grpc.reflection.v1.ServerReflectionRequest`, and the same of `v1alpha`, whose messages have the same form.
public struct ReflectionRequest: Hashable, Sendable {
  /// What is asked for.
  public enum Question: Hashable, Sendable {
    /// A file, by its name.
    case file(named: String)
    /// The file that declares a full name.
    case fileContaining(symbol: String)
    /// The file that declares an extension.
    case fileContainingExtension(of: String, number: Int32)
    /// The numbers of a message's extensions.
    case extensionNumbers(of: String)
    /// The names of the services. The text has no meaning.
    case services(String)
  }

  /// Of no effect; comes back in the answer.
  public var host: String
  /// What is asked for; nil for a question that a later version of the protocol may bring.
  public var question: Question?

  /// Asks a question.
  public init(host: String = "", question: Question?) {
    self.host = host
    self.question = question
  }
}

/// `grpc.reflection.v1.ServerReflectionResponse`, and the same of `v1alpha`.
public struct ReflectionResponse: Hashable, Sendable {
  /// What is answered.
  public enum Answer: Hashable, Sendable {
    /// Serialized `google.protobuf.FileDescriptorProto`s.
    case files([[UInt8]])
    /// The numbers of a message's extensions.
    case extensionNumbers(of: String, [Int32])
    /// The full names of the services.
    case services([String])
    /// Why there is no answer, with a gRPC status code.
    case error(code: Int32, message: String)
  }

  /// The question that is answered.
  public var request: ReflectionRequest
  /// The answer; nil for one that a later version of the protocol may bring.
  public var answer: Answer?

  /// Answers a question.
  public init(request: ReflectionRequest, answer: Answer?) {
    self.request = request
    self.answer = answer
  }
}

// MARK: - Wire form

extension ReflectionRequest: Mapped, WireMessage {
  /// As `grpc.reflection.v1.ServerReflectionRequest`.
  public static var codec: WireCodec<ReflectionRequest> { .mapped }

  init(raw: UnsafePointer<Grpc__Reflection__V1__ServerReflectionRequest>) throws(ProtoError) {
    let message = raw.pointee
    let question: Question?
    switch message.message_request_case {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
      question = .file(named: try Decode.text(message.file_by_filename, "file_by_filename"))
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
      question = .fileContaining(
        symbol: try Decode.text(message.file_containing_symbol, "file_containing_symbol"))
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
      guard let asked = message.file_containing_extension?.pointee else {
        throw Decode.missing("file_containing_extension")
      }
      question = .fileContainingExtension(
        of: try Decode.text(asked.containing_type, "file_containing_extension.containing_type"),
        number: asked.extension_number)
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
      question = .extensionNumbers(
        of: try Decode.text(message.all_extension_numbers_of_type, "all_extension_numbers_of_type"))
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
      question = .services(try Decode.text(message.list_services, "list_services"))
    default:
      question = nil
    }
    self.init(host: try Decode.text(message.host, "host"), question: question)
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Reflection__V1__ServerReflectionRequest>, _ arena: Arena) {
    raw.pointee.host = arena.text(host)
    switch question {
    case .file(let name):
      raw.pointee.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME
      raw.pointee.file_by_filename = arena.text(name)
    case .fileContaining(let symbol):
      raw.pointee.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL
      raw.pointee.file_containing_symbol = arena.text(symbol)
    case .fileContainingExtension(let type, let number):
      raw.pointee.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION
      let asked = arena.blank(Grpc__Reflection__V1__ExtensionRequest.self)
      asked.pointee.containing_type = arena.text(type)
      asked.pointee.extension_number = number
      raw.pointee.file_containing_extension = asked
    case .extensionNumbers(let type):
      raw.pointee.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE
      raw.pointee.all_extension_numbers_of_type = arena.text(type)
    case .services(let text):
      raw.pointee.message_request_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES
      raw.pointee.list_services = arena.text(text)
    case nil: break
    }
  }
}

extension ReflectionResponse: Mapped, WireMessage {
  /// As `grpc.reflection.v1.ServerReflectionResponse`.
  public static var codec: WireCodec<ReflectionResponse> { .mapped }

  init(raw: UnsafePointer<Grpc__Reflection__V1__ServerReflectionResponse>) throws(ProtoError) {
    let message = raw.pointee
    let request = try Decode.required(
      message.original_request, "original_request", as: ReflectionRequest.self)
    self.init(request: request, answer: try ReflectionResponse.answer(message))
  }

  private static func answer(
    _ message: Grpc__Reflection__V1__ServerReflectionResponse
  ) throws(ProtoError) -> Answer? {
    switch message.message_response_case {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE:
      guard let files = message.file_descriptor_response?.pointee else {
        throw Decode.missing("file_descriptor_response")
      }
      let list = UnsafeBufferPointer(start: files.file_descriptor_proto, count: files.n_file_descriptor_proto)
      return .files(list.map(Decode.bytes))
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE:
      guard let numbers = message.all_extension_numbers_response?.pointee else {
        throw Decode.missing("all_extension_numbers_response")
      }
      let list = UnsafeBufferPointer(start: numbers.extension_number, count: numbers.n_extension_number)
      return .extensionNumbers(
        of: try Decode.text(numbers.base_type_name, "all_extension_numbers_response.base_type_name"),
        Array(list))
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE:
      guard let services = message.list_services_response?.pointee else {
        throw Decode.missing("list_services_response")
      }
      return .services(
        try Decode.list(
          services.n_service, services.service, "list_services_response.service", of: ServiceName.self
        ).map(\.name))
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE:
      guard let error = message.error_response?.pointee else { throw Decode.missing("error_response") }
      return .error(
        code: error.error_code, message: try Decode.text(error.error_message, "error_response.error_message"))
    default:
      return nil
    }
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Reflection__V1__ServerReflectionResponse>, _ arena: Arena) {
    raw.pointee.valid_host = arena.text(request.host)
    raw.pointee.original_request = arena.message(request)
    switch answer {
    case .files(let files):
      raw.pointee.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE
      let response = arena.blank(Grpc__Reflection__V1__FileDescriptorResponse.self)
      response.pointee.file_descriptor_proto = arena.values(
        files.map(arena.bytes), &response.pointee.n_file_descriptor_proto)
      raw.pointee.file_descriptor_response = response
    case .extensionNumbers(let type, let numbers):
      raw.pointee.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE
      let response = arena.blank(Grpc__Reflection__V1__ExtensionNumberResponse.self)
      response.pointee.base_type_name = arena.text(type)
      response.pointee.extension_number = arena.values(numbers, &response.pointee.n_extension_number)
      raw.pointee.all_extension_numbers_response = response
    case .services(let names):
      raw.pointee.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE
      let response = arena.blank(Grpc__Reflection__V1__ListServiceResponse.self)
      response.pointee.service = arena.list(names.map(ServiceName.init(name:)), &response.pointee.n_service)
      raw.pointee.list_services_response = response
    case .error(let code, let message):
      raw.pointee.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE
      let response = arena.blank(Grpc__Reflection__V1__ErrorResponse.self)
      response.pointee.error_code = code
      response.pointee.error_message = arena.text(message)
      raw.pointee.error_response = response
    case nil: break
    }
  }
}

/// An entry of the list of services.
private struct ServiceName: Mapped {
  var name: String

  init(name: String) { self.name = name }

  init(raw: UnsafePointer<Grpc__Reflection__V1__ServiceResponse>) throws(ProtoError) {
    name = try Decode.text(raw.pointee.name, "name")
  }

  func fill(_ raw: UnsafeMutablePointer<Grpc__Reflection__V1__ServiceResponse>, _ arena: Arena) {
    raw.pointee.name = arena.text(name)
  }
}
