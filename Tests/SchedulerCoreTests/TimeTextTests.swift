import SchedulerCore
import Testing

@Suite struct TimestampTextTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", 0),
    ("2000-02-29T12:30:45Z", 951_827_445_000_000),
    ("2026-11-22T21:56:09.123Z", 1_795_384_569_123_000),
    ("2026-11-22T21:56:09.123456Z", 1_795_384_569_123_456),
    ("2999-12-31T23:59:59.999999Z", 32_503_679_999_999_999),
  ])
  func readsAndWritesTheSame(text: String, micros: Int) throws {
    let time = try Timestamp(rfc3339: text)
    #expect(time.microseconds == Int64(micros))
    #expect(time.rfc3339 == text)
  }

  @Test(arguments: [
    ("2026-11-22t21:56:09z", "2026-11-22T21:56:09Z"),
    ("2026-11-22T22:56:09+01:00", "2026-11-22T21:56:09Z"),
    ("2026-11-22T21:56:09-00:00", "2026-11-22T21:56:09Z"),
    ("2026-01-01T00:30:00+05:45", "2025-12-31T18:45:00Z"),
    ("2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z"),
    ("2026-11-22T21:56:09.1Z", "2026-11-22T21:56:09.100Z"),
    ("2026-11-22T21:56:09.123456789Z", "2026-11-22T21:56:09.123456Z"),
    ("2026-11-22T21:56:09.000000001Z", "2026-11-22T21:56:09Z"),
  ])
  func normalises(text: String, canonical: String) throws {
    #expect(try Timestamp(rfc3339: text).rfc3339 == canonical)
  }

  @Test(arguments: [
    ("", "expected"), ("tomorrow", "expected"), ("2026-11-22", "expected"),
    ("2026-11-22 21:56:09Z", "expected"), ("2026-11-22T21:56:09", "offset"),
    ("2026-11-22T21:56:09Zx", "expected"), ("2026-11-22T21:56:09.Z", "fraction"),
    ("2026-11-22T21:56:09.1234567890Z", "fraction"), ("2026-02-31T00:00:00Z", "no day 31"),
    ("2025-02-29T00:00:00Z", "no day 29"), ("2100-02-29T00:00:00Z", "no day 29"),
    ("2026-04-31T00:00:00Z", "no day 31"), ("2026-13-01T00:00:00Z", "no month 13"),
    ("2026-00-01T00:00:00Z", "no month 0"), ("2026-01-00T00:00:00Z", "no day 0"),
    ("2026-01-01T24:00:00Z", "hour"), ("2026-01-01T00:60:00Z", "minute"),
    ("2016-12-31T23:59:60Z", "leap second"), ("9999-01-01T00:00:00Z", "year 9999"),
    ("1969-12-31T23:59:59Z", "year 1969"), ("1970-01-01T00:00:00+01:00", "year 1969"),
    ("2999-12-31T23:59:59-01:00", "year 3000"), ("2026-01-01T00:00:00+24:00", "offset"),
    ("2026-01-01T00:00:00+0100", "expected"), ("２026-01-01T00:00:00Z", "expected"),
  ])
  func refuses(text: String, reason: String) {
    let error = #expect(throws: TextError.self) { try Timestamp(rfc3339: text) }
    #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
  }

  @Test func everyDayComesBack() throws {
    // A prime step covers all days of the year and all leap rules from 1970 to 2999.
    var day: Int64 = 0
    while day < 376_200 {
      let time = Timestamp(microseconds: day * 86_400_000_000 + day)
      #expect(try Timestamp(rfc3339: time.rfc3339) == time)
      day += 37
    }
  }

  @Test func writesWhatItCannotSayAsTheNearest() {
    #expect(Timestamp(microseconds: .max).rfc3339 == "9999-12-31T23:59:59.999999Z")
    #expect(Timestamp(microseconds: .min).rfc3339 == "0000-01-01T00:00:00Z")
    #expect(Timestamp(microseconds: -1).rfc3339 == "1969-12-31T23:59:59.999999Z")
  }

  @Test func runIDsAreCompactValidAndSorted() throws {
    let first = runID(for: try Timestamp(rfc3339: "2026-11-22T21:56:09.123999Z"))
    #expect(first == "20261122t215609.123z")
    #expect(Identifier.isValid(first))
    #expect(first < runID(for: try Timestamp(rfc3339: "2026-11-22T21:56:09.124Z")))
    #expect(runID(for: Timestamp(microseconds: 0)) == "19700101t000000.000z")
    #expect(Identifier.isValid(runID(for: Timestamp(microseconds: .max))))
  }
}

@Suite struct DurationTextTests {
  @Test(arguments: [
    ("1h30m", 5_400_000), ("90s", 90_000), ("500ms", 500), ("1.5s", 1_500), ("2d", 172_800_000),
    ("0s", 0), ("1d2h3m4s5ms", 93_784_005), ("0.001s", 1), ("1.5h", 5_400_000), ("3650d", 315_360_000_000),
  ])
  func reads(text: String, millis: Int) throws {
    #expect(try DurationText.parse(text) == Int64(millis))
  }

  @Test(arguments: [
    (0, "0s"), (1, "1ms"), (999, "999ms"), (1_000, "1s"), (1_500, "1.5s"), (1_005, "1.005s"),
    (90_000, "1m30s"), (1_800_000, "30m"), (5_400_000, "1h30m"), (172_800_000, "2d"), (61_050, "1m1.05s"),
    (60_500, "1m0.5s"), (-1_500, "-1.5s"),
  ])
  func writes(millis: Int, text: String) {
    #expect(DurationText.format(milliseconds: Int64(millis)) == text)
  }

  @Test(arguments: [
    ("", "expected"), ("90", "unit"), ("0", "unit"), ("-5s", "negative"), ("s", "expected"),
    ("5x", "units are"), ("5S", "unit"), ("1m1h", "longer units"), ("1s1s", "longer units"),
    ("1.s", "expected"), (".5s", "expected"), ("1..5s", "expected"), ("0.5ms", "whole number"),
    ("3651d", "at most"), ("3650d1ms", "at most"), ("999999999999d", "at most"),
    ("1234567890123s", "digits"), ("1h 30m", "expected"), (" 1s", "expected"),
  ])
  func refuses(text: String, reason: String) {
    let error = #expect(throws: TextError.self) { try DurationText.parse(text) }
    #expect(error?.message.contains(reason) == true, "\(String(describing: error))")
  }

  @Test func whatIsWrittenIsRead() throws {
    var random = SplitMix(seed: 7)
    for _ in 0..<2_000 {
      let millis = Int64(random.next() % UInt64(DurationText.maxMillis)) >> (random.next() % 32)
      #expect(try DurationText.parse(DurationText.format(milliseconds: millis)) == millis)
    }
  }
}
