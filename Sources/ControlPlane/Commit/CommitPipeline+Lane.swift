import EtcdClient
import Logging
import SchedulerCore

extension CommitPipeline {
  /// Sees a batch through: every member is settled once.
  func commit(_ batch: [Member], observer: any CommitObserver) async {
    var members = batch
    var pause = ServerLimits.retryPause.lowerBound
    while !members.isEmpty {
      do throws(EtcdError) {
        let response = try await store.txn(Self.transaction(of: members))
        metrics.transactions.add(1)
        metrics.transactionOperations.add(members.reduce(0) { $0 + $1.change.operations.count })
        if response.succeeded {
          return await settle(members.map { ($0, .committed(response.revision)) }, observer)
        }
        metrics.transactionConflicts.add(1)
        members = try await sortOut(members, observer)
      } catch {
        metrics.transactionErrors.add(1)
        members =
          error.code == .noSpace
          ? await withoutSpace(members, error, observer) : await keepTrying(members, after: error, observer)
        if members.isEmpty { return }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, ServerLimits.retryPause.upperBound)
      }
    }
  }

  private static func transaction(of members: [Member]) -> TxnRequest {
    var seen = Set<Compare>()
    var request = TxnRequest()
    for member in members {
      for compare in member.change.compares where seen.insert(compare).inserted {
        request.compares.append(compare)
      }
      request.success += member.change.operations
    }
    return request
  }

  private func settle(_ results: [(Member, CommitResult)], _ observer: any CommitObserver) async {
    guard !results.isEmpty else { return }
    await observer.settled(
      results.map { SettledChange(change: $0.0.change, origin: $0.0.origin, result: $0.1) })
    for (member, result) in results {
      if case .caller(let continuation, _) = member.origin { continuation.resume(returning: result) }
    }
  }

  // MARK: Conflicts

  /// Reads the keys of a transaction whose compares failed, settles the members that are to blame or
  /// turn out to have succeeded before, and returns the others.
  /// - Parameter mayBeApplied: Whether the transaction itself may have been applied.
  private func sortOut(
    _ members: [Member], mayBeApplied: Bool = false, _ observer: any CommitObserver
  ) async throws(EtcdError) -> [Member] {
    let keys = Set(members.flatMap { $0.change.compares.map(\.key) + $0.change.writtenKeys })
    let (current, revision) = try await read(Array(keys))
    var settled: [(Member, CommitResult)] = []
    var left: [Member] = []
    for member in members {
      if member.change.compares.allSatisfy({ $0.holds(of: current[$0.key] ?? nil) }) {
        left.append(member)
      } else if mayBeApplied || member.maybeApplied,
        let revision = Self.revision(of: member.change, ifIn: current)
      {
        settled.append((member, .committed(revision)))
      } else {
        let own = Set(member.change.compares.map(\.key) + member.change.writtenKeys)
        settled.append(
          (member, .conflict(current: current.filter { own.contains($0.key) }, revision: revision)))
      }
    }
    await settle(settled, observer)
    return left
  }

  private func read(_ keys: [String]) async throws(EtcdError) -> ([String: KeyValue?], Int64) {
    var current: [String: KeyValue?] = [:]
    var revision: Int64 = 0
    var rest = keys[...]
    while !rest.isEmpty {
      let part = Array(rest.prefix(ServerLimits.operationsPerTransaction))
      rest = rest.dropFirst(part.count)
      let request = TxnRequest(success: part.map { .range(RangeRequest(.key($0))) })
      let response = try await store.txn(request)
      revision = revision == 0 ? response.revision : min(revision, response.revision)
      for (key, answer) in zip(part, response.responses) {
        guard case .range(let range) = answer else { continue }
        current.updateValue(range.kvs.first, forKey: key)
      }
    }
    return (current, revision)
  }

  /// The revision at which a change was made, if the stored values are exactly what it writes.
  private static func revision(of change: Change, ifIn current: [String: KeyValue?]) -> Int64? {
    var revision: Int64?
    for operation in change.operations {
      switch operation {
      case .put(let key, let value, _):
        guard let pair = current[key] ?? nil, pair.value == value else { return nil }
        revision = max(revision ?? 0, pair.modRevision)
      case .delete:
        guard let key = operation.writtenKey, (current[key] ?? nil) == nil else { return nil }
      case .range: break
      }
    }
    return revision
  }

  // MARK: Errors

  /// After etcd has said that there is no space: what took the last of it was written nevertheless, so what is stored
  /// decides. Settles what is over, and returns what is to be tried again: what only removes, which is taken all the same,
  /// and makes room, if nothing beside it adds.
  private func withoutSpace(
    _ members: [Member], _ error: EtcdError, _ observer: any CommitObserver
  ) async -> [Member] {
    metrics.noSpaceErrors.add(1)
    let left: [Member]
    do throws(EtcdError) { left = try await sortOut(members, mayBeApplied: true, observer) } catch {
      var error = error
      error.outcome = .unknown
      return await keepTrying(members, after: error, observer)
    }
    let removals = left.filter(\.change.onlyRemoves)
    let isMixed = removals.count < members.count
    let refused = isMixed ? left.filter { !$0.change.onlyRemoves } : left
    await settle(refused.map { ($0, .failed(error.said(of: $0))) }, observer)
    return isMixed ? removals : []
  }

  /// After an error: settles what is over, and returns what is to be tried again.
  private func keepTrying(
    _ members: [Member], after error: EtcdError, _ observer: any CommitObserver
  ) async -> [Member] {
    if error.isFinal(forBatchOf: members.count) {
      // An earlier try may have been applied all the same, and then nobody may say that it was not.
      await settle(members.map { ($0, .failed(error.said(of: $0))) }, observer)
      return []
    }
    if error.isAboutMembers {
      // One of them may be to blame: it is found by halves, and fails alone.
      let half = members.count / 2
      await commit(Array(members[..<half]), observer: observer)
      return Array(members[half...])
    }
    logger.warning(
      "etcd has not taken a transaction; trying again",
      metadata: ["error": "\(error)", "changes": "\(members.count)"])
    let now = ContinuousClock.now
    var settled: [(Member, CommitResult)] = []
    var left: [Member] = []
    for var member in members {
      if error.outcome == .unknown { member.maybeApplied = true }
      // A machine must know what became of its change; a caller is told that it is not known.
      let isOver = member.deadline <= now && !(member.isMachines && member.maybeApplied)
      if isOver || Task.isCancelled {
        settled.append((member, .failed(error.said(of: member))))
      } else {
        left.append(member)
      }
    }
    await settle(settled, observer)
    return left
  }
}

extension EtcdError {
  /// Whether trying the same transaction again is pointless.
  fileprivate func isFinal(forBatchOf count: Int) -> Bool {
    switch code {
    case .permissionDenied, .unauthenticated, .corrupt: outcome == .notApplied
    default: isAboutMembers && count == 1
    }
  }

  /// Whether it is what the transaction holds that etcd refuses: too much, or something that is wrong
  /// in one change, such as a lease that is gone.
  fileprivate var isAboutMembers: Bool {
    switch code {
    case .requestTooLarge, .tooManyOperations, .invalid, .leaseNotFound: outcome == .notApplied
    default: false
    }
  }

  /// The error with what is known of one change's outcome over all tries.
  fileprivate func said(of member: CommitPipeline.Member) -> EtcdError {
    var error = self
    error.outcome = member.maybeApplied ? .unknown : .notApplied
    return error
  }
}
