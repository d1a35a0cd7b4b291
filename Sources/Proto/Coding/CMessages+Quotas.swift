import CProto

// As CMessages.swift: the messages of quotas.proto.

extension Rota__V1__QuotaSpec: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__quota_spec__init(message) }
}
extension Rota__V1__QuotaUse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__quota_use__init(message) }
}
extension Rota__V1__Quota: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__quota__init(message) }
}
extension Rota__V1__PutQuotaRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__put_quota_request__init(message) }
}
extension Rota__V1__GetQuotaRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__get_quota_request__init(message) }
}
extension Rota__V1__ListQuotasRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_quotas_request__init(message)
  }
}
extension Rota__V1__ListQuotasResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_quotas_response__init(message)
  }
}
extension Rota__V1__DeleteQuotaRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_quota_request__init(message)
  }
}
extension Rota__V1__DeleteQuotaResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_quota_response__init(message)
  }
}
