import EtcdClient
import SchedulerCore

/// Makes reads from the cache linearizable: asks etcd how far it is, then waits until the cache is
/// there (the read index of Raft, section 6.4 of Ongaro's dissertation, on top of etcd). Callers
/// that come while a question is under way share the next one.
actor ReadBarrier {
  private let store: any EtcdStore
  private let replica: Replica
  private let keyspace: Keyspace
  private let serverID: String
  private var asking: Task<Result<Int64, EtcdError>, Never>?
  private var next: Task<Result<Int64, EtcdError>, Never>?
  private var nudges: Int64 = 0

  init(store: any EtcdStore, replica: Replica, keyspace: Keyspace, serverID: String) {
    self.store = store
    self.replica = replica
    self.keyspace = keyspace
    self.serverID = serverID
  }

  /// Returns once the cache shows everything that was committed before the call.
  /// - Returns: A revision up to which it does, which etcd had after the call began.
  @discardableResult
  func pass() async throws(ServiceError) -> Int64 {
    let revision: Int64
    switch await currentRevision() {
    case .success(let value): revision = value
    case .failure(let error): throw .unavailable("etcd cannot be read: \(error)")
    }
    if await replica.reached(revision, within: ServerLimits.barrierNudge) { return revision }
    // Another user's writes move etcd's revision without an event for us: a write of our own will.
    let target = await nudge() ?? revision
    guard await replica.reached(target, within: ServerLimits.barrierPatience) else { throw Self.behind }
    return revision
  }

  /// etcd answers, and the watch has not brought what it has.
  static let behind = ServiceError.unavailable(
    "this server's copy of the cluster's state is behind etcd; try another server")

  /// A revision that etcd had after the call began.
  private func currentRevision() async -> Result<Int64, EtcdError> {
    guard let running = asking else { return await ask().value }
    // The question under way may have been answered already as of before this call: share the next.
    if let next { return await next.value }
    let following = Task {
      _ = await running.value
      return await self.ask().value
    }
    next = following
    return await following.value
  }

  private func ask() -> Task<Result<Int64, EtcdError>, Never> {
    next = nil
    let store = store
    let key = keyspace.meta
    let question = Task { () -> Result<Int64, EtcdError> in
      do throws(EtcdError) {
        return .success(try await store.range(RangeRequest(.key(key), keysOnly: true)).revision)
      } catch {
        return .failure(error)
      }
    }
    asking = question
    Task {
      _ = await question.value
      self.finished(question)
    }
    return question
  }

  private func finished(_ question: Task<Result<Int64, EtcdError>, Never>) {
    if asking == question { asking = nil }
  }

  /// Writes a key of this server's own, so that every watch moves; its revision, or nil where that failed.
  func nudge() async -> Int64? {
    nudges += 1
    return try? await store.put(keyspace.serverSync(serverID), Array("\(nudges)".utf8))
  }
}
