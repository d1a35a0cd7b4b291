import JSON
import Testing

@testable import SchedulerCore

@Suite struct ScheduleTests {
  // MARK: Intervals and frequencies

  private func schedule(_ rule: Schedule.Rule, start: String? = nil, end: String? = nil, zone: String = "UTC")
    throws
    -> Schedule
  {
    var schedule = Schedule(rule)
    schedule.timeZone = zone
    schedule.startTime = try start.map { try at($0) }
    schedule.endTime = try end.map { try at($0) }
    return schedule
  }

  @Test func fixedRateCountsFromItsStart() throws {
    let every = Schedule.Rule.fixedRate(everyMillis: 90_000)
    let started = try schedule(every, start: "2026-01-01T00:00:00.250Z", end: "2026-01-01T00:04:30.250Z")
    #expect(
      try started.upcoming(9, after: "2025-01-01T00:00:00Z") == [
        "2026-01-01T00:00:00.250Z", "2026-01-01T00:01:30.250Z", "2026-01-01T00:03:00.250Z",
        "2026-01-01T00:04:30.250Z",
      ])
    // Without a start the creation itself is not due.
    #expect(
      try schedule(every).upcoming(2, after: "2020-01-01T00:00:00Z", createdAt: "2026-01-01T00:00:00Z")
        == ["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"])
    let compiled = try schedule(every).compiled(createdAt: "2026-01-01T00:00:00Z")
    #expect(compiled.last(notAfter: try at("2026-01-01T00:01:29.999Z")) == nil)
    #expect(compiled.last(notAfter: try at("2026-01-01T00:01:30Z")) == (try at("2026-01-01T00:01:30Z")))
    #expect(compiled.last(notAfter: try at("2026-02-01T00:00:10Z")) == (try at("2026-02-01T00:00:00Z")))
  }

  @Test func fixedDelayAndOnceHaveOneOccurrence() throws {
    let delay = Schedule.Rule.fixedDelay(delayMillis: 60_000)
    #expect(try schedule(delay).upcoming(3, after: "2000-01-01T00:00:00Z") == ["2020-01-01T00:01:00Z"])
    #expect(
      try schedule(delay, start: "2026-01-01T00:00:00Z").upcoming(3, after: "2000-01-01T00:00:00Z")
        == ["2026-01-01T00:00:00Z"])
    let once = try schedule(.at(try at("2026-01-01T00:00:00Z")))
    #expect(try once.upcoming(3, after: "2025-12-31T23:59:59Z") == ["2026-01-01T00:00:00Z"])
    #expect(try once.upcoming(3, after: "2026-01-01T00:00:00Z") == [])
    #expect(try once.compiled().last(notAfter: .latest) == (try at("2026-01-01T00:00:00Z")))
  }

  @Test(arguments: [
    // Elapsed hours, also where clocks change.
    (
      Schedule.Frequency.hourly, "2026-10-24T23:15:00Z",
      ["2026-10-24T23:15:00Z", "2026-10-25T00:15:00Z", "2026-10-25T01:15:00Z"]
    ),
    // 02:30 in Berlin: after the gap, then as before.
    (
      .daily, "2026-03-28T01:30:00.500Z",
      ["2026-03-28T01:30:00.500Z", "2026-03-29T01:00:00.500Z", "2026-03-30T00:30:00.500Z"]
    ),
    (
      .daily, "2026-10-24T00:30:00Z",
      ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
    ),
    (
      .weekly, "2026-03-22T11:00:00Z",
      ["2026-03-22T11:00:00Z", "2026-03-29T10:00:00Z", "2026-04-05T10:00:00Z"]
    ),
    (
      .monthly, "2026-01-31T11:00:00Z",
      ["2026-01-31T11:00:00Z", "2026-02-28T11:00:00Z", "2026-03-31T10:00:00Z", "2026-04-30T10:00:00Z"]
    ),
    (
      .monthly, "2028-01-30T11:00:00Z",
      ["2028-01-30T11:00:00Z", "2028-02-29T11:00:00Z", "2028-03-30T10:00:00Z"]
    ),
    // The 31st by local time is the 30th of UTC.
    (
      .monthly, "2026-01-30T23:30:00Z",
      ["2026-01-30T23:30:00Z", "2026-02-27T23:30:00Z", "2026-03-30T22:30:00Z"]
    ),
  ])
  func frequenciesKeepTheLocalTime(frequency: Schedule.Frequency, start: String, due: [String]) throws {
    let started = try schedule(.frequency(frequency), start: start, zone: "Europe/Berlin")
    #expect(try started.upcoming(due.count, after: "1980-01-01T00:00:00Z") == due)
    // Without a start all counts from the creation, which is not due itself.
    let plain = try schedule(.frequency(frequency), zone: "Europe/Berlin")
    #expect(
      try plain.upcoming(due.count - 1, after: "1980-01-01T00:00:00Z", createdAt: start)
        == Array(due.dropFirst()))
  }

  @Test func startAndEndBoundACron() throws {
    let bounded = try {
      var bounded = cron("0 * * * *")
      bounded.startTime = try at("2026-01-01T10:00:00Z")
      bounded.endTime = try at("2026-01-01T12:00:00Z")
      return bounded
    }()
    let due = ["2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z", "2026-01-01T12:00:00Z"]
    #expect(try bounded.upcoming(9, after: "2025-01-01T00:00:00Z") == due)
    let compiled = try bounded.compiled()
    #expect(compiled.last(notAfter: .latest) == (try at("2026-01-01T12:00:00Z")))
    #expect(compiled.last(notAfter: try at("2026-01-01T09:59:59Z")) == nil)
    // Nothing is due outside the years that Rota knows.
    #expect(try cron("0 0 1 1 *").compiled().next(after: .latest) == nil)
    #expect(try cron("59 23 31 12 *").upcoming(2, after: "2999-01-01T00:00:00Z") == ["2999-12-31T23:59:00Z"])
    #expect(try cron("0 0 * * *").compiled().last(notAfter: .earliest) == .earliest)
    #expect(try cron("1 0 * * *").compiled().last(notAfter: .earliest) == nil)
  }

  // MARK: next and last

  @Test(arguments: 0..<40)
  func lastIsTheInverseOfNext(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let zone = Zones.names[seed % Zones.names.count]
    let rules: [Schedule.Rule] = [
      .cron("*/7 * * * * *"), .cron("30 2 * * *"), .cron("0 0 29 2 *"), .cron("0 */6 L * ?"),
      .cron("H H * * MON#1"),
      .fixedRate(everyMillis: 12_345), .frequency(.daily), .frequency(.monthly), .cron("15 30 0-3 * * *"),
    ]
    for rule in rules {
      var schedule = Schedule(rule)
      schedule.timeZone = zone
      schedule.dstGap = [nil, .skip, .runAfter].randomElement(using: &random) ?? nil
      schedule.dstOverlap = [nil, .first, .second, .both].randomElement(using: &random) ?? nil
      let compiled = try schedule.compiled(createdAt: "1971-02-28T22:30:15.123456Z")
      for _ in 0..<10 {
        let time = Timestamp(
          microseconds: Int64.random(in: 100_000_000_000_000...4_000_000_000_000_000, using: &random))
        let next = try #require(compiled.next(after: time))
        #expect(next > time)
        #expect(compiled.last(notAfter: next) == next)
        let last = try #require(compiled.last(notAfter: time))
        #expect(last <= time)
        #expect(compiled.next(after: last) == next)
        #expect(compiled.last(notAfter: Timestamp(microseconds: next.microseconds - 1)) == last)
      }
    }
  }

  @Test func jitterIsSpreadAndTheSameEverywhere() throws {
    var schedule = cron("* * * * *")
    schedule.jitterMillis = 9
    let compiled = try schedule.compiled()
    var seen: [Int64: Int] = [:]
    for minute in 0..<1_000 {
      seen[compiled.jitter(of: Timestamp(milliseconds: Int64(minute) * 60_000)), default: 0] += 1
    }
    #expect(seen.keys.sorted() == Array(0...9))
    #expect(seen.values.allSatisfy { (50...150).contains($0) })
    #expect(
      try schedule.compiled().jitter(of: try at("2026-01-01T00:00:00Z"))
        == compiled.jitter(of: try at("2026-01-01T00:00:00Z")))
    #expect(try cron("* * * * *").compiled().jitter(of: try at("2026-01-01T00:00:00Z")) == 0)
  }

  // MARK: Validation

  @Test(arguments: [
    (#"{"cron": "* * * * *", "time_zone": "Mars/Base"}"#, "time_zone: is not a known time zone"),
    (#"{"every": "500ms"}"#, "every: a length of time from 1s to 3650d"),
    (#"{"fixed_delay": "0s"}"#, "fixed_delay: a length of time from 1s"),
    (
      #"{"cron": "@daily", "start_time": "2026-01-02T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}"#,
      "end_time: has to be later"
    ),
    (#"{"cron": "@daily", "max_runs": 0}"#, "max_runs: a number from 1"),
    (#"{"cron": "@daily", "jitter": "25h"}"#, "jitter: a length of time from 0s to 1d"),
    (#"{"cron": "@daily", "calendars": ["a", "a"]}"#, "calendars[1]: is given twice"),
    (#"{"cron": "@daily", "calendars": ["A/../b"]}"#, "calendars[0]: an identifier has"),
    (#"{"cron": "@daily", "every": "5m"}"#, "every: only one of cron, every, fixed_delay, frequency, at"),
    (#"{"time_zone": "UTC"}"#, "cron: one of cron, every, fixed_delay, frequency, at is required"),
    (#"{"cron": "@daily", "tz": "UTC"}"#, "tz: is not known"),
    (
      #"{"frequency": "once"}"#,
      "frequency: one of hourly, daily, weekly, monthly was expected; for a single time there is at"
    ),
    (#"{"cron": "@daily", "dst_gap": "later"}"#, "dst_gap: one of run_after, skip"),
    (#"{"cron": "@daily", "dst_overlap": "last"}"#, "dst_overlap: one of first, second, both"),
    (#"{"at": "10000-01-01T00:00:00Z"}"#, "at: "), (#"{"at": 1795384569000}"#, "is it milliseconds?"),
    (#""61 * * * *""#, "cron: character 1: 61 is not a minute"), ("7", ""),
  ])
  func refuses(text: String, message: String) throws {
    let error = #expect(throws: (any Error).self) {
      try JSONReader.read(Array(text.utf8)) { try Schedule(parsing: &$0) }.validate(zones: Zones.all)
    }
    #expect("\(try #require(error))".contains(message), "\(String(describing: error))")
  }

  @Test func boundsAreTaken() throws {
    var schedule = Schedule(.fixedRate(everyMillis: 1_000))
    schedule.jitterMillis = SpecLimits.jitterMillis
    schedule.maxRuns = 1
    schedule.calendars = (0..<SpecLimits.scheduleCalendars).map { "c\($0)" }
    schedule.startTime = .earliest
    schedule.endTime = .latest
    try schedule.validate(zones: .utcOnly)
    schedule.calendars.append("more")
    #expect(throws: FieldError.self) { try schedule.validate(zones: .utcOnly) }
    // Which month `H` is depends on the job: what is possible for some is not refused.
    try cron("0 0 31 H *").validate(zones: .utcOnly)
    #expect(throws: FieldError.self) { try cron("0 0 31 H(2-2) *").validate(zones: .utcOnly) }
  }

  // MARK: JSON

  @Test(arguments: [
    #""0 5 * * *""#, #"{"cron":"0 5 * * *","time_zone":"Europe/Berlin"}"#, #"{"every":"1m30s"}"#,
    #"{"fixed_delay":"5m"}"#,
    #"{"frequency":"monthly","start_time":"2026-01-31T09:00:00Z"}"#, #"{"at":"2026-01-31T09:00:00Z"}"#,
    #"{"cron":"@daily","dst_gap":"skip","dst_overlap":"both","start_time":"2026-01-01T00:00:00Z","end_time":"2027-01-01T00:00:00Z","max_runs":3,"jitter":"30s","calendars":["holidays","weekends"]}"#,
  ])
  func schedulesAreWrittenAsTheyAreRead(text: String) throws {
    let schedule = try JSONReader.read(Array(text.utf8)) { try Schedule(parsing: &$0) }
    var json = JSONWriter()
    schedule.write(to: &json)
    #expect(json.text == text)
    let lenient = try JSONReader.read(json.bytes) {
      try Schedule(decoding: &$0, with: SpecDecoder(isStrict: false))
    }
    #expect(lenient == schedule)
  }

  @Test func longFormsBecomeShort() throws {
    for (text, short) in [
      (#"{"cron":"0 5 * * *"}"#, #""0 5 * * *""#),
      (#"{"cron":"@daily","time_zone":"UTC","jitter":0}"#, #""@daily""#),
      (#"{"every":300}"#, #"{"every":"5m"}"#),
    ] {
      var json = JSONWriter()
      try JSONReader.read(Array(text.utf8)) { try Schedule(parsing: &$0) }.write(to: &json)
      #expect(json.text == short)
    }
  }

  @Test(arguments: [
    (#""skip""#, #""skip""#), (#"{"policy":"all"}"#, #""all""#),
    (#"{"policy":"latest","grace":"1m"}"#, #""latest""#),
    (
      #"{"policy":"all","limit":5,"within":"1h","grace":"10s"}"#,
      #"{"policy":"all","limit":5,"within":"1h","grace":"10s"}"#
    ),
    (#"{"within":"1d"}"#, #"{"policy":"latest","within":"1d"}"#),
  ])
  func misfirePolicies(text: String, canonical: String) throws {
    let policy = try JSONReader.read(Array(text.utf8)) {
      try MisfirePolicy(decoding: &$0, with: SpecDecoder(isStrict: true))
    }
    try policy.validate()
    var json = JSONWriter()
    policy.write(to: &json)
    #expect(json.text == canonical)
  }

  @Test(arguments: [
    (#""allow""#, #""allow""#), (#"{"policy":"forbid"}"#, #""forbid""#), (#""queue""#, #""queue""#),
    (#"{"policy":"queue","limit":1}"#, #""queue""#),
    (#"{"policy":"queue","limit":7}"#, #"{"policy":"queue","limit":7}"#),
    (#""replace""#, #""replace""#),
  ])
  func overlapPolicies(text: String, canonical: String) throws {
    let policy = try JSONReader.read(Array(text.utf8)) {
      try OverlapPolicy(decoding: &$0, with: SpecDecoder(isStrict: true))
    }
    try policy.validate()
    var json = JSONWriter()
    policy.write(to: &json)
    #expect(json.text == canonical)
  }

  @Test(arguments: [
    #""never""#, "{}", #"{"policy":"forbid","limit":2}"#, #"{"policy":"queue","limit":0}"#,
    #"{"policy":"queue","limit":1001}"#,
  ])
  func refusedOverlapPolicies(text: String) {
    #expect(throws: (any Error).self) {
      try JSONReader.read(Array(text.utf8)) {
        try OverlapPolicy(decoding: &$0, with: SpecDecoder(isStrict: true))
      }.validate()
    }
  }
}
