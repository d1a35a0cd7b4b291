import SchedulerCore
import Testing

@testable import Agent

/// What tasks are told of their runs.
struct RunFactsTests {
  private func assignment(_ change: (inout RunContext) -> Void = { _ in }) -> Assignment {
    let run = RunKey(job: JobKey(namespace: "etl", jobID: "load"), runID: "r1")
    var context = RunContext()
    context.trigger = .backfill
    context.previousScheduledTime = Timestamp(milliseconds: 1_700_000_000_000)
    change(&context)
    var spec = JobSpec(task: .exec(argv: ["true"]))
    spec.userID = "u1"
    spec.env = ["MINE": "yes", "ROTA_TRIGGER": "no", "PATH": "/mine"]
    return Assignment(
      ref: AttemptRef(run: run, attempt: 2, fence: 42, incarnation: 1), spec: spec,
      scheduledTime: Timestamp(milliseconds: 1_700_000_060_500), retryCount: 1, context: context)
  }

  private func folder() throws -> AttemptFolder {
    try #require(AttemptFolder(ref: assignment().ref, root: "/tmp/x"))
  }

  @Test func variables() throws {
    let entries = try TaskEnvironment.entries(
      assignment { $0.params = ["Region": "eu", "b": "x y\n"] }, folder: try folder(), agentID: "w1")
    let expected = [
      "ROTA_NAMESPACE=etl", "ROTA_JOB_ID=load", "ROTA_RUN_ID=r1", "ROTA_ATTEMPT=2", "ROTA_RETRY_COUNT=1",
      "ROTA_FENCING_TOKEN=42", "ROTA_TRIGGER=backfill", "ROTA_SCHEDULED_TIME=2023-11-14T22:14:20.500Z",
      "ROTA_SCHEDULED_UNIX=1700000060", "ROTA_PREVIOUS_SCHEDULED_TIME=2023-11-14T22:13:20Z",
      "ROTA_NEXT_SCHEDULED_TIME=", "ROTA_LAST_SUCCESS_TIME=", "ROTA_PARAM_REGION=eu", "ROTA_PARAM_B=x y\n",
      "ROTA_PARAMS={\"Region\":\"eu\",\"b\":\"x y\\n\"}", "ROTA_WORKER_ID=w1", "ROTA_USER_ID=u1", "MINE=yes",
      "PATH=/mine",
    ]
    for entry in expected { #expect(entries.contains(entry), "\(entry) in \(entries)") }
    #expect(entries.count == Set(entries.map { $0.prefix { $0 != "=" } }).count)
    #expect(RunFacts(assignment()).environment["ROTA_PARAMS"] == "{}")
  }

  @Test func parametersThatDifferInCaseAlone() {
    let facts = RunFacts(assignment { $0.params = ["a": "small", "A": "large"] })
    #expect(facts.environment["ROTA_PARAM_A"] == "small")
    #expect(facts.environment["ROTA_PARAMS"] == "{\"A\":\"large\",\"a\":\"small\"}")
  }

  @Test func nothingIsCutOffAtANul() throws {
    let folder = try folder()
    #expect(throws: AgentError.self) {
      try TaskEnvironment.entries(assignment { $0.params = ["a": "x\0y"] }, folder: folder, agentID: "w1")
    }
  }

  @Test func headers() {
    let headers = RunFacts(assignment { $0.params = ["k": "grüß 😀\r\n\u{7F}\""] }).headers
    let byName = Dictionary(uniqueKeysWithValues: headers)
    #expect(byName["Rota-Job-Id"] == "load" && byName["Rota-Scheduled-Unix"] == "1700000060")
    #expect(byName["Rota-Previous-Scheduled-Time"] == "2023-11-14T22:13:20Z")
    #expect(byName["Rota-Next-Scheduled-Time"] == nil)
    #expect(
      byName["Rota-Params"] == #"{"k":"gr\u00fc\u00df \ud83d\ude00\r\n\u007f\""}"#,
      "\(byName["Rota-Params"] ?? "none")")
    for (_, value) in headers { #expect(value.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }) }
    #expect(!RunFacts(assignment()).headers.contains { $0.0 == "Rota-Params" })
  }
}
