import CProto
import SchedulerCore

extension GroupSpec: Mapped {
  init(raw: UnsafePointer<Rota__V1__GroupSpec>) throws(ProtoError) {
    self.init(limit: Int(raw.pointee.limit))
    description = try Decode.text(raw.pointee.description, "description")
    labels = try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GroupSpec>, _ arena: Arena) {
    raw.pointee.limit = Int32(wire: limit)
    raw.pointee.description = arena.text(description)
    raw.pointee.labels = arena.map(labels, &raw.pointee.n_labels)
  }
}

extension GroupView: Mapped, WireMessage {
  /// As `rota.v1.Group`.
  public static var codec: WireCodec<GroupView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Group>) throws(ProtoError) {
    let key = GroupKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      name: try Decode.text(raw.pointee.name, "name"))
    var record = GroupRecord(
      key: key, spec: try Decode.required(raw.pointee.spec, "spec"),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"))
    record.generation = Int(raw.pointee.generation)
    record.updatedAt = try Decode.requiredTime(raw.pointee.updated_at, "updated_at")
    self.init(
      record: record, etag: try Decode.text(raw.pointee.etag, "etag"), running: Int(raw.pointee.running),
      waiting: Int(raw.pointee.waiting))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Group>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(record.key.namespace)
    raw.pointee.name = arena.text(record.key.name)
    raw.pointee.spec = arena.message(record.spec)
    raw.pointee.generation = Int64(record.generation)
    raw.pointee.etag = arena.text(etag)
    raw.pointee.created_at = arena.time(record.createdAt)
    raw.pointee.updated_at = arena.time(record.updatedAt)
    raw.pointee.running = Int64(running)
    raw.pointee.waiting = Int64(waiting)
  }
}

// MARK: - Requests

extension Decode {
  /// The key of a group, whose name has to be said.
  fileprivate static func groupKey(
    _ namespace: ProtobufCBinaryData, _ name: ProtobufCBinaryData
  ) throws(ProtoError) -> GroupKey {
    guard let name = try optionalText(name, "name") else { throw missing("name") }
    return GroupKey(namespace: try self.namespace(namespace), name: name)
  }
}

extension PutGroupRequest: Mapped, WireMessage {
  /// As `rota.v1.PutGroupRequest`.
  public static var codec: WireCodec<PutGroupRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PutGroupRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.groupKey(raw.pointee.namespace_, raw.pointee.name),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PutGroupRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.name = arena.text(key.name)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.if_match = arena.text(ifMatch)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
  }
}

extension GetGroupRequest: Mapped, WireMessage {
  /// As `rota.v1.GetGroupRequest`.
  public static var codec: WireCodec<GetGroupRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetGroupRequest>) throws(ProtoError) {
    self.init(key: try Decode.groupKey(raw.pointee.namespace_, raw.pointee.name))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetGroupRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.name = arena.text(key.name)
  }
}

extension ListGroupsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListGroupsRequest`.
  public static var codec: WireCodec<ListGroupsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListGroupsRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.optionalText(raw.pointee.namespace_, "namespace"),
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListGroupsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListGroupsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListGroupsResponse`.
  public static var codec: WireCodec<ListGroupsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListGroupsResponse>) throws(ProtoError) {
    self.init(
      groups: try Decode.list(raw.pointee.n_groups, raw.pointee.groups, "groups"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListGroupsResponse>, _ arena: Arena) {
    raw.pointee.groups = arena.list(groups, &raw.pointee.n_groups)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}

extension DeleteGroupRequest: Mapped, WireMessage {
  /// As `rota.v1.DeleteGroupRequest`.
  public static var codec: WireCodec<DeleteGroupRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteGroupRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.groupKey(raw.pointee.namespace_, raw.pointee.name),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteGroupRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.name = arena.text(key.name)
    raw.pointee.if_match = arena.text(ifMatch)
  }
}

extension DeleteGroupResponse: Mapped, WireMessage {
  /// As `rota.v1.DeleteGroupResponse`.
  public static var codec: WireCodec<DeleteGroupResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteGroupResponse>) throws(ProtoError) { self.init() }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteGroupResponse>, _ arena: Arena) {}
}
