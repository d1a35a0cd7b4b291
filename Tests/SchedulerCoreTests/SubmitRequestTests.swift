import JSON
import SchedulerCore
import Testing

private func parse(_ text: String) throws(FieldError) -> SubmitRequest {
  let request = try SubmitRequest(parsingJSON: Array(text.utf8))
  try request.validate(zones: .utcOnly)
  return request
}

private func failure(_ text: String) -> String {
  do throws(FieldError) {
    _ = try parse(text)
    return "accepted"
  } catch {
    return error.description
  }
}

/// What validation says of a specification with this task; nil when it is accepted.
private func invalid(_ task: TaskSpec, _ env: [String: String] = [:]) -> String? {
  var spec = JobSpec(task: task)
  spec.env = env
  do throws(FieldError) {
    try spec.validate(zones: .utcOnly)
    return nil
  } catch {
    return error.description
  }
}

@Suite struct SubmitRequestTests {
  @Test func theUsualRequest() throws {
    let request = try parse(
      #"""
      {"user_id": "u003", "exec": ["/bin/sh","-c","echo hi"], "timeout": "30m", "max_retries": 3,
       "job_id": "nightly", "namespace": "team-a", "idempotency_key": "Key 1"}
      """#)
    #expect(request.namespace == "team-a")
    #expect(request.jobID == "nightly")
    #expect(request.idempotencyKey == "Key 1")
    #expect(request.spec.userID == "u003")
    #expect(request.spec.task == .exec(argv: ["/bin/sh", "-c", "echo hi"]))
    #expect(request.spec.timeoutMillis == 1_800_000)
    #expect(request.spec.maxRetries == 3)
    #expect(request.spec.backoff == .standard)
  }

  @Test func theShortestRequest() throws {
    #expect(try parse(#"{"noop":true}"#) == SubmitRequest(spec: JobSpec(task: .noop)))
    #expect(try parse(#"{"noop":{},"timeout":null,"job_id":null}"#).spec == JobSpec(task: .noop))
  }

  @Test(arguments: [
    (#""exec":["a"]"#, TaskSpec.exec(argv: ["a"])),
    (#""shell":"exit 1""#, .shell(script: "exit 1", interpreter: ["/bin/sh"])),
    (
      #""shell":{"script":"1","interpreter":["python3","-u"]}"#,
      .shell(script: "1", interpreter: ["python3", "-u"])
    ),
    (#""task":"resize""#, .task(name: "resize", payload: "null")),
    (#""task":{"name":"resize","payload":null}"#, .task(name: "resize", payload: "null")),
    (
      #""task":{"payload": {"a": [1, "x"]} ,"name":"resize"}"#,
      .task(name: "resize", payload: #"{"a": [1, "x"]}"#)
    ),
    (#""http":"https://h/x?y=1""#, .http(HTTPTask(url: "https://h/x?y=1"))),
    (
      #""http":{"method":"POST","url":"HTTP://u:p@h:1","headers":{"A":"b\tc"},"body":"\u0000"}"#,
      .http(HTTPTask(method: "POST", url: "HTTP://u:p@h:1", headers: ["A": "b\tc"], body: "\0"))
    ),
  ])
  func tasks(member: String, task: TaskSpec) throws {
    #expect(try parse("{\(member)}").spec.task == task)
  }

  @Test(arguments: [
    (#"["1s",5]"#, Backoff(curve: .list([1_000, 5_000]))),
    (#"{"list":["1s"],"jitter":0}"#, Backoff(curve: .list([1_000]), jitter: 0)),
    (#"{"jitter":1}"#, Backoff(curve: Backoff.standard.curve, jitter: 1)),
    (
      #"{"initial":"1s","multiplier":3,"max":"1m"}"#,
      Backoff(curve: .exponential(initialMillis: 1_000, multiplier: 3, maxMillis: 60_000))
    ),
    (
      #"{"initial":2}"#,
      Backoff(curve: .exponential(initialMillis: 2_000, multiplier: 2, maxMillis: 3_600_000))
    ),
    (
      #"{"initial":"2h"}"#,
      Backoff(curve: .exponential(initialMillis: 7_200_000, multiplier: 2, maxMillis: 7_200_000))
    ),
  ])
  func backoffs(text: String, backoff: Backoff) throws {
    #expect(try parse(#"{"noop":true,"backoff":\#(text)}"#).spec.backoff == backoff)
  }

  @Test(arguments: [
    (#""zone=eu""#, Constraint(label: "zone", op: .equal, values: ["eu"])),
    (#"" zone = eu ""#, Constraint(label: "zone", op: .equal, values: ["eu"])),
    (#""zone!=eu""#, Constraint(label: "zone", op: .notEqual, values: ["eu"])),
    (#""zone=a(b)""#, Constraint(label: "zone", op: .equal, values: ["a(b)"])),
    (#""zone=""#, Constraint(label: "zone", op: .equal, values: [""])),
    (#""exists=1""#, Constraint(label: "exists", op: .equal, values: ["1"])),
    (#""zone in (a, b)""#, Constraint(label: "zone", op: .isIn, values: ["a", "b"])),
    (#""zone not_in (a)""#, Constraint(label: "zone", op: .notIn, values: ["a"])),
    (#""exists gpu""#, Constraint(label: "gpu", op: .exists)),
    (#""not_exists gpu""#, Constraint(label: "gpu", op: .notExists)),
    (#"{"label":"z","operator":"in","values":["a"]}"#, Constraint(label: "z", op: .isIn, values: ["a"])),
    (#"{"label":"z","operator":"exists"}"#, Constraint(label: "z", op: .exists)),
  ])
  func constraints(text: String, constraint: Constraint) throws {
    #expect(try parse(#"{"noop":true,"constraints":[\#(text)]}"#).spec.constraints == [constraint])
    if constraint.values.first?.isEmpty != true {
      #expect(try Constraint(text: constraint.text) == constraint)
    }
  }

  @Test func timesAndLengths() throws {
    let spec = try parse(
      #"{"noop":true,"timeout":90,"kill_grace":0,"execution_time":1795384569,"on_agent_loss":"fail"}"#
    ).spec
    #expect(spec.timeoutMillis == 90_000)
    #expect(spec.killGraceMillis == 0)
    #expect(spec.executionTime?.rfc3339 == "2026-11-22T21:56:09Z")
    #expect(spec.onAgentLoss == .fail)
    let text = try parse(#"{"noop":true,"execution_time":"2026-11-22T22:56:09+01:00"}"#).spec
    #expect(text.executionTime == spec.executionTime)
  }

  @Test func whatIsWrittenIsAccepted() throws {
    var json = JSONWriter()
    json.object { Sample.spec.writeJSON(to: &$0) }
    #expect(try SubmitRequest(parsingJSON: json.bytes).spec == Sample.spec)
  }

  @Test(arguments: [
    ("", "body: "), ("[]", "body: an object"), (#"{"noop":true} x"#, "body: text after"),
    (#"{"noop":true"#, "body: "), ("{}", "task: one of exec"), (#"{"noop":false}"#, "noop: true or {}"),
    (#"{"noop":true,"exec":["a"]}"#, "exec: only one of"), (#"{"noop":{"a":1}}"#, "noop.a: is not known"),
    (#"{"noop":true,"noop":true}"#, "noop: is given twice"),
    (#"{"noop":true,"max_retrys":1}"#, "max_retrys: is not known; did you mean 'max_retries'?"),
    (#"{"noop":true,"jobid":"a"}"#, "jobid: is not known; did you mean 'job_id'?"),
    (#"{"noop":true,"qqqqqq":1}"#, "qqqqqq: is not known; the fields here are"),
    (#"{"noop":true,"\u001b[31m":1}"#, "?[31m: is not known"),
    (#"{"noop":true,"user_id":3}"#, "user_id: a string was expected"),
    (#"{"noop":true,"user_id":"a\u0007"}"#, "user_id: control characters"),
    (#"{"noop":true,"user_id":"a\u202eb"}"#, "user_id: control characters"),
    (#"{"noop":true,"job_id":""}"#, "job_id: "), (#"{"noop":true,"job_id":".."}"#, "job_id: "),
    (#"{"noop":true,"job_id":"a/b"}"#, "job_id: "), (#"{"noop":true,"job_id":"a\u0000"}"#, "job_id: "),
    (#"{"noop":true,"job_id":"Report"}"#, "job_id: "), (#"{"noop":true,"job_id":"rероrt"}"#, "job_id: "),
    (#"{"noop":true,"namespace":"."}"#, "namespace: "),
    (#"{"noop":true,"idempotency_key":""}"#, "idempotency_key: is empty"),
    (#"{"exec":[]}"#, "exec: a program"), (#"{"exec":[""]}"#, "exec[0]: the program is empty"),
    (#"{"exec":["a",1]}"#, "exec[1]: a string"), (#"{"exec":["a","b\u0000"]}"#, "exec[1]: a NUL"),
    (#"{"exec":"ls"}"#, "exec: an array"), (#"{"shell":""}"#, "shell.script: is empty"),
    (#"{"shell":{}}"#, "shell.script: is required"), (#"{"shell":{"scrpt":"a"}}"#, "shell.scrpt: is not"),
    (#"{"shell":{"script":"a","interpreter":[]}}"#, "shell.interpreter: a program"),
    (#"{"noop":true,"env":{"":"a"}}"#, "env: a variable has an empty name"),
    (#"{"noop":true,"env":{"A=B":"a"}}"#, "env.A=B: a name cannot have"),
    (#"{"noop":true,"env":{"A":"a\u0000"}}"#, "env.A: a NUL"),
    (#"{"noop":true,"env":{"A":1}}"#, "env.A: a string"),
    (#"{"noop":true,"env":{"A":"1","A":"2"}}"#, "env.A: is given twice"),
    (#"{"noop":true,"working_directory":"tmp"}"#, "working_directory: an absolute path"),
    (#"{"noop":true,"timeout":0}"#, "timeout: a length of time from 1ms to 365d"),
    (#"{"noop":true,"timeout":-1}"#, "timeout: a length of time cannot be negative"),
    (#"{"noop":true,"timeout":"-1s"}"#, "timeout: a length of time cannot be negative"),
    (#"{"noop":true,"timeout":"366d"}"#, "timeout: a length of time from"),
    (#"{"noop":true,"timeout":1e3}"#, "timeout: a whole number"),
    (#"{"noop":true,"timeout":18446744073709551616}"#, "timeout: a whole number"),
    (#"{"noop":true,"timeout":9223372036854775807}"#, "timeout: the number of seconds is too big"),
    (#"{"noop":true,"timeout":NaN}"#, "timeout: a value was expected"),
    (#"{"noop":true,"kill_grace":"2h"}"#, "kill_grace: a length of time from 0s to 1h"),
    (#"{"noop":true,"max_retries":-1}"#, "max_retries: a number from 0 to 1000"),
    (#"{"noop":true,"max_retries":1001}"#, "max_retries: a number from"),
    (#"{"noop":true,"max_retries":1.5}"#, "max_retries: a whole number"),
    (#"{"noop":true,"priority":0}"#, "priority: a number from 1 to 100"),
    (#"{"noop":true,"priority":101}"#, "priority: a number"),
    (#"{"noop":true,"backoff":[]}"#, "backoff: 1 to 64 waits"),
    (#"{"noop":true,"backoff":["1s","31d"]}"#, "backoff[1]: a length of time"),
    (#"{"noop":true,"backoff":["1s","x"]}"#, "backoff[1]: a length of time"),
    (#"{"noop":true,"backoff":{"list":["1s"],"initial":"1s"}}"#, "backoff.list: cannot be given"),
    (#"{"noop":true,"backoff":{"max":"1s"}}"#, "backoff.max: needs initial"),
    (#"{"noop":true,"backoff":{"multiplier":2}}"#, "backoff.multiplier: needs initial"),
    (#"{"noop":true,"backoff":{"initial":"1s","multiplier":0.5}}"#, "backoff.multiplier: a number"),
    (
      #"{"noop":true,"backoff":{"initial":"1s","multiplier":1e400}}"#, "backoff.multiplier: the number is out"
    ),
    (#"{"noop":true,"backoff":{"initial":"10s","max":"1s"}}"#, "backoff.max: a length"),
    (#"{"noop":true,"backoff":{"initial":"40d"}}"#, "backoff.initial: a length"),
    (#"{"noop":true,"backoff":{"jitter":1.1}}"#, "backoff.jitter: a number from 0 to 1"),
    (#"{"noop":true,"constraints":["gpu"]}"#, "constraints[0]: 'zone=eu'"),
    (#"{"noop":true,"constraints":["a==b"]}"#, "constraints[0]: one '='"),
    (#"{"noop":true,"constraints":["a in (b"]}"#, "constraints[0]: 'zone=eu'"),
    (#"{"noop":true,"constraints":["a b=c"]}"#, "constraints[0].label: letters"),
    (#"{"noop":true,"constraints":["=c"]}"#, "constraints[0].label: letters"),
    (#"{"noop":true,"constraints":[{"label":"a","operator":"~"}]}"#, "constraints[0].operator: one of =, !="),
    (#"{"noop":true,"constraints":[{"label":"a"}]}"#, "constraints[0].operator: is required"),
    (#"{"noop":true,"constraints":[{"label":"a","operator":"in"}]}"#, "constraints[0].values: operator in"),
    (
      #"{"noop":true,"constraints":[{"label":"a","operator":"exists","values":["b"]}]}"#,
      "constraints[0].values: operator exists takes 0"
    ),
    (#"{"noop":true,"execution_time":"2026-02-31T00:00:00Z"}"#, "execution_time: there is no day 31"),
    (#"{"noop":true,"execution_time":"9999-01-01T00:00:00Z"}"#, "execution_time: the year 9999"),
    (#"{"noop":true,"execution_time":1795384569000}"#, "execution_time: a number is seconds since 1970"),
    (#"{"noop":true,"execution_time":-5}"#, "execution_time: a time before 1970"),
    (#"{"noop":true,"on_agent_loss":"retry"}"#, "on_agent_loss: 'restart', 'fail' or 'wait'"),
    (#"{"http":{}}"#, "http.url: is required"), (#"{"http":"ftp://h/"}"#, "http.url: an absolute URL"),
    (#"{"http":"file:///etc/passwd"}"#, "http.url: an absolute URL"),
    (#"{"http":"http://"}"#, "http.url: has no host"),
    (#"{"http":"http://u@:80/"}"#, "http.url: has no host"),
    (#"{"http":"http:///x"}"#, "http.url: has no host"),
    (#"{"http":"http://h/\r\nX: y"}"#, "http.url: spaces"), (#"{"http":"http://h/é"}"#, "http.url: spaces"),
    (#"{"http":{"url":"http://h/","method":"get"}}"#, "http.method: one of GET"),
    (#"{"http":{"url":"http://h/","method":"GET / HTTP/1.1\r\n"}}"#, "http.method: one of GET"),
    (#"{"http":{"url":"http://h/","headers":{"X":"a\r\nY: b"}}}"#, "http.headers.X: a header's value"),
    (#"{"http":{"url":"http://h/","headers":{"X Y":"a"}}}"#, "http.headers.X Y: a header's name"),
    (#"{"http":{"url":"http://h/","headers":{"X":1}}}"#, "http.headers.X: a string"),
  ])
  func refuses(text: String, start: String) {
    let message = failure(text)
    #expect(message.hasPrefix(start), "\(message)")
  }

  @Test func sizesAreBounded() {
    func text(_ count: Int) -> String { String(repeating: "x", count: count) }
    let long = text(129)
    #expect(failure(#"{"noop":true,"user_id":"\#(long)"}"#).hasPrefix("user_id: has 129 bytes"))
    #expect(failure(#"{"noop":true,"idempotency_key":"\#(long)"}"#).hasPrefix("idempotency_key: has 129"))
    #expect(failure(#"{"noop":true,"job_id":"\#(long)"}"#).hasPrefix("job_id: "))
    let argument = text(65_536)
    #expect(invalid(.exec(argv: ["a", argument])) == nil)
    #expect(invalid(.exec(argv: ["a", argument, argument]))?.hasPrefix("exec: arguments and env") == true)
    #expect(invalid(.exec(argv: ["a", argument]), ["A": argument])?.hasPrefix("env: arguments") == true)
    #expect(invalid(.shell(script: argument + argument, interpreter: ["sh"])) == nil)
    let script = TaskSpec.shell(script: argument + argument + "x", interpreter: ["sh"])
    #expect(invalid(script)?.hasPrefix("shell.script: has 131073 bytes") == true)
    #expect(failure(#"{"http":"http://h/\#(text(8_200))"}"#).hasPrefix("http.url: has"))
    #expect(
      failure(#"{"noop":true,"working_directory":"/\#(text(4_096))"}"#).hasPrefix("working_directory: "))
    let many = Array(repeating: #""a=b""#, count: 65).joined(separator: ",")
    #expect(failure(#"{"noop":true,"constraints":[\#(many)]}"#).hasPrefix("constraints: there are 65"))
    let nested = String(repeating: "[", count: 100)
    #expect(failure(#"{"noop":true,"env":\#(nested)}"#).hasPrefix("env: "))
    #expect(failure("{\"\(text(5_000))\":1}").utf8.count < 600)
  }

  @Test(arguments: [
    ("Resize", "1", "task.name: an identifier has"),
    ("resize", "", "task.payload: is not JSON: "), ("resize", "{", "task.payload: is not JSON: "),
    ("resize", "1 2", "task.payload: is not JSON: text after the end"),
    ("resize", "NaN", "task.payload: is not JSON: "), ("resize", "\"\u{1}\"", "task.payload: is not JSON: "),
    ("resize", #"{"a":[{"b":1,"b":2}]}"#, "task.payload: is not JSON: the member 'b' is given twice"),
    ("resize", String(repeating: "[", count: 49) + String(repeating: "]", count: 49), "task.payload: is not"),
    ("resize", "\"" + String(repeating: "x", count: 262_143) + "\"", "task.payload: has 262145 bytes"),
  ])
  func badPayloads(name: String, payload: String, message: String) {
    let answer = invalid(.task(name: name, payload: payload)) ?? "accepted"
    #expect(answer.hasPrefix(message), "\(answer)")
  }

  @Test func theWholeRecordHasABound() throws {
    let payload = "\"" + String(repeating: "x", count: 262_142) + "\""
    #expect(invalid(.task(name: "resize", payload: payload), ["A": "x"]) == nil)
    // Each control character takes six bytes.
    let script = TaskSpec.shell(script: String(repeating: "\u{1}", count: 131_072), interpreter: ["sh"])
    #expect(invalid(script) == nil)
    let environment = ["A": String(repeating: "\u{1}", count: 100_000)]
    #expect(invalid(script, environment)?.hasPrefix("body: the job has 1") == true)
  }

  @Test func invalidUTF8IsRefused() {
    let bytes = Array(#"{"noop":true,"user_id":""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8)
    #expect(throws: FieldError.self) { try SubmitRequest(parsingJSON: bytes) }
  }

  @Test func noSecretIsShown() {
    let message = failure(#"{"noop":true,"env":{"TOKEN":"hunter2\u0000"}}"#)
    #expect(message.hasPrefix("env.TOKEN: ") && !message.contains("hunter2"))
  }

  @Test func validationDoesNotNeedJSON() {
    var spec = JobSpec(task: .noop)
    spec.executionTime = Timestamp(microseconds: .max)
    #expect(throws: FieldError.self) { try spec.validate(zones: .utcOnly) }
    spec.executionTime = Timestamp(microseconds: -1)
    #expect(throws: FieldError.self) { try SubmitRequest(spec: spec).validate(zones: .utcOnly) }
    spec.executionTime = .latest
    #expect(throws: Never.self) { try spec.validate(zones: .utcOnly) }
    spec.backoff = Backoff(
      curve: .exponential(initialMillis: .max, multiplier: .nan, maxMillis: .min), jitter: .nan)
    #expect(throws: FieldError.self) { try spec.validate(zones: .utcOnly) }
  }
}
