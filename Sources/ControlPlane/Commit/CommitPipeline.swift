import DequeModule
import EtcdClient
import Logging
import SchedulerCore
import Synchronization

/// What became of a change.
enum CommitResult: Sendable {
  /// It is durable, at this revision.
  case committed(Int64)
  /// A compare did not hold and nothing was written. What the compared and written keys held, at a
  /// revision after that; nil for a key that does not exist.
  case conflict(current: [String: KeyValue?], revision: Int64)
  /// Nothing was written, or, where the error says so, that is not known.
  case failed(EtcdError)
}

/// Told of results before those who wait for them are.
protocol CommitObserver: Sendable {
  /// Changes that were decided by one transaction, in order.
  func settled(_ changes: [SettledChange]) async
}

/// A change and what became of it.
struct SettledChange: Sendable {
  var change: Change
  var origin: CommitPipeline.Origin
  var result: CommitResult
}

/// The one way by which a server writes jobs and runs.
///
/// Independent changes are packed into one transaction; several transactions are in flight; a change
/// that finds a free lane goes at once, so an idle pipeline adds no delay. When a transaction's
/// compares fail, its keys are read, the changes that are to blame are reported as conflicts, and the
/// others go again: one conflict never fails its neighbours.
///
/// When the outcome of a transaction is unknown it is sent again. That is safe, because each change
/// is guarded by something that its own success makes false, so it can succeed only once; and if it
/// is refused then, the stored values tell whether it was its own first try that had succeeded.
final class CommitPipeline: Sendable {
  /// Who asked.
  enum Origin: Sendable {
    /// A leader's machine of this term.
    case leader(LeaderEpoch, LeaderMachine.ProposalID)
    /// The owner of segments; with the proposal of a leader's machine that rides along.
    case firing(FiringMachine.ProposalID, Rider?)
    /// A caller, who waits; with the proposal of a leader's machine that rides along.
    case caller(CheckedContinuation<CommitResult, Never>, Rider?)
  }

  /// A proposal of a leader's machine.
  struct Rider: Sendable {
    var term: LeaderEpoch
    var id: LeaderMachine.ProposalID
  }

  /// A change of the owner's machine.
  struct Firing: Sendable {
    var id: FiringMachine.ProposalID
    /// The proposal of a leader's machine that rides along.
    var rider: Rider?
    var change: Change
  }

  struct Member: Sendable {
    var change: Change
    var origin: Origin
    var deadline: ContinuousClock.Instant
    /// Whether an earlier try may have been applied.
    var maybeApplied = false

    /// Whether a machine of this server waits for it, and not a caller.
    var isMachines: Bool { if case .caller = origin { false } else { true } }
  }

  private struct State {
    var queue = Deque<Member>()
    var idleLanes: [CheckedContinuation<[Member]?, Never>] = []
    var isClosed = false
  }

  let store: any EtcdStore
  let metrics: ServerMetrics
  let logger: Logger
  private let state = Mutex(State())
  private let clock = ContinuousClock()

  init(store: any EtcdStore, metrics: ServerMetrics, logger: Logger) {
    self.store = store
    self.metrics = metrics
    self.logger = logger
  }

  /// Changes that wait for a transaction.
  var queuedCount: Int { state.withLock { $0.queue.count } }

  // MARK: Entrance

  /// Commits a change and waits for its result.
  /// - Parameter rider: The proposal whose outcome it is, too.
  func commit(_ change: Change, rider: Rider? = nil) async -> CommitResult {
    await withCheckedContinuation { continuation in
      let deadline = clock.now + ServerLimits.callerPatience
      enqueue([Member(change: change, origin: .caller(continuation, rider), deadline: deadline)])
    }
  }

  /// Commits a leader's changes; the observer is told of their results.
  func submit(_ changes: [(LeaderMachine.ProposalID, Change)], term: LeaderEpoch) {
    let deadline = clock.now + ServerLimits.leaderPatience
    enqueue(changes.map { Member(change: $0.1, origin: .leader(term, $0.0), deadline: deadline) })
  }

  /// Commits changes of the owner's machine; the observer is told of their results.
  func submit(_ changes: [Firing]) {
    let deadline = clock.now + ServerLimits.leaderPatience
    enqueue(changes.map { Member(change: $0.change, origin: .firing($0.id, $0.rider), deadline: deadline) })
  }

  private func enqueue(_ members: [Member]) {
    typealias Woken = [(lane: CheckedContinuation<[Member]?, Never>, batch: [Member])]
    let (woken, refused) = state.withLock { state -> (Woken, [Member]) in
      guard !state.isClosed else { return ([], members) }
      let room = max(0, ServerLimits.queuedChanges - state.queue.count)
      // The machines' changes are bounded, by the slots of agents and by `FiringLimits.proposalsInFlight`, and are
      // never turned away.
      let accepted = members.filter(\.isMachines).isEmpty ? members.prefix(room) : members[...]
      state.queue.append(contentsOf: accepted)
      var woken: Woken = []
      while !state.queue.isEmpty, let lane = state.idleLanes.popLast() {
        woken.append((lane, Self.takeBatch(&state.queue)))
      }
      return (woken, Array(members.dropFirst(accepted.count)))
    }
    for (lane, batch) in woken { lane.resume(returning: batch) }
    for member in refused { refuse(member) }
  }

  private func refuse(_ member: Member) {
    metrics.overloaded.add(1)
    let error = EtcdError(
      code: .overloaded, message: "too many changes wait to be written to etcd; try again later",
      outcome: .notApplied)
    if case .caller(let continuation, _) = member.origin { continuation.resume(returning: .failed(error)) }
  }

  // MARK: Lanes

  /// Runs until the task is cancelled; `observer` is told of every result.
  func run(observer: any CommitObserver) async {
    await withTaskCancellationHandler {
      await withDiscardingTaskGroup { group in
        for _ in 0..<ServerLimits.transactionsInFlight {
          group.addTask {
            while let batch = await self.nextBatch() { await self.commit(batch, observer: observer) }
          }
        }
        group.addTask { await self.sweep() }
      }
    } onCancel: {
      self.close()
    }
  }

  private func close() {
    let (lanes, left) = state.withLock { state in
      state.isClosed = true
      defer {
        state.idleLanes = []
        state.queue = []
      }
      return (state.idleLanes, Array(state.queue))
    }
    for lane in lanes { lane.resume(returning: nil) }
    let error = EtcdError(code: .unavailable, message: "the server shuts down", outcome: .notApplied)
    for case .caller(let continuation, _) in left.map(\.origin) {
      continuation.resume(returning: .failed(error))
    }
  }

  private func nextBatch() async -> [Member]? {
    await withCheckedContinuation { continuation in
      let batch: [Member]?? = state.withLock { state in
        if state.isClosed { return .some(nil) }
        if state.queue.isEmpty {
          state.idleLanes.append(continuation)
          return .none
        }
        return .some(Self.takeBatch(&state.queue))
      }
      if case .some(let batch) = batch { continuation.resume(returning: batch) }
    }
  }

  /// Takes as many changes as one transaction may hold. No two of them may touch each other's keys,
  /// since a transaction's compares all see the state before it; what has to wait keeps its order.
  private static func takeBatch(_ queue: inout Deque<Member>) -> [Member] {
    var packer = Packer()
    var batch: [Member] = []
    var left: [Member] = []
    while let member = queue.popFirst() {
      if packer.accepts(member.change) {
        batch.append(member)
      } else {
        left.append(member)
        if packer.isFull || left.count > ServerLimits.operationsPerTransaction { break }
      }
    }
    for member in left.reversed() { queue.prepend(member) }
    return batch
  }

  /// Fails what has waited too long while all lanes were stuck.
  private func sweep() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: ServerLimits.sweepInterval)
      let now = clock.now
      let late = state.withLock { state in
        let late = state.queue.filter { !$0.isMachines && $0.deadline <= now }
        if !late.isEmpty { state.queue.removeAll { !$0.isMachines && $0.deadline <= now } }
        return late
      }
      let error = EtcdError(
        code: .unavailable, message: "etcd has not answered in time; nothing was written",
        outcome: .notApplied)
      for case .caller(let continuation, _) in late.map(\.origin) {
        continuation.resume(returning: .failed(error))
      }
    }
  }
}

/// Decides what goes into one transaction.
struct Packer {
  private var compares = Set<Compare>()
  private var guardedKeys = Set<String>()
  private var writtenKeys = Set<String>()
  private var operations = 0
  private var bytes = 0
  /// Whether a change was turned away for want of room.
  private(set) var isFull = false

  /// Adds a change if it fits and touches no key of another's.
  mutating func accepts(_ change: Change) -> Bool {
    let written = change.writtenKeys
    let isIndependent =
      written.allSatisfy { !writtenKeys.contains($0) && !guardedKeys.contains($0) }
      && change.compares.allSatisfy { !writtenKeys.contains($0.key) }
    guard isIndependent else { return false }
    let size = change.size
    let added = change.compares.count { !compares.contains($0) }
    let fits =
      operations + change.operations.count <= ServerLimits.operationsPerTransaction
      && compares.count + added <= ServerLimits.operationsPerTransaction
      && bytes + size <= ServerLimits.bytesPerTransaction
    guard fits || operations == 0 else {
      isFull = true
      return false
    }
    operations += change.operations.count
    bytes += size
    writtenKeys.formUnion(written)
    for compare in change.compares {
      compares.insert(compare)
      guardedKeys.insert(compare.key)
    }
    return true
  }
}
