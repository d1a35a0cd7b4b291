import CProto

// As CMessages.swift: the messages of peers.proto.

extension Rota__V1__LeaseTokensRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__lease_tokens_request__init(message)
  }
}
extension Rota__V1__LeaseTokensResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__lease_tokens_response__init(message)
  }
}
