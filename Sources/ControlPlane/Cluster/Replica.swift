import EtcdClient
import Logging
import NIOCore
import SchedulerCore

/// A server's one place of decisions: the warm copy of the cluster and, while this server leads, the
/// leader's machine. Each method changes state without suspending; what follows from it (writes,
/// messages) is handed to shells that report back by calling again.
actor Replica {
  /// What the parts around the replica are called through.
  struct Surroundings: Sendable {
    let keyspace: Keyspace
    let pipeline: CommitPipeline
    let sessions: SessionRegistry
    let metrics: ServerMetrics
    let decoder: RecordDecoder
    let changes: ChangeHub
    let eventLoop: any EventLoop
    let logger: Logger
    let serverID: String
    let machine: LeaderMachine.Configuration
    let zones: TimeZones
    var alerts: AlertSender?
  }

  let surroundings: Surroundings
  /// Only what is on this actor may read it: a copy outside would have the next change copy all of it.
  private(set) var cache: ClusterCache
  private(set) var isWarm = false
  /// This server's candidate lease; nil while it holds none.
  private var ownLease: Int64?
  var leader: LeaderMachine?
  private var isResigning = false
  /// When this server began to lead.
  private(set) var leadsSince = Timestamp.earliest
  /// The lease of the server that leads, and when the one that led before was seen to be gone.
  private var leadingLease: Int64?
  private var lastLeaderLostAt: Timestamp?
  /// What was said of the brake last.
  var brakeWasOn = false
  /// How long what has ended is kept now; nil for as long as was configured.
  private var kept: LeaderMachine.Retention?
  /// Fires the schedules of the segments that this server owns, whether it leads or not.
  var firing: FiringMachine
  /// Set while firing waits since too much else does.
  var firingWaitsUntil: Timestamp?
  private var segmentsTold = 0
  private var timer: (scheduled: Scheduled<Void>, at: Timestamp)?
  private var waiters = RevisionWaiters()
  private var watchers: [JobKey: [UInt64: AsyncStream<Void>.Continuation]] = [:]
  private var nextWatcher: UInt64 = 0
  /// What namespaces may use, for those who do not want to wait for this actor.
  nonisolated let quotas = QuotaBoard()
  /// What this server is about to create in namespaces that have a quota.
  var quotaDesk = QuotaDesk()

  init(_ surroundings: Surroundings) {
    self.surroundings = surroundings
    cache = ClusterCache(segmentCount: surroundings.keyspace.segmentCount)
    firing = FiringMachine(
      serverID: surroundings.serverID, zones: surroundings.zones,
      segmentCount: surroundings.keyspace.segmentCount, seed: UInt64.random(in: 0 ... .max))
  }

  // MARK: News from etcd

  /// Applies the events of a watch, all up to `revision`. What this server has written itself it knows
  /// already, and does not decode.
  func apply(_ events: [WatchEvent], upTo revision: Int64) {
    let now = Timestamp.now()
    let decoder = surroundings.decoder
    for event in events where event.kv.modRevision > cache.revision {
      let key = decoder.keyspace.parse(event.kv.key)
      if event.kind == .put, cache.holds(key, at: event.kv.modRevision) { continue }
      let change = event.kind == .put ? decoder.change(for: event.kv, key) : key.deletion
      if let change, cache.apply(change, at: event.kv.modRevision) { noticed(change, now: now) }
    }
    advance(to: revision, now: now)
    // Last, so that the cache is never behind what the streams tell.
    surroundings.changes.publish(events, upTo: revision)
  }

  /// Applies a page of a listing at `revision`. Returns how many records the watch should have
  /// brought before and had not.
  func apply(listed changes: [CacheChange], at revision: Int64) -> Int {
    let now = Timestamp.now()
    var missed = 0
    for change in changes where cache.apply(listed: change, at: revision) {
      if isWarm, (change.modRevision ?? .max) <= cache.revision { missed += 1 }
      noticed(change, now: now)
    }
    return missed
  }

  /// Begins a listing of everything.
  func beginListing() { cache.beginListing() }

  /// Notes that the listing has come to these keys. Returns which of them are not held as of their revisions, by their
  /// places.
  func confirm(listed keys: [(key: ParsedKey, modRevision: Int64)]) -> [Int] {
    var lacking: [Int] = []
    for (place, listed) in keys.enumerated()
    where !cache.confirm(listed: listed.key, modRevision: listed.modRevision) {
      lacking.append(place)
    }
    return lacking
  }

  /// After a listing at `revision`: takes out what it has not brought. One step of bounded length, so that others
  /// get their turn between: to be called until it returns nil.
  /// - Returns: How much was taken out.
  func sweep(_ position: inout ClusterCache.SweepPosition, at revision: Int64) -> Int? {
    let now = Timestamp.now()
    guard let deletions = cache.sweep(&position, at: revision) else { return nil }
    for deletion in deletions { noticed(deletion, now: now) }
    return deletions.count
  }

  /// Ends a listing after the sweep.
  func finishListing(at revision: Int64) {
    let now = Timestamp.now()
    if !isWarm {
      isWarm = true
      takeOwnSegments(now: now)
    }
    advance(to: revision, now: now)
    surroundings.changes.restart(after: revision)
  }

  /// Begins a comparison of what is held with a listing, while the watch goes on.
  func beginComparison() { cache.beginComparison() }

  /// As `sweep`, but only counts.
  func countUnlisted(_ position: inout ClusterCache.SweepPosition, at revision: Int64) -> Int? {
    cache.countUnlisted(&position, at: revision)
  }

  /// Ends a comparison. Returns whether what it found can be believed.
  func endComparison() -> Bool { cache.endComparison() }

  private func advance(to revision: Int64, now: Timestamp) {
    cache.advance(to: revision)
    waiters.release(upTo: cache.revision)
    reviewLeadership(now: now)
    turn(now: now)
    if firing.segmentsOwned != segmentsTold {
      segmentsTold = firing.segmentsOwned
      surroundings.logger.info("this server owns segments", metadata: ["count": "\(segmentsTold)"])
    }
  }

  /// Tells the machine and the watchers of a change that the cache has taken in.
  private func noticed(_ change: CacheChange, now: Timestamp) {
    switch change {
    case .job(let key, _), .listedJob(let key, _):
      leader?.jobChanged(key, cache, now: now)
      notifyWatchers(of: key)
    case .run(let key, _):
      leader?.runChanged(key, cache, now: now)
      notifyWatchers(of: key.job)
    case .agent(let id, _): leader?.agentChanged(id, cache, now: now)
    case .server(let id, _): leader?.serverChanged(id, cache, now: now)
    case .segment(let number, _): leader?.segmentChanged(number)
    case .backfill(let key, _): leader?.backfillChanged(key, cache)
    case .drain(let id, _): leader?.drainChanged(id, cache, now: now)
    case .queue(let name, _): leader?.queueChanged(name, cache, now: now)
    case .quota(let namespace, let quota):
      quotas.set(namespace, quota?.record.spec)
      leader?.quotaChanged(namespace, cache, now: now)
    case .group(let key, _): leader?.groupChanged(key, cache)
    case .leader, .calendar: break
    }
    if !quotaDesk.isEmpty { settleReservation(change) }
    noticedForFiring(change, now: now)
  }

  /// What has been created is counted by the cache from now on.
  private func settleReservation(_ change: CacheChange) {
    switch change {
    case .job(let key, _), .listedJob(let key, _): quotaDesk.settled(key)
    case .run(let key, _): quotaDesk.settled(key)
    default: break
    }
  }

  // MARK: Leadership

  /// This server stands for election with this lease, or, with nil, does not any more.
  func stand(lease: Int64?) {
    ownLease = lease
    reviewLeadership(now: .now())
    turn(now: .now())
  }

  /// Stands no more, to give the lease back: nothing is decided from now on. Agents keep their sessions until
  /// `endSessions`, when another server may lead already.
  func resign() {
    isResigning = true
    stand(lease: nil)
  }

  /// Whether the watch shows the key of that candidate.
  func showsCandidate(_ lease: Int64) -> Bool { cache.leaders[lease] != nil }

  /// Sends the agents to the next leader, after `resign`.
  func endSessions() {
    isResigning = false
    guard leader == nil else { return }
    surroundings.sessions.closeAll(reason: Self.leadsNoMore)
  }

  private static let leadsNoMore = "this server does not lead any more"

  /// Leads exactly while the watched state says that this server's candidate key is the oldest. What
  /// the watch shows is complete up to its revision, so it holds all that earlier leaders wrote:
  /// their writes compare keys whose deletion it has passed.
  private func reviewLeadership(now: Timestamp) {
    if let old = leadingLease, cache.leader?.lease != old { lastLeaderLostAt = now }
    leadingLease = cache.leader?.lease
    var epoch: LeaderEpoch?
    if let oldest = cache.leader, oldest.lease == ownLease {
      epoch = LeaderEpoch(lease: oldest.lease, createRevision: oldest.candidate.createRevision)
    }
    guard epoch != leader?.epoch, isWarm || epoch == nil else { return }
    if leader != nil { stepDown() }
    guard let epoch else { return }
    surroundings.logger.notice("this server leads", metadata: ["epoch": "\(epoch.createRevision)"])
    surroundings.metrics.elections.add(1)
    var machine = LeaderMachine(
      epoch: epoch, serverID: surroundings.serverID, configuration: surroundings.machine,
      zones: surroundings.zones, seed: UInt64.random(in: 0 ... .max))
    if let kept { machine.keep(kept, cache) }
    machine.start(cache, now: now, lastLeaderLostAt: lastLeaderLostAt)
    leader = machine
    leadsSince = now
  }

  private func stepDown() {
    surroundings.logger.notice("this server does not lead any more")
    leader = nil
    brakeWasOn = false
    if !isResigning { surroundings.sessions.closeAll(reason: Self.leadsNoMore) }
  }

  // MARK: Turns

  /// Lets both machines decide, and hands out what they want done.
  func turn(now: Timestamp) {
    fire(now: now)
    lead(now: now)
    armTimer()
  }

  private func lead(now: Timestamp) {
    guard let effects = leader?.turn(cache, now: now), let term = leader?.epoch else { return }
    var changes: [(LeaderMachine.ProposalID, Change)] = []
    for effect in effects {
      switch effect {
      case .propose(let id, let proposal): changes.append((id, surroundings.keyspace.change(for: proposal)))
      case .send(let session, let message): surroundings.sessions.send(.message(message), on: session)
      case .resume(let session, let assignment):
        surroundings.sessions.send(.resumption(assignment), on: session)
      case .close(let session, let reason): surroundings.sessions.close(session, reason: reason)
      case .tell(let alert, let delivery):
        surroundings.alerts?.take(.init(alert: alert, delivery: delivery, term: term))
      }
    }
    if !changes.isEmpty { surroundings.pipeline.submit(changes, term: term) }
    tellBrake()
  }

  /// One timer for the earliest deadline of both machines.
  private func armTimer() {
    let next = [leader?.nextDeadline, nextFiring].compactMap(\.self).min()
    if let timer, let next, timer.at <= next { return }
    timer?.scheduled.cancel()
    timer = nil
    guard let next else { return }
    let micros = max(0, next.microseconds - Timestamp.now().microseconds)
    // Bounded, so that a step of the wall clock is noticed.
    let wait = TimeAmount.microseconds(min(micros, 1_000_000))
    let scheduled = surroundings.eventLoop.scheduleTask(in: wait) {
      Task { await self.timerFired() }
      return
    }
    timer = (scheduled, next)
  }

  private func timerFired() {
    timer = nil
    turn(now: .now())
  }

  // MARK: Space

  /// Keeps what has ended for another time, while this server leads.
  func keep(_ retention: LeaderMachine.Retention) {
    kept = retention
    leader?.keep(retention, cache)
    turn(now: .now())
  }

  /// Whether something that is too old is still there.
  var isRemoving: Bool { leader?.isRemoving(at: .now()) ?? false }

  /// Whether this server leads.
  var leads: Bool { leader != nil }

  /// Whether a server holds the leader's key, as the watch shows.
  var knowsLeader: Bool { cache.leader != nil }

  // MARK: Submissions

  /// While this server leads and a slot is free, takes a new run straight to an agent.
  func admit(
    _ run: RunRecord, of job: JobRecord
  ) -> (run: RunRecord, guards: [Proposal.Guard], rider: CommitPipeline.Rider)? {
    guard let term = leader?.epoch, let admitted = leader?.admit(run, of: job, cache, now: .now()) else {
      return nil
    }
    return (admitted.run, admitted.guards, CommitPipeline.Rider(term: term, id: admitted.id))
  }

  /// An admitted run was not created. Harmless when the machine knows that already.
  func abandon(_ rider: CommitPipeline.Rider) {
    guard leader?.epoch == rider.term else { return }
    leader?.concluded(rider.id, .refused("it was not created"), cache, now: .now())
    turn(now: .now())
  }

  // MARK: Waiting

  /// Waits until all changes up to a revision are in the cache; false when that takes too long.
  func reached(_ revision: Int64, within patience: Duration) async -> Bool {
    guard cache.revision < revision else { return true }
    let id = waiters.newID()
    let patienceEnd = surroundings.eventLoop.scheduleTask(in: TimeAmount(patience)) {
      Task { await self.stopWaiting(id) }
      return
    }
    await withCheckedContinuation { waiters.add(id, revision, $0) }
    patienceEnd.cancel()
    return cache.revision >= revision
  }

  private func stopWaiting(_ id: UInt64) { waiters.release(id) }

  /// Signals once for each batch of changes of a job or its runs, and once at the start.
  func changes(of key: JobKey) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id = nextWatcher
    nextWatcher += 1
    watchers[key, default: [:]][id] = continuation
    continuation.onTermination = { _ in Task { await self.removeWatcher(id, of: key) } }
    continuation.yield()
    return stream
  }

  private func removeWatcher(_ id: UInt64, of key: JobKey) {
    watchers[key]?[id] = nil
    if watchers[key]?.isEmpty == true { watchers[key] = nil }
  }

  private func notifyWatchers(of key: JobKey) {
    guard !watchers.isEmpty, let interested = watchers[key] else { return }
    for watcher in interested.values { watcher.yield() }
  }
}

/// The caller has to turn to the leader.
struct NotTheLeader: Error {
  var leader: ServerRecord?
}

// MARK: - Commits

extension Replica: CommitObserver {
  /// Takes in what became of changes: the cache learns of them ahead of the watch, then the machine
  /// hears of its own.
  func settled(_ changes: [SettledChange]) async {
    let now = Timestamp.now()
    for settled in changes {
      if case .conflict(let current, _) = settled.result,
        settled.change.isFenced(by: current, surroundings.keyspace)
      {
        surroundings.metrics.fencedWrites.add(1)
      }
      let outcome = learn(from: settled, now: now)
      if let rider = settled.origin.rider, rider.term == leader?.epoch {
        leader?.concluded(rider.id, outcome, cache, now: now)
      }
      if case .firing(let id, _) = settled.origin { firing.concluded(id, outcome, cache, now: now) }
    }
    turn(now: now)
  }

  private func learn(from settled: SettledChange, now: Timestamp) -> ProposalOutcome {
    switch settled.result {
    case .committed(let revision):
      for write in settled.change.writes {
        guard let change = cacheChange(for: write, at: revision) else { continue }
        if cache.applyAhead(change, at: revision) { noticed(change, now: now) }
      }
      return .committed
    case .conflict(let current, let revision):
      for (key, pair) in current {
        let change =
          pair.map { surroundings.decoder.change(for: $0) } ?? surroundings.decoder.deletion(of: key)
        // Who leads is decided by the watch alone.
        switch change {
        case .leader, .segment: continue
        default: break
        }
        if let change, cache.applyAhead(change, at: pair?.modRevision ?? revision) {
          noticed(change, now: now)
        }
      }
      return .conflict
    case .failed(let error):
      surroundings.logger.warning("etcd refused a change", metadata: ["error": "\(error)"])
      return .refused("\(error)")
    }
  }

  /// What a committed write means for the cache. Deletions are left to the watch: applied early, an
  /// older event of the key could bring the record back.
  private func cacheChange(for write: Proposal.Write, at revision: Int64) -> CacheChange? {
    switch write {
    case .job(let record):
      .job(
        record.key,
        Versioned(
          record, createRevision: cache.jobs.facts(of: record.key)?.createRevision ?? revision,
          modRevision: revision))
    case .run(let record):
      .run(
        record.key,
        Versioned(
          record, createRevision: cache.runs[record.key]?.createRevision ?? revision, modRevision: revision))
    case .backfill(let record):
      .backfill(
        record.key,
        Versioned(
          record, createRevision: cache.backfills[record.key]?.createRevision ?? revision,
          modRevision: revision))
    // Who owns a segment is decided by the watch alone, as is who leads.
    case .checkpoint, .deleteCheckpoint, .deleteRun, .deleteJob, .segment, .calendar, .deleteCalendar,
      .queue, .deleteQueue, .group, .deleteGroup, .deleteBackfill, .drain, .deleteDrain, .quota, .deleteQuota,
      .version, .deleteVersion, .alert, .deleteAlert:
      nil
    }
  }
}

extension CommitPipeline.Origin {
  /// The proposal of a leader's machine whose outcome it is.
  fileprivate var rider: CommitPipeline.Rider? {
    switch self {
    case .leader(let term, let id): CommitPipeline.Rider(term: term, id: id)
    case .firing(_, let rider), .caller(_, let rider): rider
    }
  }
}

extension ClusterCache {
  /// Whether the job or run of a key is held as of `revision` or later.
  fileprivate func holds(_ key: ParsedKey, at revision: Int64) -> Bool {
    switch key {
    case .job(let key): jobs.facts(of: key).map { $0.modRevision >= revision } ?? false
    case .run(let key): runs[key].map { $0.modRevision >= revision } ?? false
    case .backfill(let key): backfills[key].map { $0.modRevision >= revision } ?? false
    case .meta, .leader, .server, .agent, .segment, .calendar, .queue, .drain, .group, .quota, .other: false
    }
  }
}
