extension LeaderMachine {
  /// Tells the agent that owns a run about it, once in a session. Called whenever the run is looked at,
  /// so it does not matter how the assignment became known: by its commit, or later by the watch.
  ///
  /// An attempt whose templates cannot be filled in, or whose run's total timeout is over, is not told. Its agent is
  /// asked to stop it instead, and confirms that it does not run: only the owner of an attempt can say so, for an
  /// earlier leader may have told it, of an earlier specification. `understood` makes the failure of that which it is.
  mutating func tell(_ run: RunRecord, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp) {
    guard let ref = run.current, let owner = run.owner, let id = sessionOfAgent[owner.agentID],
      sessions[id]?.incarnation == owner, sessions[id]?.known[run.key] != ref
    else { return }
    sessions[id]?.known[run.key] = ref
    switch assignment(ref, run, job, cache, now: now) {
    case .success(let assignment) where run.checkpoint == nil:
      outboxes[id, default: Outbox()].assignments.append(assignment)
    case .success(let assignment): outboxes[id, default: Outbox()].resumptions.append(assignment)
    case .failure(let obstacle): sendStop(ref, to: owner.agentID, reason: obstacle.text)
    }
  }

  /// Why an attempt is not told.
  private struct Obstacle: Error {
    var reason: EndReason
    var text: String

    static func overdue(_ spec: JobSpec) -> Obstacle {
      Obstacle(reason: .timeout, text: spec.totalTimeoutText)
    }
  }

  /// What an agent says of an attempt of a run that is wanted, as it is recorded: one that was stopped since its run's
  /// time was over has timed out, and one that was never told could not be started; neither has been cancelled. Worked
  /// out anew, so that it does not depend on which leader hears of it.
  mutating func understood(
    _ update: AttemptUpdate, of run: RunRecord, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> AttemptUpdate {
    guard update.end?.reason == .cancelled, run.current == update.ref else { return update }
    var obstacle: Obstacle?
    if run.isOverdue(job.spec, at: now) {
      obstacle = .overdue(job.spec)
    } else if update.startedAt == nil, run.state == .assigned, job.spec.hasTemplates,
      case .failure(let found) = assignment(update.ref, run, job, cache, now: now)
    {
      obstacle = found
    }
    guard let obstacle else { return update }
    var understood = update
    understood.end?.reason = obstacle.reason
    understood.end?.error = obstacle.text
    return understood
  }

  /// What an agent is told of an attempt: its timeout ends with the run's. What only servers need of the job is left out.
  private mutating func assignment(
    _ ref: AttemptRef, _ run: RunRecord, _ job: JobRecord, _ cache: ClusterCache, now: Timestamp
  ) -> Result<Assignment, Obstacle> {
    let context = contexts.context(of: run, job, cache)
    counters.unreadySchedules = contexts.failures
    var spec = job.spec
    if spec.hasTemplates {
      let values = TemplateValues(
        ref: ref, scheduledTime: run.scheduledTime, retryCount: run.retryCount, context: context,
        timeZone: spec.templateZone, zones: contexts.zones)
      do throws(FieldError) { spec = try spec.filledIn(values) } catch {
        return .failure(Obstacle(reason: .startFailed, text: "a template cannot be filled in: \(error)"))
      }
    }
    if let total = spec.totalTimeoutMillis, let deadline = spec.totalDeadline(from: run.createdAt) {
      // The clock of the server that created the run may be ahead.
      let left = min(deadline.milliseconds - now.milliseconds, total)
      guard left > 0 else { return .failure(.overdue(spec)) }
      spec.timeoutMillis = min(spec.timeoutMillis ?? left, left)
    }
    spec.params = [:]
    spec.schedules = []
    spec.misfire = MisfirePolicy()
    spec.overlap = .allow
    spec.queue = JobSpec.Defaults.queue
    spec.retryOn = nil
    spec.noRetryOn = nil
    spec.totalTimeoutMillis = nil
    spec.resources = Resources()
    spec.placement = Placement()
    spec.concurrency = nil
    spec.maxRunning = 0
    spec.startDeadlineMillis = nil
    return .success(
      Assignment(
        ref: ref, spec: spec, scheduledTime: run.scheduledTime, retryCount: run.retryCount, context: context))
  }
}

extension Assignment {
  /// About how much text it holds, bytes.
  var textBytes: Int {
    context.params.reduce(spec.textBytes) { $0 + $1.key.utf8.count + $1.value.utf8.count }
  }
}
