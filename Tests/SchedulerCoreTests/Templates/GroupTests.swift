import Testing

@testable import SchedulerCore

/// What a job says of its concurrency group, and the group that a run comes into.
struct GroupTests {
  private func spec(_ key: String, limit: Int = 1) -> JobSpec {
    var spec = JobSpec(task: .noop)
    spec.params = ["customer": "acme"]
    spec.concurrency = Concurrency(key: key, limit: limit)
    return spec
  }

  private func group(_ key: String, _ params: [String: String] = [:]) -> String? {
    var run = Sample.runRecord
    run.params = params
    run.joinGroup(of: spec(key))
    return run.group
  }

  @Test func aKeyIsFilledInForEachRun() {
    #expect(group("plain") == "plain")
    #expect(group("report-{{params.customer}}") == "report-acme")
    #expect(group("report-{{params.customer}}", ["customer": "b"]) == "report-b")
    #expect(group("{{job_id}}/{{trigger}}") == "report/\(Sample.runRecord.trigger.rawValue)")
    #expect(group("{{params.customer}}", ["customer": ""]) == nil)
    let long = group("x{{params.customer}}", ["customer": String(repeating: "ä", count: 300)])
    #expect(long.map { $0.utf8.count <= SpecLimits.groupBytes && $0.contains("~") } == true)
    #expect(long != group("x{{params.customer}}", ["customer": String(repeating: "ä", count: 301)]))
  }

  @Test(arguments: [
    ("", 1, "concurrency.key"), ("a\u{1}", 1, "concurrency.key"), ("a", 0, "concurrency.limit"),
    ("{{params.nobody}}", 1, "concurrency.key"), ("{{attempt}}", 1, "concurrency.key"),
    ("{{scheduled_time | in_zone \"Europe/Berlin\"}}", 1, "concurrency.key"), ("{{x", 1, "concurrency.key"),
    (String(repeating: "a", count: 257), 1, "concurrency.key"),
  ])
  func whatCannotBeIsRefused(_ key: String, _ limit: Int, _ field: String) {
    let error = #expect(throws: FieldError.self) { try spec(key, limit: limit).validate(zones: nil) }
    #expect(error?.field == field)
  }

  @Test func aStartDeadlineIsLongerThanTheJitter() throws {
    var spec = JobSpec(task: .noop)
    var schedule = Schedule(.fixedRate(everyMillis: 60_000))
    schedule.jitterMillis = 5_000
    spec.schedules = [schedule]
    spec.startDeadlineMillis = 5_001
    try spec.validate(zones: nil)
    spec.startDeadlineMillis = 5_000
    #expect(throws: FieldError.self) { try spec.validate(zones: nil) }
  }

  @Test func jsonIsReadAndWritten() throws {
    let texts = [
      #"{"noop":true,"concurrency":"k"}"#,
      #"{"noop":true,"concurrency":{"key":"k","limit":2,"when_full":"cancel_oldest"},"max_running":4,"start_deadline":"5m"}"#,
    ]
    let first = try JobSpec(parsingJSON: Array(texts[0].utf8))
    #expect(first.concurrency == Concurrency(key: "k"))
    let second = try JobSpec(parsingJSON: Array(texts[1].utf8))
    #expect(second.concurrency == Concurrency(key: "k", limit: 2, whenFull: .cancelOldest))
    #expect(second.maxRunning == 4 && second.startDeadlineMillis == 300_000)
    #expect(throws: FieldError.self) {
      try JobSpec(parsingJSON: Array(#"{"noop":true,"concurrency":{"key":"k","when_full":"no"}}"#.utf8))
    }
  }
}
