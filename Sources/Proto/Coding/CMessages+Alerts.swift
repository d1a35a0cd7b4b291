import CProto

// As CMessages.swift: the messages of alerts.

extension Rota__V1__AlertRule: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__alert_rule__init(message) }
}
extension Rota__V1__Alert: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__alert__init(message) }
}
extension Rota__V1__AlertDelivery: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__alert_delivery__init(message) }
}
extension Rota__V1__ListAlertsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_alerts_request__init(message)
  }
}
extension Rota__V1__ListAlertsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_alerts_response__init(message)
  }
}
