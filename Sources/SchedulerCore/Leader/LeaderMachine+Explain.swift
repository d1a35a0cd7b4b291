/// What only the leader knows of why a run is where it is.
extension LeaderMachine {
  /// A part of the leader that holds runs back, and can say so: nothing where it does not hold this one back now.
  typealias Finder = @Sendable (LeaderMachine, RunSubject, ClusterCache) -> [Finding]

  /// Of runs that wait for an agent. A part that is added has its finder in a file of its own, and its line here.
  static let waitingFinders: [Finder] = [
    { leader, subject, cache in leader.queueFindings(subject, cache) },
    { leader, subject, cache in leader.placementFindings(subject, cache) },
    { leader, subject, cache in leader.limitFindings(subject, cache) },
    { leader, subject, _ in leader.startDeadlineFindings(subject) },
  ]

  /// Of runs that an agent owns.
  static let ownedFinders: [Finder] = [
    { leader, subject, cache in leader.lossFindings(subject, cache) }
  ]

  /// What the leader knows of what holds a run back.
  public func findings(of subject: RunSubject, _ cache: ClusterCache) -> [Finding] {
    if subject.run.record.state.isOwned {
      return Self.ownedFinders.flatMap { $0(self, subject, cache) }
    }
    guard subject.waitsForAgent else { return [] }
    // What was true before the decision is not what it waits for now.
    if busyRuns.contains(subject.key), !waitNotes.beingWritten.contains(subject.key) {
      return [beingWritten]
    }
    return Self.waitingFinders.flatMap { $0(self, subject, cache) }
  }

  private var beingWritten: Finding {
    Finding(
      .beingWritten, "the leader has decided what becomes of it, and waits for etcd to take that",
      facts: ["proposals_in_flight": "\(proposalsInFlight)"],
      fix: "if it lasts, see whether etcd is slow: rota cluster")
  }

  // MARK: Placement

  /// Nothing where an agent could take it now.
  private func placementFindings(_ subject: RunSubject, _ cache: ClusterCache) -> [Finding] {
    let agent = subject.run.record.awaitedAgent(subject.job.spec, at: subject.now)
    let queue = subject.job.spec.queue
    let own = Requirement(subject.job.spec, of: subject.key.job, agentID: agent)
    let requirement = ready.requirement(own, in: queue)
    let survey = pool.survey(requirement, awaited: agent)
    guard survey.agents > 0 else { return agent == nil ? [noAgents] : [] }
    guard survey.matching > 0 else {
      let ownSurvey = pool.survey(own, awaited: agent)
      return [ownSurvey.matching > 0 ? unserved(queue, cache, ownSurvey, survey) : noMatch(survey)]
    }
    guard survey.groups[.free] == nil else { return [] }
    return PlacementSurvey.Standing.inOrder.compactMap { standing in
      survey.groups[standing].map { group in
        promiseFinding(standing, group, survey, requirement) ?? finding(standing, group, survey, cache)
      }
    }
  }

  private var noAgents: Finding {
    Finding(
      .noAgents, "no agent holds a lease, so there is nothing to run it on", facts: ["agents": "0"],
      fix: "start one: rota agent --id NAME --etcd HOST:PORT")
  }

  /// No agent would do: which part of the requirement excludes how many.
  private func noMatch(_ survey: PlacementSurvey) -> Finding {
    let excluding = survey.exclusions.filter { $0.excluded > 0 }
    var facts = ["agents": "\(survey.agents)", "agents_matching": "0"]
    for exclusion in excluding { facts["excluded_by: \(exclusion.what)"] = "\(exclusion.excluded)" }
    let parts = excluding.map { "'\($0.what)' excludes \($0.excluded)" }
    var fix = "start an agent that meets all of it"
    if let easiest = excluding.max(by: { $0.alone < $1.alone }), easiest.alone > 0 {
      let would = easiest.alone == 1 ? "1 agent would do" : "\(easiest.alone) agents would do"
      fix = "without '\(easiest.what)' \(would): change the job or those agents; or " + fix
    }
    return Finding(
      .noMatchingAgent,
      "none of \(ExplainTexts.count(survey.agents, "agent")) may run it: \(parts.joined(separator: ", "))",
      facts: facts, fix: fix)
  }

  /// What keeps those agents from it that would do.
  private func finding(
    _ standing: PlacementSurvey.Standing, _ group: PlacementSurvey.Group, _ survey: PlacementSurvey,
    _ cache: ClusterCache
  ) -> Finding {
    let facts = [
      "agents": "\(survey.agents)", "agents_matching": "\(survey.matching)", "count": "\(group.count)",
      "worker_ids": group.ids.joined(separator: ","),
    ]
    let whose = "\(group.count) of the \(ExplainTexts.count(survey.matching, "agent")) that would do"
    let names = ExplainTexts.names(group.ids, of: group.count)
    let first = group.ids.first ?? ""
    switch standing {
    case .draining:
      let notes = group.ids.compactMap { id in cache.drains[id]?.record.note.map { "\(id): \($0)" } }
      let note = notes.isEmpty ? "" : " (\(notes.joined(separator: ", ")))"
      return Finding(
        .agentsDraining, "\(whose) get no new work, since they are drained: \(names)\(note)", facts: facts,
        fix: cache.drains[first] != nil
          ? "rota agents undrain \(first)" : "agent '\(first)' is about to leave: start it again")
    case .unhealthy:
      let reasons = group.ids.compactMap { id in health(judgedOf: id)?.reason.map { "\(id): \($0)" } }
      return Finding(
        .agentsUnhealthy, "\(whose) are not fit for new work: \(reasons.joined(separator: ", "))",
        facts: facts, fix: "give agent '\(first)' what it is short of")
    case .disconnected:
      return Finding(
        .agentsDisconnected, "\(whose) hold their lease but have no session with the leader: \(names)",
        facts: facts,
        fix: "agents connect within seconds; if it lasts, see that agent '\(first)' can reach the leader's "
          + "gRPC")
    case .avoided:
      let reasons = group.ids.compactMap { id in health(judgedOf: id)?.reason.map { "\(id): \($0)" } }
      return Finding(
        .agentsAvoided, "\(whose) are avoided: \(reasons.joined(separator: ", "))", facts: facts,
        fix: "see why tasks fail on agent '\(first)'")
    case .apart, .promised, .shortOfMemory, .busy, .kept, .free:
      let busy = facts.merging(
        ["slots": "\(group.slots)", "slots_used": "\(group.used)", "waiting_runs": "\(readyCount)"]
      ) { $1 }
      return Finding(
        .agentsBusy,
        "\(whose) have no free slot: \(group.used) of \(group.slots) are taken (\(names)); "
          + "\(ExplainTexts.count(readyCount, "run")) wait for an agent", facts: busy,
        fix: "wait, or start more agents or agents with more slots; a higher priority goes first")
    }
  }

  // MARK: Loss

  /// Of a run whose agent is gone, or cannot be told.
  private func lossFindings(_ subject: RunSubject, _ cache: ClusterCache) -> [Finding] {
    guard let owner = subject.run.record.owner else { return [] }
    let facts = ["worker_id": owner.agentID]
    if cache.agents[owner.agentID]?.createRevision != owner.createRevision {
      guard let brake = braking(cache), brake.engagement.pausedUntil > subject.now else {
        return [
          Finding(
            .agentLost,
            "the lease of agent '\(owner.agentID)' lapsed: the run is about to be given back", facts: facts)
        ]
      }
      let engaged = brake.engagement
      return [
        Finding(
          .lossBrake,
          "its agent '\(owner.agentID)' was lost with \(engaged.lost) of \(engaged.known) agents at once: "
            + "\(ExplainTexts.count(brake.waiting, "run")) of theirs wait until \(engaged.pausedUntil.rfc3339), in case "
            + "they come back, and follow at a bounded rate then",
          facts: facts.merging([
            "agents_lost": "\(engaged.lost)", "agents_known": "\(engaged.known)",
            "runs_waiting": "\(brake.waiting)", "until": engaged.pausedUntil.rfc3339,
          ]) { $1 }, fix: "bring the agents back: see why so many were lost",
          until: engaged.pausedUntil)
      ]
    }
    guard sessionOfAgent[owner.agentID] == nil else { return [] }
    return [
      Finding(
        .agentDisconnected,
        "agent '\(owner.agentID)' holds its lease and has no session with the leader: what it does is not heard of, and "
          + "it is told nothing, until it connects", facts: facts,
        fix: "see that agent '\(owner.agentID)' can reach the leader's gRPC")
    ]
  }
}

extension PlacementSurvey.Standing {
  /// Those that hold a run back, in the order of what to fix first.
  fileprivate static let inOrder: [PlacementSurvey.Standing] = [
    .draining, .unhealthy, .disconnected, .avoided, .apart, .promised, .shortOfMemory, .busy, .kept,
  ]
}
