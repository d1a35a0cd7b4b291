@testable import SchedulerCore

// What schedulers get wrong, done on purpose to what an owner of segments proposes.

extension Proposal {
  /// The proposal with a mistake; itself where the mutation is none of an owner's decisions.
  func distorted(
    _ mutation: LeaderSimulation.Mutation, _ cache: ClusterCache, at now: Timestamp
  ) -> Proposal {
    switch mutation {
    case .missedForgotten: forgettingWhatWasMissed(at: now)
    case .statesUnwritten: leavingStates(cache)
    case .misfireTwice: runningWhatWasMissed(cache, at: now)
    case .none, .guardsIgnored, .agentsNeverFence, .checkpointsUnguarded, .epochsIgnored, .jobsUnordered,
      .filtersForgotten, .totalTimeoutsForgotten, .waitsForgotten, .atMostOnceForgotten, .limitsForgotten,
      .endsReopened:
      self
    }
  }

  /// As schedulers decide that count from the present: what came before it is forgotten but for the last.
  private func forgettingWhatWasMissed(at now: Timestamp) -> Proposal {
    var runs: [RunRecord] = []
    for case .run(let run) in writes where run.trigger == .schedule { runs.append(run) }
    var changed = self
    changed.writes = writes.compactMap { write in
      switch write {
      case .run(let run): return run.trigger != .schedule || run == runs.last ? write : nil
      case .job(var job):
        for index in job.scheduleStates.indices { job.scheduleStates[index].decidedThrough = now }
        return .job(job)
      default: return write
      }
    }
    return changed
  }

  /// The runs are created, but that they were decided is not noted.
  private func leavingStates(_ cache: ClusterCache) -> Proposal {
    var changed = self
    guard writes.contains(where: { if case .run = $0 { true } else { false } }) else { return self }
    changed.writes = writes.map { write in
      guard case .job(var job) = write, let old = cache.jobs[job.key]?.job.record else { return write }
      job.scheduleStates = old.scheduleStates
      job.nextRunTime = old.nextRunTime
      return .job(job)
    }
    return changed
  }

  /// The last of what the misfire policy has left out is run all the same.
  private func runningWhatWasMissed(_ cache: ClusterCache, at now: Timestamp) -> Proposal {
    var changed = self
    for case .job(let job) in writes {
      guard let old = cache.jobs[job.key]?.job.record, job.skips.count > old.skips.count,
        job.skips.lastReason == .misfire, let time = job.skips.lastTime
      else { continue }
      let run = RunRecord(
        key: RunKey(job: job.key, runID: runID(for: time)), scheduledTime: time, createdAt: now)
      changed.guards.append(.runAbsent(run.key))
      changed.writes.append(.run(run))
    }
    return changed
  }
}
