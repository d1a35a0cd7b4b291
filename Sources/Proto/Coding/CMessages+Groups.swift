import CProto

// As CMessages.swift: the messages of concurrency groups.

extension Rota__V1__GroupSpec: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__group_spec__init(message) }
}

extension Rota__V1__Group: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__group__init(message) }
}

extension Rota__V1__PutGroupRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__put_group_request__init(message)
  }
}

extension Rota__V1__GetGroupRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__get_group_request__init(message)
  }
}

extension Rota__V1__ListGroupsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_groups_request__init(message)
  }
}

extension Rota__V1__ListGroupsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_groups_response__init(message)
  }
}

extension Rota__V1__DeleteGroupRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_group_request__init(message)
  }
}

extension Rota__V1__DeleteGroupResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_group_response__init(message)
  }
}

extension Rota__V1__Concurrency: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__concurrency__init(message) }
}
