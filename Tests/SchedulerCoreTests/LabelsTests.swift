import Testing

@testable import SchedulerCore

/// Labels: what they may be, how filters are written, and that nothing of them is lost.
struct LabelsTests {
  @Test(arguments: [
    ("team=data", ["team": "data"]), ("a.b/c-d_e=", ["a.b/c-d_e": ""]),
    ("team=data,tier=1", ["team": "data", "tier": "1"]), ("q=a=b", ["q": "a=b"]),
  ])
  func aFilterIsRead(text: String, labels: [String: String]) throws {
    #expect(try Labels.parse(filter: text) == labels)
  }

  @Test(arguments: [
    "", "team", "=x", "a=1,", "a=1,a=2", "a b=1", "a=\u{7}", "a=" + String(repeating: "x", count: 257),
  ])
  func aWrongFilterIsRefused(text: String) {
    #expect(throws: FieldError.self) { try Labels.parse(filter: text) }
  }

  @Test func aJobsLabelsAreBounded() throws {
    var spec = JobSpec(task: .noop)
    func refusal() -> String? {
      do { try spec.validate(zones: nil) } catch { return error.field }
      return nil
    }
    spec.labels = Dictionary((1...32).map { ("l\($0)", "v") }) { $1 }
    #expect(refusal() == nil)
    spec.labels["one-more"] = ""
    #expect(refusal() == "labels")
    spec.labels = ["team": "a,b"]
    #expect(refusal() == "labels.team")
    spec.labels = ["te am": "a"]
    #expect(refusal() == "labels.te am")
  }

  @Test func theyAreWrittenAndRead() throws {
    let text = #"{"noop": true, "labels": {"team": "data", "tier": "1"}}"#
    let spec = try JobSpec(parsingJSON: Array(text.utf8))
    #expect(spec.labels == ["team": "data", "tier": "1"])
    #expect(throws: FieldError.self) {
      try JobSpec(parsingJSON: Array(#"{"noop": true, "labels": {"team": 1}}"#.utf8))
    }
    let calendar = try CalendarSpec(
      parsingJSON: Array(#"{"days": ["sun"], "labels": {"team": "data"}}"#.utf8))
    #expect(calendar.labels == ["team": "data"])
  }
}
