import JSON
import SchedulerCore
import Testing

@testable import ConfigFiles

/// Files as objects, and plans.
struct ConfigTests {
  static func read(_ text: String) -> ConfigReader {
    var reader = ConfigReader(namespace: "default", zones: TimeZones(files: [:]))
    reader.read(text, file: "f.yaml")
    return reader
  }

  static func job(_ name: String, _ more: String = "") -> String {
    "kind: Job\njob_id: \(name)\nexec: [echo, hi]\n\(more)\n"
  }

  @Test func documentsBecomeObjects() throws {
    let reader = Self.read(
      Self.job("a", "namespace: reports\ntimeout: 30m\nlabels: {team: data}") + """
        ---
        kind: Calendar
        name: holidays
        days: [12-25, sun]
        """)
    #expect(reader.errors.isEmpty, "\(reader.errors)")
    #expect(reader.entries.map(\.key.description) == ["job reports/a", "calendar default/holidays"])
    guard case .job(let spec) = reader.entries[0].spec else {
      Issue.record("no job")
      return
    }
    #expect(spec.timeoutMillis == 1_800_000 && spec.labels == ["team": "data"] && spec.userID.isEmpty)
    #expect(reader.entries[1].place.line == 8)
  }

  @Test func eachKindIsNamedInItsOwnWayAndWrittenAsItIsRead() throws {
    let reader = Self.read(
      """
      kind: Queue
      name: fast
      weight: 300
      labels: {team: data}
      ---
      kind: Group
      namespace: reports
      name: pdf
      limit: 2
      ---
      kind: Quota
      namespace: reports
      max_jobs: 100
      """)
    #expect(reader.errors.isEmpty, "\(reader.errors)")
    #expect(reader.entries.map(\.key.description) == ["queue fast", "group reports/pdf", "quota reports"])
    let written = Self.read(try ConfigText.write(reader.entries.map { ($0.key, $0.spec) }))
    #expect(Set(written.entries.map(\.spec)) == Set(reader.entries.map(\.spec)))
    #expect(Set(written.entries.map(\.key)) == Set(reader.entries.map(\.key)))
  }

  /// What is wrong, the line, and what the message has to name.
  @Test(arguments: [
    ("kind: Queue\nname: q\nnamespace: x", 3, "whole cluster"),
    ("kind: Quota\nmax_jobs: 1", 1, "namespace: is required"),
    ("job_id: a\nnoop: true", 1, "kind: is required"),
    ("kind: Jobb\njob_id: a", 1, "did you mean Job?"),
    ("kind: Job\nnoop: true", 1, "job_id: is required"),
    ("kind: Job\njob_id: a\nnoop: true\ntimout: 3m", 4, "did you mean 'timeout'?"),
    ("kind: Job\njob_id: a\nnoop: true\njobid: b", 4, "did you mean 'job_id'?"),
    ("kind: Job\njob_id: a\nexec: [echo]\nenv:\n  PORT: 8080", 5, "put it in quotes"),
    ("kind: Job\njob_id: a\nexec: [echo]\npriority: high", 4, "priority"),
    ("kind: Job\njob_id: a\nexec: [echo]\npriority: 101", 4, "1 to 100"),
    ("kind: Job\njob_id: a\nexec:\n  - echo\n  - 7", 5, "exec[1]"),
    ("kind: Job\njob_id: a\nexec: [echo]\nschedules:\n  - cron: '* *'", 5, "schedules[0].cron"),
    ("kind: Job\njob_id: a\nexec: [echo]\nschedules:\n  - crom: '* * * * *'", 5, "did you mean 'cron'?"),
    ("kind: Job\njob_id: a\nexec: [echo]\ndelay: 5m", 4, "execution_time"),
    ("kind: Job\njob_id: a\nexec: [echo]\nfrequency: daily", 4, "schedules"),
    ("kind: Job\njob_id: a\nexec: [echo]\nidempotency_key: x", 4, "job_id"),
    ("kind: Job\njob_id: A B\nexec: [echo]", 2, "identifier"),
    ("kind: Job\njob_id: 7\nexec: [echo]", 2, "quotes"),
    ("kind: Job\njob_id: a\nlabels: {team: 'a,b'}\nnoop: true", 3, "comma"),
    ("kind: Job\njob_id: a", 1, "task"),
    ("kind: Calendar\nname: c\ndays: sun", 3, "days"),
    ("- kind: Job", 1, "mapping"),
    ("kind: Job\njob_id: a\nnoop: true\nnoop: true", 3, "twice"),
  ])
  func anErrorHasItsLineAndNamesTheField(text: String, line: Int, words: String) throws {
    let reader = Self.read(text)
    let error = try #require(reader.errors.first)
    #expect(reader.errors.count == 1 && reader.entries.isEmpty)
    #expect(error.place.line == line, "\(error)")
    #expect(error.description.contains(words), "\(error)")
    #expect(!error.message.contains("at byte"), "\(error)")
  }

  @Test func allDocumentsAreCheckedAndNoneIsDescribedTwice() {
    var reader = Self.read(Self.job("a") + "---\n" + Self.job("b", "x: 1") + "---\n" + Self.job("c", "y: 1"))
    #expect(reader.errors.count == 2 && reader.entries.count == 1)
    reader.read(Self.job("a"), file: "g.yaml")
    #expect(reader.errors.count == 3 && reader.errors[2].message.contains("f.yaml:1:1"), "\(reader.errors)")
  }

  // MARK: Plans

  static func object(_ text: String, etag: String = "e") throws -> ConfigObject {
    let entry = try #require(read(text).entries.first)
    return ConfigObject(entry.key, entry.spec, etag: etag)
  }

  static func plan(
    _ text: String, _ present: [ConfigObject], pruning: [ConfigObject] = []
  ) throws -> ConfigPlan {
    let reader = read(text)
    #expect(reader.errors.isEmpty)
    return try ConfigPlan(
      reader.entries, present: Dictionary(present.map { ($0.key, $0) }) { $1 }, pruning: pruning)
  }

  @Test func whatIsMissingIsCreatedAndWhatDiffersIsChanged() throws {
    let present = [try Self.object(Self.job("same")), try Self.object(Self.job("other", "timeout: 1h"))]
    let plan = try Self.plan(
      [Self.job("new"), Self.job("same"), Self.job("other", "timeout: 30m\nenv: {A: b}")]
        .joined(separator: "---\n"), present)
    #expect(plan.errors.isEmpty && !plan.isEmpty)
    #expect(
      plan.steps.map { "\($0.key.name) \($0.action.rawValue)" } == [
        "new create", "other update", "same unchanged",
      ])
    let changed = plan.steps[1].differences
    #expect(changed.map(\.path) == ["env", "timeout"])
    #expect(changed[1].old == .string("1h") && changed[1].new == .string("30m"))
  }

  @Test func aPayloadIsComparedByItsValue() throws {
    func job(_ payload: String) -> String {
      "kind: Job\njob_id: t\ntask: {name: resize, payload: \(payload)}"
    }
    let present = try Self.object(job("{width: 320, height: 2}"))
    #expect(try Self.plan(job("{height: 2, width: 320}"), [present]).isEmpty)
    #expect(try !Self.plan(job("{height: 3, width: 320}"), [present]).isEmpty)
  }

  /// A number that no tree holds is compared as it is spelt, and is not exported as another one.
  @Test func aPayloadWithAHugeNumber() throws {
    let text = "kind: Job\njob_id: t\ntask: {name: resize, payload: {n: 123456789012345678901}}"
    let present = try Self.object(text)
    #expect(try Self.plan(text, [present]).isEmpty)
    let other = try Self.plan(text.replacing("901}", with: "902}"), [present])
    #expect(other.steps.first?.differences.map(\.path) == ["task.payload"])
    #expect(throws: ConfigError.self) { try ConfigText.write([(present.key, present.spec)]) }
  }

  @Test func pruningDeletesWhatIsInNoFileJobsFirst() throws {
    let calendar = try Self.object("kind: Calendar\nname: c\ndays: [sun]")
    let objects = [calendar, try Self.object(Self.job("gone")), try Self.object(Self.job("kept"))]
    let plan = try Self.plan(Self.job("kept"), [objects[2]], pruning: objects)
    #expect(
      plan.steps.map { "\($0.key.name) \($0.action.rawValue)" } == [
        "kept unchanged", "gone delete", "c delete",
      ])
    var deleted = objects[1]
    deleted.isBeingDeleted = true
    #expect(try Self.plan(Self.job("kept"), [objects[2]], pruning: [deleted]).isEmpty)
  }

  @Test func aCalendarThatAJobNamesHasToBeThereAndToStay() throws {
    let scheduled = Self.job("a", "schedules:\n  - cron: '0 3 * * *'\n    calendars: [c]")
    let calendar = "kind: Calendar\nname: c\ndays: [sun]\n"
    let error = try #require(try Self.plan(scheduled, []).errors.first)
    #expect(error.place.line == 6 && error.message.contains("no calendar 'c'"), "\(error)")
    let both = try Self.plan(scheduled + "---\n" + calendar, [])
    #expect(both.errors.isEmpty && both.steps.map(\.key.kind) == [.calendar, .job])
    let present = try Self.object(calendar)
    #expect(try Self.plan(scheduled, [present]).errors.isEmpty)
    #expect(try Self.plan(scheduled, [present], pruning: [present]).errors.count == 1)
  }

  @Test func whatCannotBeChangedIsSaidBeforeAnythingIsWritten() throws {
    var present = try Self.object(Self.job("a"))
    present.isCancelled = true
    #expect(try Self.plan(Self.job("a"), [present]).errors.isEmpty)
    #expect(try Self.plan(Self.job("a", "timeout: 1h"), [present]).errors.count == 1)
    present.isBeingDeleted = true
    #expect(try Self.plan(Self.job("a"), [present]).errors.count == 1)
  }

  // MARK: Export

  @Test func whatIsExportedIsReadAsTheSame() throws {
    let text = """
      kind: Job
      namespace: reports
      job_id: everything
      user_id: zoë
      shell:
        script: |
          #!/bin/sh
          echo "$A"   # no
        interpreter: [/bin/bash, -eu]
      env: {A: "no", B: "007", C: "a: b"}
      timeout: 30m
      kill_grace: 1500ms
      max_retries: 3
      backoff: {initial: 1s, multiplier: 1.5, max: 1h, jitter: 0}
      constraints: ["zone in (eu,us)", "exists gpu"]
      schedules:
        - cron: "*/5 * * * MON-FRI"
          time_zone: UTC
          jitter: 10s
        - every: 1h
          start_time: "2026-01-01T00:00:00Z"
      misfire: {policy: all, limit: 3}
      overlap: {policy: queue, limit: 2}
      params: {customer: "12", when: "{{scheduled_time}}"}
      retry_on: {exit_codes: ["75", "100-119"]}
      limits: {memory_bytes: 536870912, pids: 10, cpus: 0.5}
      labels: {team: data, tier: "1"}
      ---
      kind: Job
      job_id: t
      task: {name: resize, payload: {width: 320, ratio: 1.0, names: [a, "no"], nothing: null}}
      ---
      kind: Calendar
      name: holidays
      time_zone: UTC
      days: ["2026-12-25", 12-26, sun]
      ranges: [{from: "2026-12-20", to: "2027-01-04T12:00:00"}]
      cron: ["* 22-5 * * *"]
      labels: {team: data}
      """
    let first = Self.read(text)
    #expect(first.errors.isEmpty, "\(first.errors)")
    let written = try ConfigText.write(first.entries.map { ($0.key, $0.spec) })
    let second = Self.read(written)
    #expect(second.errors.isEmpty, "\(second.errors)\n\(written)")
    let wanted = Dictionary(first.entries.map { ($0.key, $0.spec) }) { $1 }
    #expect(Dictionary(second.entries.map { ($0.key, $0.spec) }) { $1 } == wanted, "\(written)")
    #expect(try ConfigText.write(second.entries.map { ($0.key, $0.spec) }) == written)
  }

  /// The YAML library drops a byte order mark that a text begins with.
  @Test func whatCannotBeWrittenExactlyIsAnError() throws {
    let key = ConfigKey(.job, namespace: "default", name: "a")
    let spec = JobSpec(task: .exec(argv: ["\u{FEFF}echo"]))
    #expect(throws: ConfigError.self) { try ConfigText.write([(key, .job(spec))]) }
  }
}
