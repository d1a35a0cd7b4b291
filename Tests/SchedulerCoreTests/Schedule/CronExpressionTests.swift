import Testing

@testable import SchedulerCore

@Suite struct CronExpressionTests {
  @Test(arguments: [
    // Five and six fields, spaces, names in any case.
    ("0 5 * * *", "2026-11-23T05:00:00Z"), ("  0\t5  * * *  ", "2026-11-23T05:00:00Z"),
    ("15 0 5 * * *", "2026-11-23T05:00:15Z"), ("*/20 * * * * *", "2026-11-22T12:00:20Z"),
    ("0 0 * jan *", "2027-01-01T00:00:00Z"), ("0 0 * * Wed", "2026-11-25T00:00:00Z"),
    ("0 0 ? * MON", "2026-11-23T00:00:00Z"),
    // Lists, steps, ranges that wrap.
    ("5,10 * * * *", "2026-11-22T12:05:00Z"), ("0 22-2 * * *", "2026-11-22T22:00:00Z"),
    ("0 22-2/2 * * *", "2026-11-22T22:00:00Z"), ("50/5 * * * *", "2026-11-22T12:50:00Z"),
    ("0 0 * NOV-FEB *", "2026-11-23T00:00:00Z"), ("0 0 * * FRI-MON", "2026-11-23T00:00:00Z"),
    ("0 0 * * 5-7", "2026-11-27T00:00:00Z"), ("0 0 * * 7", "2026-11-29T00:00:00Z"),
    ("0 0 * * 0", "2026-11-29T00:00:00Z"), ("0 0 * * 7-2", "2026-11-23T00:00:00Z"),
    ("0 0 30-1 * *", "2026-11-30T00:00:00Z"),
    // Days that depend on the month. 2026-11-30 is a Monday.
    ("0 0 L * *", "2026-11-30T00:00:00Z"), ("0 0 L-3 * *", "2026-11-27T00:00:00Z"),
    ("0 0 LW * *", "2026-11-30T00:00:00Z"), ("0 0 29W * *", "2026-11-30T00:00:00Z"),
    ("0 0 28W * *", "2026-11-27T00:00:00Z"), ("0 0 1W 8 *", "2027-08-02T00:00:00Z"),
    ("0 0 31W 1 *", "2027-01-29T00:00:00Z"), ("0 0 * * 5L", "2026-11-27T00:00:00Z"),
    ("0 0 * * FRIL", "2026-11-27T00:00:00Z"), ("0 0 * * 7L", "2026-11-29T00:00:00Z"),
    ("0 0 * * MON#2", "2026-12-14T00:00:00Z"), ("0 0 * * mon#5", "2026-11-30T00:00:00Z"),
    ("0 0 29 2 *", "2028-02-29T00:00:00Z"), ("0 0 29 2 MON#5", "2028-02-29T00:00:00Z"),
    // Both days restricted: either. One begins with `*`: both.
    ("0 0 13 * FRI", "2026-11-27T00:00:00Z"), ("0 0 13 * ?", "2026-12-13T00:00:00Z"),
    ("0 0 */2 * FRI", "2026-11-27T00:00:00Z"), ("0 0 13 * */5", "2026-12-13T00:00:00Z"),
    // Macros.
    ("@hourly", "2026-11-22T13:00:00Z"), ("@daily", "2026-11-23T00:00:00Z"),
    ("@Midnight", "2026-11-23T00:00:00Z"), ("@weekly", "2026-11-29T00:00:00Z"),
    ("@monthly", "2026-12-01T00:00:00Z"), ("@yearly", "2027-01-01T00:00:00Z"),
    ("@annually", "2027-01-01T00:00:00Z"),
  ])
  func isDueNext(text: String, next: String) throws {
    // A Sunday.
    #expect(try cron(text).upcoming(1, after: "2026-11-22T12:00:00Z") == [next])
    try cron(text).validate(zones: .utcOnly)
  }

  @Test(arguments: [
    ("", "five fields"), ("* * * *", "there are 4"), ("61 * * * *", "character 1: 61 is not a minute (0-59)"),
    ("0 24 * * *", "character 3: 24 is not an hour (0-23)"),
    ("  0  24 * * *", "character 6: 24 is not an hour"),
    ("0 0 0 * *", "character 5: 0 is not a day of month (1-31)"),
    ("0 0 * 13 *", "character 7: 13 is not a month (1-12, or JAN-DEC)"),
    ("0 0 * * 8", "character 9: 8 is not a day of week (0-7, or SUN-SAT)"),
    ("60 0 0 * * *", "character 1: 60 is not a second"), ("*/0 * * * *", "character 3: 0 is not a step"),
    ("*/61 * * * *", "character 3: 61 is not a step of the field minute (1-60)"),
    ("*/ * * * *", "character 3: the field minute ends too early"),
    ("1-70 * * * *", "character 3: 70 is not a minute"), ("1,,2 * * * *", "character 3: ','"),
    ("1, * * * *", "character 3: the field minute ends too early"), ("- * * * *", "character 1: '-'"),
    ("-5 * * * *", "character 1: '-'"), ("5- * * * *", "character 3: the field minute ends"),
    ("? * * * *", "character 1: '?' is only for the day"), ("0 0 ?/2 * *", "character 6: '?' stands alone"),
    ("0 0 1,? * *", "character 7: '?'"), ("0 0 * FOO *", "character 7: 'F'"),
    ("0 0 * * L", "character 9: say which day"),
    ("0 0 * * MON#6", "character 13: 6 is not the number of a week"),
    ("0 0 * * MON#", "character 13: the field day of week ends"),
    ("0 0 L-31 * *", "character 7: 31 is not a number of days"),
    ("0 0 32W * *", "character 5: 32 is not a day of month"), ("0 0 15WW * *", "character 8: 'W'"),
    ("5W * * * *", "character 2: 'W'"), ("H( * * * *", "character 3"),
    ("H(0-70) * * * *", "character 5: 70 is not a minute"),
    ("H(9-3) * * * *", "character 3: the range of H has to rise"),
    ("H(0-9)/20 * * * *", "character 8: a step over 10"),
    ("H5 * * * *", "character 2: '5'"),
    ("99999999999999999999 * * * *", "character 1: a number of so many digits"),
    ("0 0 1 1 * * 2026", "character 13: a seventh field, as for years"), ("@reboot", "character 1: @reboot"),
    ("@every 5m", "use every"), ("@fortnightly", "the macros are @annually"),
    ("@daily x", "character 8: nothing may follow"),
    ("\u{661} * * * *", "character 1: this character"), ("0 0 * * \u{1b}[31m", "character 9: this character"),
    ("0\u{a0}0 * * *", "there are 4"), ("0 0 31 2 *", "no day matches"), ("0 0 30 2 ?", "no day matches"),
    ("0 0 31 4,6,9,11 *", "no day matches"), ("0 0 L-30 2 *", "no day matches"),
    ("0 0 31W 6 *", "no day matches"),
    (String(repeating: "*", count: 1 << 20), "has 1048576 bytes; at most 256"),
    (String(repeating: "1,", count: 100) + "1 * * * *", ""),
  ])
  func saysWhatIsWrong(text: String, message: String) throws {
    guard !message.isEmpty else { return try cron(text).validate(zones: .utcOnly) }
    let error = try #require(throws: FieldError.self) { try cron(text).validate(zones: .utcOnly) }
    #expect(error.field == "cron")
    #expect(error.message.contains(message), "\(error.message)")
  }

  @Test func garbageIsRefusedOrUnderstood() {
    var random = SplitMix(seed: 7)
    let letters = Array("0123456789*/,-?LWH#() \t@MONFRIJANSUx\u{e9}\u{0}")
    for _ in 0..<20_000 {
      let text = String(
        (0..<Int.random(in: 0...24, using: &random)).map { _ in letters.randomElement(using: &random) ?? " " }
      )
      guard let expression = try? CronExpression(text, job: anyJob) else { continue }
      // What is understood has values in each field, so that searches end.
      #expect(
        expression.seconds != 0 && expression.minutes != 0 && expression.hours != 0 && expression.months != 0)
      _ = expression.matchesSomeDay
    }
  }

  // MARK: H

  /// These never change: the times of jobs depend on them.
  @Test func hIsStable() throws {
    let minute = try CronExpression("H * * * *", job: anyJob)
    #expect(minute.minutes == 1 << 37)
    #expect(try CronExpression("0 H * * *", job: anyJob).hours == 1 << 12)
    #expect(try CronExpression("0 0 H * *", job: anyJob).days == 1 << 20)
    #expect(try CronExpression("H/15 * * * *", job: anyJob).minutes == 1 << 7 | 1 << 22 | 1 << 37 | 1 << 52)
  }

  @Test func hSpreadsJobs() throws {
    var minutes = Set<UInt64>()
    var days = Set<UInt32>()
    var thirds: [UInt64: Int] = [:]
    for index in 0..<2_000 {
      let job = JobKey(namespace: "default", jobID: "report-\(index)")
      minutes.insert(try CronExpression("H * * * *", job: job).minutes)
      days.insert(try CronExpression("0 0 H * *", job: job).days)
      let tens = try CronExpression("H(0-29)/10 * * * *", job: job).minutes
      #expect(tens.nonzeroBitCount == 3 && tens < 1 << 30)
      thirds[tens, default: 0] += 1
    }
    #expect(minutes.count == 60)
    // Days that each month has.
    #expect(days.count == 28 && !days.contains { $0 > 1 << 28 })
    #expect(thirds.count == 10 && thirds.values.allSatisfy { (120...280).contains($0) })
  }

  /// Forwards and backwards agree, and miss nothing that `matches` has.
  @Test(arguments: [
    "*/7 * * * * *", "13 5-50/9 3,9,22 * * *", "0 0 L,15W 2 ?", "59 59 23 29 2 *", "0 30 12 * * MON#1,FRIL",
  ])
  func searchesMissNothing(text: String) throws {
    let expression = try CronExpression(text, job: anyJob)
    var random = SplitMix(seed: 3)
    for _ in 0..<300 {
      let local = Int64.random(in: 0...4_000_000_000, using: &random)
      let next = try #require(expression.next(from: local, to: .max / 4))
      #expect(expression.matches(next))
      #expect(expression.last(from: next - 1, downTo: local) == nil)
      #expect(expression.last(from: next, downTo: 0) == next)
      for _ in 0..<50 where next > local {
        #expect(!expression.matches(Int64.random(in: local..<next, using: &random)))
      }
    }
  }
}
