extension LeaderMachine {
  /// Tells the agent that owns a run about it, once in a session. Called whenever the run is looked at,
  /// so it does not matter how the assignment became known: by its commit, or later by the watch.
  ///
  /// An attempt whose templates cannot be filled in is not told. Its agent is asked to stop it instead, and
  /// confirms that it does not run: only the owner of an attempt can say so, for an earlier leader may have
  /// told it, of an earlier specification. `understood` makes a failed start of that.
  mutating func tell(_ run: RunRecord, _ job: JobRecord, _ cache: ClusterCache) {
    guard let ref = run.current, let owner = run.owner, let id = sessionOfAgent[owner.agentID],
      sessions[id]?.incarnation == owner, sessions[id]?.known[run.key] != ref
    else { return }
    sessions[id]?.known[run.key] = ref
    switch assignment(ref, run, job, cache) {
    case .success(let assignment) where run.checkpoint == nil:
      outboxes[id, default: Outbox()].assignments.append(assignment)
    case .success(let assignment): outboxes[id, default: Outbox()].resumptions.append(assignment)
    case .failure(let error): sendStop(ref, to: owner.agentID, reason: Self.notFilledIn(error))
    }
  }

  /// What an agent says of an attempt of a run that is wanted, as it is recorded: one that was never told has not been cancelled, it
  /// could not be started. Worked out anew, so that it does not depend on which leader hears of it.
  mutating func understood(
    _ update: AttemptUpdate, of run: RunRecord, _ job: JobRecord, _ cache: ClusterCache
  ) -> AttemptUpdate {
    guard update.end?.reason == .cancelled, update.startedAt == nil, run.current == update.ref,
      run.state == .assigned, job.spec.hasTemplates,
      case .failure(let error) = assignment(update.ref, run, job, cache)
    else { return update }
    var understood = update
    understood.end?.reason = .startFailed
    understood.end?.error = Self.notFilledIn(error)
    return understood
  }

  private static func notFilledIn(_ error: FieldError) -> String {
    "a template cannot be filled in: \(error)"
  }

  /// What an agent is told of an attempt. What only servers need of the job is left out.
  private mutating func assignment(
    _ ref: AttemptRef, _ run: RunRecord, _ job: JobRecord, _ cache: ClusterCache
  ) -> Result<Assignment, FieldError> {
    let context = contexts.context(of: run, job, cache)
    counters.unreadySchedules = contexts.failures
    var spec = job.spec
    if spec.hasTemplates {
      let values = TemplateValues(
        ref: ref, scheduledTime: run.scheduledTime, retryCount: run.retryCount, context: context,
        timeZone: spec.templateZone, zones: contexts.zones)
      do throws(FieldError) { spec = try spec.filledIn(values) } catch { return .failure(error) }
    }
    spec.params = [:]
    spec.schedules = []
    spec.misfire = MisfirePolicy()
    spec.overlap = .allow
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
