import JSON

extension JobRecord {
  /// The record as etcd holds it.
  public func encoded() -> [UInt8] {
    var json = JSONWriter(reserving: 512)
    json.beginObject()
    json.keyMembers(key)
    json.member("uid", uid)
    json.key("spec")
    json.beginObject()
    spec.writeJSON(to: &json)
    json.endObject()
    json.member("created_at", createdAt)
    json.optionalMember("next_run_time", nextRunTime)
    json.optionalMember("last_run_time", lastRunTime)
    json.optionalMember("cancel_requested_at", cancelRequestedAt)
    json.optionalMember("cancel_reason", cancelReason)
    json.endObject()
    return json.bytes
  }

  /// Reads a record; its identity is taken from `key`, not from the value.
  /// - Throws: `JSONError` or `FieldError` for a value that is no job record.
  public init(decoding bytes: [UInt8], key: JobKey) throws {
    var uid: String?
    var spec: JobSpec?
    var createdAt: Timestamp?
    var nextRunTime: Timestamp?
    var lastRunTime: Timestamp?
    var cancelRequestedAt: Timestamp?
    var cancelReason: String?
    try JSONReader.readRecord(bytes) { name, reader in
      switch name {
      case "uid": uid = try reader.string()
      case "spec": spec = try JobSpec(from: &reader)
      case "created_at": createdAt = try reader.timestamp()
      case "next_run_time": nextRunTime = try reader.timestamp()
      case "last_run_time": lastRunTime = try reader.timestamp()
      case "cancel_requested_at": cancelRequestedAt = try reader.timestamp()
      case "cancel_reason": cancelReason = try reader.string()
      default: try reader.skip()
      }
    }
    self.init(
      key: key, uid: try required(uid, "uid"), spec: try required(spec, "spec"),
      createdAt: try required(createdAt, "created_at"))
    self.nextRunTime = nextRunTime
    self.lastRunTime = lastRunTime
    self.cancelRequestedAt = cancelRequestedAt
    self.cancelReason = cancelReason
  }
}
