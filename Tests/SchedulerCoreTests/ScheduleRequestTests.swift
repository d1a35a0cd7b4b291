import JSON
import SchedulerCore
import Testing

/// Schedules and what goes with them in requests.
@Suite struct ScheduleRequestTests {
  private static func parse(_ members: String) throws(FieldError) -> SubmitRequest {
    let request = try SubmitRequest(parsingJSON: Array(#"{"noop":true,\#(members)}"#.utf8))
    try request.validate(zones: .utcOnly)
    return request
  }

  private static func failure(_ members: String) -> String {
    do throws(FieldError) {
      _ = try parse(members)
      return "accepted"
    } catch {
      return error.description
    }
  }

  private static let now = Timestamp(microseconds: 1_795_384_569_123_456)

  @Test func everythingIsRead() throws {
    let spec = try Self.parse(
      #"""
      "schedules": ["@daily", {"every": "5m", "max_runs": 3}],
      "misfire": {"policy": "all", "limit": 10, "within": "1h"}, "overlap": {"policy": "queue", "limit": 3},
      "params": {"region": "eu"}
      """#
    ).spec
    var every = Schedule(.fixedRate(everyMillis: 300_000))
    every.maxRuns = 3
    #expect(spec.schedules == [Schedule(.cron("@daily")), every])
    #expect(spec.misfire.action == .all && spec.misfire.limit == 10 && spec.misfire.withinMillis == 3_600_000)
    #expect(spec.overlap == .queue(limit: 3))
    #expect(spec.params == ["region": "eu"])
  }

  @Test func whatIsWrittenIsAccepted() throws {
    let members =
      #""schedules":["0 3 * * *",{"frequency":"monthly","start_time":"2026-01-31T00:00:00Z"}],"#
      + #""misfire":"skip","overlap":"forbid","params":{"a":"1","b":"\u0001"}"#
    let spec = try Self.parse(members).spec
    var json = JSONWriter()
    json.object { spec.writeJSON(to: &$0) }
    #expect(json.text == #"{"noop":true,\#(members)}"#)
    #expect(try JobSpec(parsingJSON: json.bytes) == spec)
    let job = JobRecord(key: Sample.job, uid: "u", spec: spec, createdAt: Sample.time)
    #expect(try JobRecord(decoding: job.encoded(), key: job.key) == job)
  }

  @Test(arguments: [
    (#""schedules":"@daily""#, "schedules: "),
    (#""schedules":["61 * * * *"]"#, "schedules[0].cron: character 1: 61 is not a minute"),
    (#""schedules":["@daily",{"every":"0s"}]"#, "schedules[1].every: "),
    (#""schedules":[{"every":"5m","cron":"@daily"}]"#, "schedules[0].cron: only one of"),
    (#""schedules":[{"time_zone":"UTC"}]"#, "schedules[0].cron: one of"),
    (#""schedules":[{"cron":"@daily","time_zone":"Mars/Olympus"}]"#, "schedules[0].time_zone: "),
    (#""schedules":["@daily","@daily"]"#, "schedules[1]: is given twice"),
    (#""schedules":["@daily"],"execution_time":1"#, "execution_time: "),
    (#""schedules":["@daily",1]"#, "schedules[1]: "),
    (#""misfire":"sometimes""#, "misfire: one of skip, latest, all"),
    (#""misfire":{"policy":"all","limit":0}"#, "misfire.limit: "),
    (#""overlap":"maybe""#, "overlap: one of allow, forbid, queue, replace"),
    (#""overlap":{"policy":"queue","limit":0}"#, "overlap.limit: "),
    (#""overlap":{"policy":"forbid","limit":2}"#, "overlap.limit: "),
    (#""params":{"a-b":"1"}"#, "params.a-b: a name has letters"),
    (#""params":{"1a":"1"}"#, "params.1a: "),
    (#""params":{"":"1"}"#, "params.: "),
    (#""params":{"a":"x\u0000"}"#, "params.a: a NUL"),
    (#""params":{"a":1}"#, "params.a: "),
    (#""delay":"5m","execution_time":1"#, "delay: stands for execution_time"),
    (#""delay":"5m","schedules":["@daily"]"#, "delay: is for a job that runs once"),
    (#""delay":"-5m""#, "delay: "),
    (#""frequency":"often""#, "frequency: one of once, hourly, daily, weekly, monthly"),
    (#""frequency":"daily","schedules":["@daily"]"#, "frequency: stands for schedules"),
    (#""frequency":"daily","time_zone":"Mars/Olympus""#, "time_zone: "),
    (#""time_zone":"UTC""#, "time_zone: goes with frequency"),
  ])
  func refusals(_ members: String, _ message: String) {
    let answer = Self.failure(members)
    #expect(answer.hasPrefix(message), "\(answer)")
  }

  @Test func boundsOfParams() {
    func params(_ count: Int, bytes: Int) -> String {
      let pairs = (0..<count).map { #""p\#($0)":"\#(String(repeating: "x", count: bytes))""# }
      return #""params":{\#(pairs.joined(separator: ","))}"#
    }
    #expect(Self.failure(params(64, bytes: 10)) == "accepted")
    #expect(Self.failure(params(65, bytes: 1)) == "params: there are 65; at most 64 are allowed")
    #expect(Self.failure(params(2, bytes: 20_000)).hasPrefix("params: names and values together have 40004"))
    let name = String(repeating: "n", count: 65)
    #expect(Self.failure(#""params":{"\#(name)":"1"}"#).hasPrefix("params.nnn"))
  }

  @Test func moreSchedulesThanAllowed() {
    let list = (0..<33).map { #""\#($0) * * * *""# }.joined(separator: ",")
    #expect(Self.failure(#""schedules":[\#(list)]"#) == "schedules: there are 33; at most 32 are allowed")
  }

  @Test func shortFormsBecomeSchedules() throws {
    let daily = try Self.parse(#""frequency":"daily","time_zone":"UTC""#).spec(at: Self.now)
    var schedule = Schedule(.frequency(.daily))
    schedule.startTime = Self.now
    #expect(daily.schedules == [schedule] && daily.executionTime == nil)
    let from = try Self.parse(#""frequency":"weekly","execution_time":"2030-01-01T00:00:00Z""#)
    #expect(from.spec(at: Self.now).schedules.first?.startTime == from.spec.executionTime)
    let delayed = try Self.parse(#""delay":"5m""#).spec(at: Self.now)
    #expect(delayed.executionTime == Self.now.adding(milliseconds: 300_000) && delayed.schedules.isEmpty)
    let both = try Self.parse(#""delay":"5m","frequency":"hourly""#).spec(at: Self.now)
    #expect(both.schedules.first?.startTime == Self.now.adding(milliseconds: 300_000))
    #expect(try Self.parse(#""frequency":"once""#).spec(at: Self.now) == JobSpec(task: .noop))
  }

  /// What an idempotency key stands for does not depend on the clock.
  @Test func theBodyIsThatOfTheRequest() throws {
    var json = JSONWriter()
    let request = try Self.parse(#""delay":"5m","frequency":"hourly","time_zone":"UTC""#)
    json.object { request.writeBody(to: &$0) }
    #expect(json.text == #"{"delay":"5m","frequency":"hourly","time_zone":"UTC","noop":true}"#)
  }
}
