import CProto

// As CMessages.swift: the messages of queues.

extension Rota__V1__QueueSpec: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__queue_spec__init(message) }
}
extension Rota__V1__Queue: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__queue__init(message) }
}
extension Rota__V1__QueueFigures: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__queue_figures__init(message) }
}
extension Rota__V1__PutQueueRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__put_queue_request__init(message) }
}
extension Rota__V1__GetQueueRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__get_queue_request__init(message) }
}
extension Rota__V1__ListQueuesRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_queues_request__init(message)
  }
}
extension Rota__V1__ListQueuesResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_queues_response__init(message)
  }
}
extension Rota__V1__DeleteQueueRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_queue_request__init(message)
  }
}
extension Rota__V1__DeleteQueueResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_queue_response__init(message)
  }
}
extension Rota__V1__PauseQueueRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__pause_queue_request__init(message)
  }
}
extension Rota__V1__ResumeQueueRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__resume_queue_request__init(message)
  }
}
extension Rota__V1__Int32Entry: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__int32_entry__init(message) }
}
