import EtcdClient
import SchedulerCore

/// The schedules of the segments that this server owns.
extension Replica {
  /// Tells the owner's machine of a change that the cache has taken in. Before the first listing is complete it is told
  /// nothing: an owner has to see all that earlier owners wrote.
  func noticedForFiring(_ change: CacheChange, now: Timestamp) {
    guard isWarm else { return }
    switch change {
    case .job(let key, _), .listedJob(let key, _): firing.jobChanged(key, cache, now: now)
    case .run(let key, _): firing.runChanged(key, cache, now: now)
    case .calendar(let key, _): firing.calendarChanged(key, cache, now: now)
    case .backfill(let key, _): firing.backfillChanged(key, cache, now: now)
    case .segment(let number, _): reviewOwnership(of: number, now: now)
    case .agent, .server, .leader, .drain, .queue, .group, .quota: break
    }
  }

  /// After the first listing: what this server owns already, of an earlier life with the same id.
  func takeOwnSegments(now: Timestamp) {
    for number in cache.segments.keys.sorted() { reviewOwnership(of: number, now: now) }
  }

  /// Owns a segment exactly while the watched state says so. The revision of that is the epoch that its writes prove.
  private func reviewOwnership(of number: Int, now: Timestamp) {
    let owner = cache.segments[number]
    let isOwn = owner?.record.serverID == surroundings.serverID
    firing.ownershipChanged(number, epoch: isOwn ? owner?.modRevision : nil, cache, now: now)
  }

  /// Lets the machine decide what is due, unless too much waits to be written: then it waits as well, and says so.
  func fire(now: Timestamp) {
    guard isWarm else { return }
    guard surroundings.pipeline.queuedCount < ServerLimits.queuedBeforeFiringWaits else {
      if firingWaitsUntil == nil { surroundings.metrics.firingWaits.add(1) }
      firingWaitsUntil = now.adding(milliseconds: ServerLimits.firingPauseMillis)
      return
    }
    firingWaitsUntil = nil
    var changes: [CommitPipeline.Firing] = []
    for effect in firing.turn(cache, now: now) {
      switch effect {
      case .propose(let id, let proposal, let new): changes.append(change(id, proposal, new))
      }
    }
    if !changes.isEmpty { surroundings.pipeline.submit(changes) }
  }

  /// Where this server leads, too, a new run goes straight to an agent in the transaction that creates it.
  private func change(
    _ id: FiringMachine.ProposalID, _ proposal: Proposal, _ new: FiringMachine.NewRun?
  ) -> CommitPipeline.Firing {
    guard let new, let admitted = admit(new.run, of: new.job) else {
      return CommitPipeline.Firing(id: id, rider: nil, change: surroundings.keyspace.change(for: proposal))
    }
    var assigned = proposal
    assigned.guards += admitted.guards
    assigned.writes = proposal.writes.map { write in
      if case .run(let run) = write, run.key == admitted.run.key { .run(admitted.run) } else { write }
    }
    return CommitPipeline.Firing(
      id: id, rider: admitted.rider, change: surroundings.keyspace.change(for: assigned))
  }

  /// When firing has something to do by itself; nil for never.
  var nextFiring: Timestamp? {
    guard isWarm else { return nil }
    return firingWaitsUntil ?? firing.nextDeadline
  }

  /// What this server reports of itself.
  func figures() -> ServerFigures { firing.figures(at: .now()) }
}
