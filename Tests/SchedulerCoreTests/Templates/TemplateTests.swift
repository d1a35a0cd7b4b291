import Foundation
import Testing

@testable import SchedulerCore

/// 2026-03-30T00:30:15.250 in Berlin, on the day after clocks were put forward.
private let scheduled = Timestamp(milliseconds: 1_774_823_415_250)

private func zones(_ names: [String]) -> TimeZones {
  var files: [String: [UInt8]] = [:]
  for name in names {
    files[name] = FileManager.default.contents(atPath: "/usr/share/zoneinfo/\(name)").map { Array($0) }
  }
  return TimeZones(files: files)
}

private let someZones = zones(["Europe/Berlin", "America/New_York", "Asia/Kathmandu"])

private func values(_ params: [String: String] = [:], zone: String = "Europe/Berlin") -> TemplateValues {
  var context = RunContext()
  context.trigger = .manual
  context.params = params
  context.nextScheduledTime = scheduled.adding(milliseconds: 86_400_000)
  let job = JobKey(namespace: "etl", jobID: "load")
  return TemplateValues(
    ref: AttemptRef(run: RunKey(job: job, runID: "r1"), attempt: 3, fence: 7, incarnation: 9),
    scheduledTime: scheduled, retryCount: 2, context: context, timeZone: zone, zones: someZones)
}

/// The text filled in, or what is wrong with it.
private func filled(_ text: String, _ values: TemplateValues = values(), limit: Int = 1 << 20) -> String {
  do throws(TemplateError) {
    return try Template(parsing: text).filledIn(values, limit: limit)
  } catch {
    return "character \(error.character): \(error.message)"
  }
}

struct TemplateTests {
  @Test(arguments: [
    ("", ""), ("plain {text} }}", "plain {text} }}"),
    ("{{namespace}}/{{job_id}}/{{run_id}}", "etl/load/r1"),
    ("{{ attempt }} {{fencing_token}} {{retry_count}} {{trigger}}", "3 7 2 manual"),
    // Times.
    ("{{scheduled_time}}", "2026-03-30T00:30:15.250+02:00"),
    ("{{scheduled_time | rfc3339}}", "2026-03-30T00:30:15.250+02:00"),
    ("{{scheduled_time|date}}", "2026-03-30"), ("{{scheduled_time | time}}", "00:30:15"),
    ("{{scheduled_time | datetime}}", "2026-03-30T00:30:15"),
    ("{{scheduled_time | unix}}", "1774823415"), ("{{scheduled_time | unix_ms}}", "1774823415250"),
    ("{{scheduled_time | in_zone UTC}}", "2026-03-29T22:30:15.250Z"),
    ("{{scheduled_time | in_zone \"Asia/Kathmandu\" | format '%H:%M %z'}}", "04:15 +0545"),
    ("{{scheduled_time | in_zone America/New_York | date}}", "2026-03-29"),
    // A day before is the day before, though it has 23 hours.
    ("{{scheduled_time | minus 1d | datetime}}", "2026-03-29T00:30:15"),
    ("{{scheduled_time | minus 24h | datetime}}", "2026-03-28T23:30:15"),
    ("{{scheduled_time | plus 1d12h | rfc3339}}", "2026-03-31T12:30:15.250+02:00"),
    ("{{scheduled_time | minus 22h | time}}", "01:30:15"),
    ("{{scheduled_time | minus 45m | minus 1d | datetime}}", "2026-03-28T23:45:15"),
    // 02:30 does not exist on the 29th.
    ("{{scheduled_time | plus 2h | minus 1d | datetime}}", "2026-03-29T03:00:00"),
    // What is not there.
    ("[{{previous_scheduled_time}}{{last_success_time | date}}]", "[]"),
    ("{{previous_scheduled_time | minus 1d | date | default \"never\"}}", "never"),
    ("{{next_scheduled_time | date | default never}}", "2026-03-31"),
    ("{{last_success_time | json}}", "null"), ("{{params.none | default ''}}|", "|"),
    // Texts.
    ("{{job_id | upper}} {{'a' | lower}}", "character 22: the name of a value"),
    ("{{job_id | upper | lower | json}}", "\"load\""), ("{{attempt | json}}", "3"),
    ("{{scheduled_time | json}}", "\"2026-03-30T00:30:15.250+02:00\""),
    ("{{scheduled_time | urlencode}}", "2026-03-30T00%3A30%3A15.250%2B02%3A00"),
    ("{\"a\":{{attempt}}}", "{\"a\":3}"),
    // Literal braces.
    (#"\{{.Names}}"#, "{{.Names}}"), (#"C:\\{{job_id}}"#, #"C:\load"#), (#"\\\{{"#, #"\{{"#),
    (#"a\b"#, #"a\b"#),
    ("{{scheduled_time | format \"}}|\\\"%%\"}}", "}}|\"%"), ("{ {{job_id}} }", "{ load }"),
    ("ä{{job_id}}ü", "äloadü"),
  ])
  func fillsIn(template: String, expected: String) {
    let text = filled(template)
    #expect(expected.hasPrefix("character ") ? text.hasPrefix(expected) : text == expected)
  }

  @Test(arguments: [
    ("%Y-%m-%d %H:%M:%S.%f", "2026-03-30 00:30:15.250000"), ("%y%m%d", "260330"),
    ("%e. %B %Y", "30. March 2026"),
    ("%a %A %b", "Mon Monday Mar"), ("%I:%M %p", "12:30 AM"), ("%j", "089"), ("%u %w", "1 1"),
    ("%G-W%V", "2026-W14"), ("%F %T %z", "2026-03-30 00:30:15 +0200"), ("%s", "1774823415"),
    ("100%%", "100%"),
  ])
  func formats(format: String, expected: String) {
    #expect(filled("{{scheduled_time | format \"\(format)\"}}") == expected)
  }

  @Test(arguments: [
    ("2021-01-03T12:00:00Z", "2020-W53 7 0 003"), ("2024-12-31T00:00:00Z", "2025-W01 2 2 366"),
    ("1970-01-01T00:00:00Z", "1970-W01 4 4 001"), ("2026-06-14T13:00:00Z", "2026-W24 7 0 165"),
  ])
  func weeksAndDays(time: String, expected: String) throws {
    let format = try TimeFormat("%G-W%V %u %w %j")
    #expect(format.text(try Timestamp(rfc3339: time), offset: 0) == expected)
  }

  @Test(arguments: [
    ("{{", 3, "the name of a value"), ("{{}}", 3, "the name of a value"), ("{{job_id", 1, "is not closed"),
    ("{{.Names}}", 3, "there is no value '.Names'"), ("{{.Names}}", 3, "write '\\{{'"),
    ("ä{{job_idd}}", 4, "did you mean 'job_id'?"), ("{{params.}}", 3, "the name of a parameter"),
    ("{{params.a.b}}", 3, "the name of a parameter"),
    ("{{job_id date}}", 10, "'|' and a filter"), ("{{job_id | dat}}", 12, "did you mean 'date'?"),
    ("{{job_id | }}", 12, "the name of a filter"), ("{{job_id | date}}", 12, "needs a time"),
    ("{{scheduled_time | date | plus 1d}}", 27, "needs a time, and what comes before it is a text"),
    ("{{scheduled_time | default x | date}}", 32, "needs a time"),
    ("{{scheduled_time | unix | date}}", 27, "a number"),
    ("{{scheduled_time | plus}}", 24, "needs an argument, such as plus 1d"),
    ("{{scheduled_time | plus 1x}}", 25, "the units are"),
    ("{{scheduled_time | plus -1d}}", 25, "cannot be negative"),
    ("{{scheduled_time | plus 99999d}}", 25, "at most"),
    ("{{scheduled_time | format \"%Q\"}}", 27, "'%Q' is not known"),
    ("{{scheduled_time | format '%'}}", 27, "'%' at the end"),
    ("{{scheduled_time | format \"%Y}}", 27, "the quote here is not closed"),
  ])
  func tellsWhere(template: String, character: Int, message: String) {
    do throws(TemplateError) {
      _ = try Template(parsing: template)
      Issue.record("\(template) was accepted")
    } catch {
      #expect(error.character == character, "\(error.message)")
      #expect(error.message.contains(message), "\(error.message)")
    }
  }

  @Test func whatOnlyValuesTell() {
    #expect(filled("ab{{params.x}}").hasPrefix("character 3: there is no parameter 'x'"))
    #expect(filled("{{scheduled_time | in_zone Europe/Berln}}").contains("did you mean Europe/Berlin?"))
    #expect(filled("{{scheduled_time}}", values(zone: "Mars/Olympus")).contains("is not a known time zone"))
    let far = String(repeating: " | plus 3650d", count: 900)
    #expect(filled("{{scheduled_time\(far)}}").contains("outside the years 1 to 9998"))
    let past = String(repeating: " | minus 3650d", count: 900)
    #expect(filled("{{scheduled_time\(past)}}").contains("outside the years 1 to 9998"))
  }

  /// Whatever a value contains is text: it is not looked at for templates again.
  @Test(arguments: ["{{job_id}}", "a b", "$(reboot)", "'\"\\", "\n\r\t", "😀", "%s", "-rf /", "}}"])
  func hostileValuesAreText(value: String) {
    #expect(filled("[{{params.x}}]", values(["x": value])) == "[\(value)]")
  }

  @Test func longValuesAreNotMultiplied() {
    let values = values(["x": String(repeating: "y", count: 1_000)])
    let text = String(repeating: "{{params.x}}", count: 100)
    #expect(filled(text, values).utf8.count == 100_000)
    #expect(
      filled(text, values, limit: 5_500).hasPrefix(
        "character 61: filled in, this has more than the 5500 bytes"))
  }

  @Test func parsingIsLinear() {
    let clock = ContinuousClock()
    let taken = clock.measure {
      for text in ["{{job_id}}", "\\{{", "{{{{", "\\", "{", "|"] {
        _ = filled(String(repeating: text, count: 100_000 / text.utf8.count))
      }
    }
    #expect(taken < .seconds(20), "quadratic work on 100 KB takes minutes")
  }
}

struct JobTemplateTests {
  private func problem(_ task: TaskSpec, _ change: (inout JobSpec) -> Void = { _ in }) -> String? {
    var spec = JobSpec(task: task)
    change(&spec)
    do throws(FieldError) {
      try spec.validate(zones: nil)
      return nil
    } catch {
      return error.description
    }
  }

  @Test func eachArgumentStaysOne() throws {
    var spec = JobSpec(
      task: .exec(argv: ["printf", "%s|", "{{params.x}}", "--day={{scheduled_time | date}}"]))
    spec.env = ["DAY": "{{scheduled_time | date}}", "PLAIN": "{"]
    spec.workingDirectory = "/srv/{{params.dir}}"
    let filled = try spec.filledIn(values(["x": "a b\n'$(id)'", "dir": "x"]))
    #expect(
      filled.task == .exec(argv: ["printf", "%s|", "a b\n'$(id)'", "--day=2026-03-30"]))
    #expect(filled.env == ["DAY": "2026-03-30", "PLAIN": "{"] && filled.workingDirectory == "/srv/x")
  }

  @Test func scriptsAndPayloadsAreLeftAlone() throws {
    let script = TaskSpec.shell(script: "echo {{job_id}} {{nonsense", interpreter: ["sh", "{{x"])
    let named = TaskSpec.task(name: "echo", payload: "\"{{job_id}}\"")
    for task in [script, named] {
      let spec = JobSpec(task: task)
      #expect(!spec.hasTemplates && problem(task) == nil)
      #expect(try spec.filledIn(values()) == spec)
    }
    var spec = JobSpec(task: named)
    spec.env = ["JOB": "{{job_id}}"]
    #expect(try spec.filledIn(values()).env == ["JOB": "load"])
  }

  @Test func theFieldIsNamedAtSubmission() {
    #expect(
      problem(.exec(argv: ["docker", "ps", "{{.Names}}"]))?.hasPrefix("exec[2]: character 3: ") == true)
    let http = HTTPTask(url: "http://h/{{x}}", headers: ["X-Day": "{{y}}"], body: "{{z}}")
    #expect(problem(.http(http))?.hasPrefix("http.url: character 12: ") == true)
    var header = http
    header.url = "http://h/"
    #expect(problem(.http(header))?.hasPrefix("http.") == true)
    #expect(problem(.noop) { $0.env = ["A": "{{x"] }?.hasPrefix("env.A: character 3: ") == true)
    #expect(
      problem(.noop) { $0.workingDirectory = "/{{x}}" }?.hasPrefix("working_directory: character 4") == true)
  }

  @Test func parametersHaveToBeThere() {
    let task = TaskSpec.exec(argv: ["run", "{{params.region}}"])
    #expect(problem(task)?.hasPrefix("exec[1]: character 1: there is no parameter 'region'") == true)
    #expect(problem(task) { $0.params = ["region": "eu"] } == nil)
    #expect(problem(.exec(argv: ["run", "{{params.region | default \"eu\"}}"])) == nil)
  }

  @Test func whatComesOutIsChecked() throws {
    let url = JobSpec(
      task: .http(HTTPTask(url: "http://h/?q={{params.q}}", headers: ["X-Q": "{{params.h}}"])))
    func why(_ params: [String: String]) -> String {
      do throws(FieldError) {
        _ = try url.filledIn(values(params))
        return "accepted"
      } catch {
        return error.description
      }
    }
    #expect(why(["q": "a", "h": "b"]) == "accepted")
    #expect(why(["q": "a b", "h": "b"]).hasPrefix("http.url: spaces"))
    #expect(
      why(["q": "a", "h": "b\r\nHost: evil"]).hasPrefix("http.headers.X-Q: a header's value cannot have"))
    #expect(why(["q": String(repeating: "a", count: 9_000), "h": "b"]).hasPrefix("http.url: has 9012 bytes"))
    let argv = JobSpec(task: .exec(argv: ["run", "{{params.x}}"]))
    #expect(throws: FieldError.self) { try argv.filledIn(values(["x": "a\0b"])) }
    #expect(throws: FieldError.self) {
      try argv.filledIn(values(["x": String(repeating: "a", count: SpecLimits.argumentBytes)]))
    }
    #expect(throws: FieldError.self) {
      try JobSpec(task: .exec(argv: ["{{params.x}}"])).filledIn(values(["x": ""]))
    }
    var folder = JobSpec(task: .noop)
    folder.workingDirectory = "{{params.x}}"
    #expect(throws: FieldError.self) { try folder.filledIn(values(["x": "relative"])) }
  }

  @Test func headersOfTheAgentCannotBeSet() {
    let http = HTTPTask(url: "http://h/", headers: ["rota-attempt": "1"])
    #expect(
      problem(.http(http)) == "http.headers.rota-attempt: headers that begin with Rota- are set by the agent")
  }
}
