import EtcdClient
import SchedulerCore

/// Finds the leading server in etcd.
struct LeaderFinder: Sendable {
  let store: any EtcdStore
  let keyspace: Keyspace

  /// The leader, and the key that says so.
  struct Leader: Hashable, Sendable {
    var key: String
    var createRevision: Int64
    var host: String
    var port: Int
  }

  /// The holder of the oldest key under `leader/`; nil while nobody stands for election.
  ///
  /// Any member of etcd may answer, also one that lags a little: thousands of agents may ask at once, and the epoch
  /// in the welcome tells a server that leads no more.
  ///
  /// - Throws: `EtcdError`, or `AgentError` with code `session` for a record without a usable address.
  func find() async throws -> Leader? {
    let request = RangeRequest(
      .prefix(keyspace.leaders), limit: 1, serializable: true, sort: RangeRequest.Sort(by: .createRevision))
    guard let found = try await store.range(request).kvs.first else { return nil }
    let record: ServerRecord
    do { record = try ServerRecord(decoding: found.value) } catch {
      throw AgentError(.session, "the leader's record \(found.key) cannot be read", underlying: error)
    }
    guard let address = HostPort(record.grpcAddress), address.port != 0 else {
      throw AgentError(
        .session,
        "the leader \(record.serverID) has the gRPC address \"\(record.grpcAddress)\", not host:port")
    }
    return Leader(
      key: found.key, createRevision: found.createRevision, host: address.host, port: address.port)
  }
}
