import Testing

@testable import SchedulerCore

/// What is said of runs that wait for resources, or apart from others.
struct ExplainPlacementTests {
  private func bench() -> LeaderBench {
    var bench = LeaderBench()
    bench.connect("a", session: 1, slots: 9, labels: ["zone": "eu"], resources: Resources(cpus: 4))
    bench.connect("b", session: 2, slots: 9, labels: ["zone": "us"], resources: Resources(cpus: 2))
    return bench
  }

  @Test func resourcesThatNoAgentHas() throws {
    var bench = bench()
    let run = bench.submit {
      $0.resources = Resources(cpus: 3, custom: ["gpu": 1])
      $0.constraints = [Constraint(label: "zone", op: .equal, values: ["eu"])]
    }
    bench.settle()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["no_matching_agent"])
    #expect(
      explanation.findings[0].facts == [
        "agents": "2", "agents_matching": "0", "excluded_by: zone=eu": "1", "excluded_by: cpus=3": "1",
        "excluded_by: gpu=1": "2",
      ])
    #expect(explanation.findings[0].fix.hasPrefix("without 'gpu=1' 1 agent would do"))
  }

  @Test func resourcesThatArePromisedToOthers() throws {
    var bench = bench()
    bench.submit { $0.resources.cpus = 3 }
    bench.rest()
    let run = bench.submit { $0.resources.cpus = 3 }
    bench.rest()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["resources_in_use"])
    let finding = explanation.findings[0]
    #expect(finding.message.contains("less than 3 cpus is free (a)"))
    #expect(finding.facts["resources"] == "cpus" && finding.facts["asked"] == "cpus=3")
    #expect(finding.facts["agents_matching"] == "1" && finding.facts["worker_ids"] == "a")
  }

  @Test func runsThatStayApart() throws {
    var bench = bench()
    let first = bench.submit { $0.placement.antiAffinity = .required }
    _ = try bench.add(to: first.job)
    let third = try bench.add(to: first.job)
    bench.rest()
    let explanation = try bench.explain(third)
    #expect(explanation.codes == ["runs_apart"])
    #expect(explanation.findings[0].facts["worker_ids"] == "a,b")
  }

  @Test func anAgentThatIsKeptForALargerRun() throws {
    var bench = bench()
    bench.submit { $0.resources.cpus = 1 }
    bench.rest()
    let large = bench.submit { $0.resources.cpus = 4 }
    bench.pass(PlacementLimits.keepAfterMillis)
    let onA = [Constraint(label: "zone", op: .equal, values: ["eu"])]
    let small = bench.submit { $0.constraints = onA }
    bench.rest()
    let explanation = try bench.explain(small)
    #expect(explanation.codes == ["agents_kept"])
    #expect(explanation.findings[0].facts["kept_for"] == "\(large.job.jobID)/\(large.runID)")
    #expect(try bench.explain(large).codes == ["resources_in_use"])
  }

  @Test func aPinnedRunWithoutItsAgent() throws {
    var bench = bench()
    let run = bench.submit { $0.placement.agent = "c" }
    bench.rest()
    let explanation = try bench.explain(run)
    #expect(explanation.codes == ["no_matching_agent"])
    #expect(explanation.findings[0].facts["excluded_by: agent c"] == "2")
  }
}
