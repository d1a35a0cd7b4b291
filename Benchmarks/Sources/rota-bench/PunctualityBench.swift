import Foundation

/// How punctual a cluster is when many one-off jobs are due at about the same time.
struct PunctualityBench {
  let cluster: BenchCluster
  let count: DueJobs.Count

  /// Due spread evenly over so many seconds.
  func spread(over seconds: Double) async throws -> Row {
    let (outcome, usage) = try await measure(spread: seconds)
    return Row(
      name: "jobs due spread over \(Int(seconds)) s",
      figures: [("jobs", Double(count.jobs))] + outcome.creation.figures("created_late")
        + outcome.execution.figures("executed_late"),
      usage: usage, target: "none lost, none twice; p50 under 5 ms late, p99 under 50 ms")
  }

  /// All due at one instant.
  func atOnce() async throws -> Row {
    let (outcome, usage) = try await measure(spread: 0)
    return Row(
      name: "jobs due at one instant",
      figures: [
        ("jobs", Double(count.jobs)), ("seconds_until_all_created", outcome.secondsToCreate),
        ("seconds_until_all_ended", outcome.secondsToEnd),
        ("jobs_per_second", Double(count.jobs) / max(0.001, outcome.secondsToEnd)),
      ] + outcome.creation.figures("created_late") + outcome.execution.figures("executed_late"),
      usage: usage, target: "none lost, none twice")
  }

  private func measure(
    spread: Double
  ) async throws -> (outcome: DueOutcome, usage: [(process: String, usage: Usage)]) {
    let due = DueJobs(count, spread: spread, cluster: cluster)
    let times = try await due.submit()
    try await cluster.sleep(until: due.start)
    let before = cluster.usageByProcess()
    let outcome = try await due.outcome(of: times)
    return (outcome, cluster.usage(since: before))
  }
}
