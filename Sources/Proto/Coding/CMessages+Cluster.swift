import CProto

// The generated messages of cluster.proto, each with the initialiser that protoc-c wrote for it.

extension Rota__V1__GetClusterRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__get_cluster_request__init(message)
  }
}
extension Rota__V1__ClusterInfo: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__cluster_info__init(message) }
}
extension Rota__V1__Server: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__server__init(message) }
}
extension Rota__V1__ServerFigures: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__server_figures__init(message) }
}
extension Rota__V1__EtcdMember: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__etcd_member__init(message) }
}
extension Rota__V1__TermFigures: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__term_figures__init(message) }
}
extension Rota__V1__Brake: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__brake__init(message) }
}
extension Rota__V1__StorageStatus: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__storage_status__init(message) }
}
