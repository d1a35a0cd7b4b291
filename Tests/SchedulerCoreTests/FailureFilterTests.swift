import JSON
import Testing

@testable import SchedulerCore

/// What a specification says of failures: its texts, its bounds, and how records hold it.
struct FailureFilterTests {
  private static func spec(_ members: String, task: String = #""exec":["true"]"#) throws(FieldError)
    -> JobSpec
  {
    let spec = try JobSpec(parsingJSON: Array("{\(task),\(members)}".utf8))
    try spec.validate(zones: .utcOnly)
    return spec
  }

  private static func failure(_ members: String, task: String = #""exec":["true"]"#) -> String {
    do throws(FieldError) {
      _ = try spec(members, task: task)
      return "accepted"
    } catch {
      return error.description
    }
  }

  private static let http = #""http":"http://h/""#

  @Test(arguments: [
    ("75", 75...75, "75"), ("100-119", 100...119, "100-119"), ("5xx", 500...599, "5xx"),
    ("500-599", 500...599, "5xx"), ("7-7", 7...7, "7"), ("001", 1...1, "1"), ("0-99", 0...99, "0-99"),
  ])
  func codesAreReadAndWritten(text: String, range: ClosedRange<Int>, again: String) throws {
    let codes = try CodeRange(text: text)
    #expect(codes.range == range && codes.text == again)
    #expect(try CodeRange(text: codes.text) == codes)
  }

  @Test(arguments: [
    "", "-", "1-", "-1", "1-2-3", "x", "xx", "5x", "axx", "5xxx", "1000", "+1", " 1", "1 ", "9-1", "１",
    "99999999999999999999", "1\u{301}",
  ])
  func whatIsNoCodeIsRefused(text: String) {
    #expect(throws: TextError.self) { try CodeRange(text: text) }
  }

  @Test func membersAreRead() throws {
    let spec = try Self.spec(
      #"""
      "retry_on":{"exit_codes":[75,"100-119"],"reasons":["timeout","signal"]},
      "no_retry_on":{"exit_codes":["101"]},"total_timeout":"2h","on_agent_loss":"wait","agent_loss_wait":600
      """#)
    #expect(
      spec.retryOn
        == FailureFilter(exitCodes: [CodeRange(75), CodeRange(100...119)], reasons: [.timeout, .signal]))
    #expect(spec.noRetryOn == FailureFilter(exitCodes: [CodeRange(101)]))
    #expect(spec.totalTimeoutMillis == 7_200_000)
    #expect(spec.onAgentLoss == .wait && spec.agentLossWaitMillis == 600_000)
    let request = try Self.spec(#""retry_on":{"http_statuses":[429,"5xx"]}"#, task: Self.http)
    #expect(request.retryOn == FailureFilter(httpStatuses: [CodeRange(429), CodeRange(500...599)]))
    var json = JSONWriter()
    json.object { spec.writeJSON(to: &$0) }
    #expect(try JobSpec(parsingJSON: json.bytes) == spec)
    #expect(
      json.text.contains(
        #""retry_on":{"exit_codes":["75","100-119"],"reasons":["timeout","signal"]},"#
          + #""no_retry_on":{"exit_codes":["101"]},"total_timeout":"2h","agent_loss_wait":"10m""#))
  }

  @Test(arguments: [
    (#""retry_on":{}"#, "retry_on: names no failure"),
    (#""no_retry_on":{"reasons":[]}"#, "no_retry_on: names no failure"),
    (#""retry_on":[75]"#, "retry_on: an object"),
    (#""retry_on":{"exit_code":[1]}"#, "retry_on.exit_code: is not known; did you mean 'exit_codes'?"),
    (#""retry_on":{"exit_codes":["a"]}"#, "retry_on.exit_codes[0]: a number, a range"),
    (#""retry_on":{"exit_codes":[1,0]}"#, "retry_on.exit_codes[1]: numbers from 1 to 255"),
    (#""retry_on":{"exit_codes":[-1]}"#, "retry_on.exit_codes[0]: numbers from 1 to 255"),
    (#""retry_on":{"exit_codes":["250-256"]}"#, "retry_on.exit_codes[0]: numbers from 1 to 255"),
    (#""retry_on":{"exit_codes":[1.5]}"#, "retry_on.exit_codes[0]: "),
    (#""no_retry_on":{"http_statuses":[500]}"#, "no_retry_on.http_statuses: only http jobs have them"),
    (#""retry_on":{"reasons":["oom"]}"#, "retry_on.reasons[0]: one of exited, signal"),
    (#""total_timeout":0"#, "total_timeout: a length of time"),
    (#""total_timeout":"-1s""#, "total_timeout: a length of time cannot be negative"),
    (#""total_timeout":"366d""#, "total_timeout: a length of time"),
    (#""agent_loss_wait":"5m""#, "agent_loss_wait: goes with on_agent_loss: wait"),
    (#""on_agent_loss":"wait","agent_loss_wait":0"#, "agent_loss_wait: a length of time from 1s to 30d"),
    (#""on_agent_loss":"wait","agent_loss_wait":"31d""#, "agent_loss_wait: a length of time"),
    (#""on_agent_loss":"hope""#, "on_agent_loss: 'restart', 'fail' or 'wait' was expected"),
  ])
  func whatIsWrongIsNamed(members: String, beginning: String) {
    let text = Self.failure(members)
    #expect(text.hasPrefix(beginning), "\(text)")
  }

  @Test func requestsHaveStatusesAndNoExitCodes() {
    #expect(
      Self.failure(#""retry_on":{"exit_codes":[1]}"#, task: Self.http)
        == "retry_on.exit_codes: a request has none; give http_statuses or reasons")
    #expect(
      Self.failure(#""retry_on":{"http_statuses":["6xx"]}"#, task: Self.http)
        == "retry_on.http_statuses[0]: numbers from 100 to 599 were expected")
  }

  @Test func filtersAreBounded() {
    let many = (0...64).map { _ in "1" }.joined(separator: ",")
    #expect(
      Self.failure(#""retry_on":{"exit_codes":[\#(many)]}"#)
        == "retry_on.exit_codes: there are 65; at most 64 are allowed")
    let words = (0...6).map { _ in #""timeout""# }.joined(separator: ",")
    #expect(
      Self.failure(#""retry_on":{"reasons":[\#(words)]}"#)
        == "retry_on.reasons: there are 7; each of them counts once")
  }
}
