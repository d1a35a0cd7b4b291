/// What holds a run back besides slots: resources that are promised, runs that stay apart, agents that are kept.
extension LeaderMachine {
  /// What keeps those agents from it that would do; nil of those that other findings are about.
  func promiseFinding(
    _ standing: PlacementSurvey.Standing, _ group: PlacementSurvey.Group, _ survey: PlacementSurvey,
    _ requirement: Requirement
  ) -> Finding? {
    let facts = [
      "agents": "\(survey.agents)", "agents_matching": "\(survey.matching)", "count": "\(group.count)",
      "worker_ids": group.ids.joined(separator: ","),
    ]
    let whose = "\(group.count) of the \(ExplainTexts.count(survey.matching, "agent")) that would do"
    let names = ExplainTexts.names(group.ids, of: group.count)
    switch standing {
    case .promised:
      let amounts = group.short.map(requirement.amountText).joined(separator: ", ")
      return Finding(
        .resourcesInUse,
        "\(whose) have promised too much to other runs: less than \(amounts) is free (\(names))",
        facts: facts.merging([
          "resources": group.short.joined(separator: ","), "asked": requirement.resources.text,
        ]) { $1 },
        fix:
          "wait, or start agents with more, or ask for less; after a minute of waiting an agent is kept for it"
      )
    case .shortOfMemory:
      let amount = requirement.amountText(Resources.memoryName)
      return Finding(
        .resourcesInUse,
        "\(whose) have less than \(amount) that nothing else on the machine uses (\(names))",
        facts: facts.merging(["resources": Resources.memoryName, "asked": requirement.resources.text]) { $1 },
        fix: "see what uses the memory of agent '\(group.ids.first ?? "")'")
    case .apart:
      return Finding(
        .runsApart, "\(whose) have a run of the job, and its runs stay apart (\(names))", facts: facts,
        fix: "wait, or start more agents, or make anti_affinity 'preferred'")
    case .kept:
      let kept = keptAgents.filter { group.ids.contains($0.agentID) }
      let runs = kept.map { "\($0.run.job.jobID)/\($0.run.runID)" }
      return Finding(
        .agentsKept, "\(whose) are kept for larger runs that have waited for long: \(names)",
        facts: facts.merging([
          "kept_for": runs.joined(separator: ","), "until": kept.map(\.until).max()?.rfc3339 ?? "",
        ]) { $1 }, until: kept.map(\.until).max())
    case .draining, .unhealthy, .disconnected, .avoided, .busy, .free: return nil
    }
  }
}
