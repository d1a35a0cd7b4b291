/// What the queue of a run that waits has to do with it.
extension LeaderMachine {
  /// Why the queue gives out nothing now; nothing where it does.
  func queueFindings(_ subject: RunSubject, _ cache: ClusterCache) -> [Finding] {
    let name = subject.job.spec.queue
    guard let block = queues.block(of: name, at: subject.now) else { return [] }
    let waiting = ready.waiting(in: name).count
    let facts = [
      "queue": name, "queue_waiting": "\(waiting)", "queue_running": "\(queues.running(in: name))",
    ]
    let record = cache.queues[name]?.record
    switch block.why {
    case .paused: return [paused(name, record, facts)]
    case .full: return [full(name, record, facts)]
    case .rateLimited:
      let rate = record?.spec.dispatchRate ?? 0
      let until = block.until.map { " until \($0.rfc3339)" } ?? ""
      return [
        Finding(
          .queueRateLimited,
          "queue '\(name)' gives out \(rate) runs a second, and has no more for now\(until); "
            + "\(ExplainTexts.count(waiting, "run")) wait in it",
          facts: facts.merging(["dispatch_rate": "\(rate)", "until": block.until?.rfc3339 ?? ""]) { $1 },
          fix: "wait, or raise the queue's dispatch_rate: rota queues put \(name) --dispatch-rate …",
          until: block.until)
      ]
    }
  }

  private func paused(_ name: String, _ record: QueueRecord?, _ facts: [String: String]) -> Finding {
    let since = record?.pausedAt.map { " since \($0.rfc3339)" } ?? ""
    let note = record?.pauseNote.map { ": \($0)" } ?? ""
    return Finding(
      .queuePaused, "queue '\(name)' is paused\(since)\(note)",
      facts: facts.merging([
        "paused_at": record?.pausedAt?.rfc3339 ?? "", "note": record?.pauseNote ?? "",
      ]) { $1 }, fix: "rota queues resume \(name)")
  }

  /// Names who holds it.
  private func full(_ name: String, _ record: QueueRecord?, _ facts: [String: String]) -> Finding {
    let running = queues.running(in: name)
    let most = record?.spec.maxRunning ?? running
    let holders = queues.holders(of: name, limit: ExplainLimits.names).map { run in
      let agent = self.holders[run].map { " on \($0.agentID)" } ?? ""
      return "\(run.job.namespace)/\(run.job.jobID)/\(run.runID)\(agent)"
    }
    return Finding(
      .queueFull,
      "queue '\(name)' is full: \(running) of at most \(most) runs have an agent "
        + "(\(ExplainTexts.names(holders, of: running)))",
      facts: facts.merging(["max_running": "\(most)", "held_by": holders.joined(separator: ",")]) { $1 },
      fix: "wait for one of them to end, or raise the queue's max_running")
  }

  /// Agents would do for the job, and none of them serves its queue.
  func unserved(
    _ queue: String, _ cache: ClusterCache, _ own: PlacementSurvey, _ survey: PlacementSurvey
  ) -> Finding {
    let agents = cache.queues[queue]?.record.spec.agents ?? []
    let wanted = agents.map { "'\($0.text)'" }.joined(separator: ", ")
    return Finding(
      .queueAgents,
      "queue '\(queue)' is served by agents with \(wanted) alone: none of "
        + "\(ExplainTexts.count(survey.agents, "agent")) that also meets what the job asks for does, of which "
        + "\(own.matching) would",
      facts: [
        "queue": queue, "queue_agents": agents.map(\.text).joined(separator: ";"),
        "agents": "\(survey.agents)", "agents_matching_job": "\(own.matching)", "agents_matching": "0",
      ],
      fix: "start an agent that serves the queue, give the job another queue, or change the queue's agents")
  }
}
