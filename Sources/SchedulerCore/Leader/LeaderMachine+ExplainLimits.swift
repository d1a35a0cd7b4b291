/// What limits hold a run back, and who holds their slots.
extension LeaderMachine {
  func limitFindings(_ subject: RunSubject, _ cache: ClusterCache) -> [Finding] {
    let run = subject.run.record
    // One that may stand in the queue is kept by nothing here.
    guard limits.isParked(subject.key) else { return [] }
    return limits.fullKeys(for: subject.key).map { key in
      let holders = limits.holders(of: key)
      let names = holders.map { "\($0.job.jobID)/\($0.runID)" }
      var facts = [
        "limit": "\(limits.limit(of: key))", "running": "\(holders.count)",
        "waiting": "\(limits.waitingCount(of: key))",
        "holders": names.prefix(ExplainLimits.names).joined(separator: ","),
      ]
      let who = holders.isEmpty ? "" : ": \(ExplainTexts.names(names))"
      let wait = holders.first.map {
        "wait for one of them, see " + ExplainTexts.command("explain", $0.job, run: $0.runID) + "; or "
      }
      switch key {
      case .group(let group):
        facts["group"] = group.name
        let source = cache.groups[group] == nil ? "the jobs say" : "its own object says"
        facts["limit_from"] = cache.groups[group] == nil ? "jobs" : "group"
        return Finding(
          .groupFull,
          "all \(facts["limit"] ?? "") of concurrency group '\(group.name)' that \(source) are taken\(who)"
            + (run.attempt == 0 ? "" : "; it has given its own back"),
          facts: facts,
          fix: (wait ?? "") + "raise its limit: \(Self.raise(group, to: limits.limit(of: key) + 1))")
      case .namespace(let name):
        return QuotaFindings.runningRuns(
          name, used: holders.count, limit: limits.limit(of: key), queued: cache.use(of: name).queuedRuns)
      case .job(let job):
        return Finding(
          .jobLimit,
          "as many runs of the job are with agents as its max_running of \(facts["limit"] ?? "") allows\(who)",
          facts: facts,
          fix: (wait ?? "") + "raise it: "
            + ExplainTexts.command("update", job) + " --max-running \(limits.limit(of: key) + 1)")
      }
    }
  }

  private static func raise(_ group: GroupKey, to limit: Int) -> String {
    let namespace = group.namespace == JobSpec.Defaults.namespace ? "" : " -n \(group.namespace)"
    return "rota groups put \(group.name) --limit \(limit)\(namespace)"
  }

  /// That a run which waits has to begin in time.
  func startDeadlineFindings(_ subject: RunSubject) -> [Finding] {
    guard subject.run.record.attempt == 0,
      let deadline = subject.job.spec.startDeadline(
        of: subject.run.record, createdAt: subject.job.createdAt)
    else { return [] }
    let text = DurationText.format(milliseconds: subject.job.spec.startDeadlineMillis ?? 0)
    return [
      Finding(
        .startDeadline,
        "unless it begins by \(deadline.rfc3339), in \(ExplainTexts.length(from: subject.now, to: deadline)), it is "
          + "skipped: its start_deadline is \(text)",
        facts: ["start_deadline": text, "until": deadline.rfc3339], until: deadline)
    ]
  }
}
