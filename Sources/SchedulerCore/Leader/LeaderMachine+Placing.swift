/// What of agents is promised to runs. Only runs that ask for something cost anything.
struct Promises: Sendable {
  private var byRun: [RunKey: ResourceAmounts] = [:]
  private var byAgent: [Incarnation: ResourceAmounts] = [:]

  var isEmpty: Bool { byRun.isEmpty && byAgent.isEmpty }

  /// What is promised by an incarnation.
  func held(by agent: Incarnation) -> ResourceAmounts { byAgent[agent] ?? ResourceAmounts() }

  mutating func add(_ resources: Resources, to run: RunKey, by agent: Incarnation) {
    guard !resources.isEmpty else { return }
    let amounts = ResourceAmounts(resources)
    byRun[run] = amounts
    byAgent[agent, default: ResourceAmounts()] += amounts
  }

  /// Takes back what was promised to a run.
  mutating func take(_ run: RunKey, from agent: Incarnation) -> ResourceAmounts {
    guard !byRun.isEmpty, let amounts = byRun.removeValue(forKey: run) else { return ResourceAmounts() }
    byAgent[agent]? -= amounts
    if byAgent[agent]?.isEmpty == true { byAgent[agent] = nil }
    return amounts
  }
}

/// Which agent a run is given.
extension LeaderMachine {
  /// The agent for a run; nil when none can take it now.
  mutating func choose(
    _ requirement: Requirement, for run: RunRecord, _ job: JobRecord, _ cache: ClusterCache
  ) -> String? {
    guard pool.freeSlots > 0 else { return nil }
    let placement = job.spec.placement
    guard !placement.isDefault else { return pool.choose(requirement, avoiding: run.agentsTried) }
    let wish = PlacementWish(
      placement, of: job.key, hashKey: hashKey(of: run, job, cache), random: random.next())
    return pool.choose(requirement, wish, avoiding: run.agentsTried)
  }

  /// What a run's agent is chosen by with a consistent hash: its templates filled in as for the attempt to come. One that
  /// cannot be filled in counts as it stands; the attempt will fail for it, and say so.
  private mutating func hashKey(of run: RunRecord, _ job: JobRecord, _ cache: ClusterCache) -> String {
    guard job.spec.placement.strategy == .consistentHash else { return "" }
    guard let key = job.spec.placement.hashKey else { return "\(job.key.namespace)/\(job.key.jobID)" }
    guard Template.mayBe(in: key), let template = try? Template(parsing: key) else { return key }
    let ref = AttemptRef(run: run.key, attempt: run.attempt + 1, fence: run.fence + 1, incarnation: 0)
    let values = TemplateValues(
      ref: ref, scheduledTime: run.scheduledTime, retryCount: run.retryCount,
      context: contexts.context(of: run, job, cache), timeZone: job.spec.templateZone, zones: contexts.zones)
    return (try? template.filledIn(values, limit: SpecLimits.recordBytes)) ?? key
  }

  // MARK: Kept agents

  /// Notes a run that asks for resources and that no agent can take now: once it has waited for long, one is kept for it.
  mutating func refused(_ entry: ReadyQueue.Entry) {
    guard !entry.requirement.demand.isEmpty else { return }
    if largeRuns.count >= PlacementLimits.pauses { largeRuns.removeAll() }
    largeRuns[entry.requirement] = entry.run
  }

  /// Keeps agents for large runs that have waited for long, and lets those go that are kept for nothing any more. Before
  /// a round of assignments.
  mutating func reviewKeptAgents(_ cache: ClusterCache, now: Timestamp) {
    guard !pool.keepings.isEmpty || !largeRuns.isEmpty else { return }
    let queue = ready
    pool.reviewKept(at: now) { queue.contains($0) }
    var next: Timestamp?
    for (requirement, run) in largeRuns.sorted(by: { $0.value < $1.value }) {
      guard queue.contains(run), let record = cache.runs[run]?.record else {
        largeRuns[requirement] = nil
        continue
      }
      guard pool.keepings.slot(for: requirement) == nil, !pool.canPlace(requirement) else { continue }
      let since = record.attempts.last?.endedAt ?? record.createdAt
      var due = since.adding(milliseconds: PlacementLimits.keepAfterMillis)
      if due <= now {
        if pool.keep(for: run, requirement, at: now) != nil { continue }
        due = now.adding(milliseconds: PlacementLimits.keepPauseMillis)
      }
      next = min(next ?? due, due)
    }
    if let time = [next, pool.keptUntil].compactMap(\.self).min() {
      deadlines.set(.keptAgents, at: time)
    } else {
      deadlines.remove(.keptAgents)
    }
  }

  /// The agents that are kept for large runs.
  public var keptAgents: [AgentPool.Kept] { pool.kept }
}

extension RunRecord {
  /// What of its agent is reserved for the current attempt.
  var promised: Resources { attempts.last?.resources ?? Resources() }
}
