import JSON

/// The highest leader's epoch that the present incarnation has had a session with, in `leader-epoch.json`.
///
/// A restarted agent that goes on as the same incarnation has forgotten what was acknowledged. A deposed leader
/// whose watch is behind does not know it either, and could have an attempt started again: the epoch is what
/// makes the agent refuse its session.
struct SavedLeaderEpoch: Hashable, Sendable {
  var incarnation: Int64
  var epoch: Int64

  /// The epoch seen by an incarnation; 0 when it has seen none.
  static func load(_ path: String, incarnation: Int64) -> Int64 {
    guard let bytes = (try? Files.read(path)) ?? nil, let json = try? JSONValue(parsing: bytes),
      case .string(let saved)? = json["incarnation"], Int64(saved) == incarnation,
      case .string(let epoch)? = json["leader_epoch"]
    else { return 0 }
    return Int64(epoch) ?? 0
  }

  /// Writes it; numbers as text, as in `incarnation.json`.
  func save(_ path: String) throws(AgentError) {
    var json = JSONWriter(reserving: 96)
    json.beginObject()
    json.member("incarnation", String(incarnation))
    json.member("leader_epoch", String(epoch))
    json.endObject()
    try Files.replace(path, json.bytes)
  }
}
