import CProto

// The generated messages of gRPC's standard services, each with the initialiser that protoc-c wrote for it.

extension Google__Protobuf__Any: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { google__protobuf__any__init(message) }
}
extension Google__Rpc__Status: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { google__rpc__status__init(message) }
}
extension Google__Rpc__BadRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { google__rpc__bad_request__init(message) }
}
extension Google__Rpc__BadRequest__FieldViolation: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    google__rpc__bad_request__field_violation__init(message)
  }
}
extension Google__Rpc__RetryInfo: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { google__rpc__retry_info__init(message) }
}
extension Grpc__Health__V1__HealthCheckRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__health__v1__health_check_request__init(message)
  }
}
extension Grpc__Health__V1__HealthCheckResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__health__v1__health_check_response__init(message)
  }
}
extension Grpc__Health__V1__HealthCheckResponseEntry: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__health__v1__health_check_response_entry__init(message)
  }
}
extension Grpc__Health__V1__HealthListRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__health__v1__health_list_request__init(message)
  }
}
extension Grpc__Health__V1__HealthListResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__health__v1__health_list_response__init(message)
  }
}
extension Grpc__Reflection__V1__ServerReflectionRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__server_reflection_request__init(message)
  }
}
extension Grpc__Reflection__V1__ExtensionRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__extension_request__init(message)
  }
}
extension Grpc__Reflection__V1__ServerReflectionResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__server_reflection_response__init(message)
  }
}
extension Grpc__Reflection__V1__FileDescriptorResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__file_descriptor_response__init(message)
  }
}
extension Grpc__Reflection__V1__ExtensionNumberResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__extension_number_response__init(message)
  }
}
extension Grpc__Reflection__V1__ListServiceResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__list_service_response__init(message)
  }
}
extension Grpc__Reflection__V1__ServiceResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__service_response__init(message)
  }
}
extension Grpc__Reflection__V1__ErrorResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    grpc__reflection__v1__error_response__init(message)
  }
}
