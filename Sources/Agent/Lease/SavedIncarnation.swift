import Glibc
import JSON

/// The lease and incarnation that the agent had last, in `incarnation.json`: a restarted process goes on with
/// them when they are still alive.
struct SavedIncarnation: Hashable, Sendable {
  var agentID: String
  var lease: Int64
  var createRevision: Int64

  /// Nil when there is none, or nothing sensible: a new incarnation is always possible.
  static func load(_ path: String) -> SavedIncarnation? {
    guard let bytes = (try? Files.read(path)) ?? nil, let json = try? JSONValue(parsing: bytes) else {
      return nil
    }
    guard case .string(let id)? = json["worker_id"], case .string(let lease)? = json["lease"],
      case .string(let revision)? = json["incarnation"], let lease = Int64(lease, radix: 16),
      let revision = Int64(revision)
    else { return nil }
    return SavedIncarnation(agentID: id, lease: lease, createRevision: revision)
  }

  /// Writes it; numbers as text, the lease in hexadecimal as etcd's tools do.
  func save(_ path: String) throws(AgentError) {
    var json = JSONWriter(reserving: 128)
    json.beginObject()
    json.member("worker_id", agentID)
    json.member("lease", String(lease, radix: 16))
    json.member("incarnation", String(createRevision))
    json.endObject()
    try Files.replace(path, json.bytes)
  }

  /// Forgets it.
  static func delete(_ path: String) { unlink(path) }
}
