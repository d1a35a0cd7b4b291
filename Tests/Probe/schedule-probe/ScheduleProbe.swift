import Foundation
import JSON
import SchedulerCore

/// Answers questions about schedules, a line of JSON each, for a test that knows the answers by other means.
///
///     schedule-probe /usr/share/zoneinfo Europe/Berlin Asia/Gaza < questions > answers
///
/// A question is `{"schedule": …, "after": seconds, "count": n}`: the answer is the next occurrences after that
/// second, a JSON array of seconds since 1970. With `"last": true` they are the last ones up to it instead, falling.
@main
struct ScheduleProbe {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    guard let folder = arguments.first else { throw ProbeError("a folder of time zones was expected") }
    var files: [String: [UInt8]] = [:]
    for name in arguments.dropFirst() {
      files[name] = Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
    }
    let zones = TimeZones(files: files)
    if !zones.unreadable.isEmpty { throw ProbeError("\(zones.unreadable)") }
    var answers = ""
    while let line = readLine() {
      answers += try answer(Array(line.utf8), zones)
      if answers.utf8.count > 1 << 16 {
        print(answers, terminator: "")
        answers = ""
      }
    }
    print(answers, terminator: "")
  }

  private static func answer(_ line: [UInt8], _ zones: TimeZones) throws -> String {
    let question = try JSONReader.read(line) { try Question(from: &$0) }
    do throws(FieldError) { try question.schedule.validate(zones: zones) } catch {
      return "{\"error\":\"\(error)\"}\n"
    }
    let compiled = try CompiledSchedule(
      question.schedule, job: JobKey(namespace: "default", jobID: "oracle"),
      createdAt: Timestamp(milliseconds: 0), zones: zones)
    var time = Timestamp(milliseconds: question.after * 1_000)
    var found: [Int64] = []
    while found.count < question.count {
      guard let next = question.isLast ? compiled.last(notAfter: time) : compiled.next(after: time) else {
        break
      }
      found.append(next.milliseconds / 1_000)
      time = question.isLast ? Timestamp(microseconds: next.microseconds - 1) : next
    }
    return "[" + found.map(String.init).joined(separator: ",") + "]\n"
  }
}

/// One line of the input.
struct Question {
  var schedule = Schedule(.cron(""))
  var after: Int64 = 0
  var count = 1
  var isLast = false

  init(from reader: inout JSONReader) throws {
    try reader.object { name, reader in
      switch name {
      case "schedule": schedule = try Schedule(parsing: &reader)
      case "after": after = try reader.int()
      case "count": count = Int(try reader.int())
      case "last": isLast = try reader.bool()
      default: throw reader.error("unknown member")
      }
    }
  }
}

/// A question that cannot be answered.
struct ProbeError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
