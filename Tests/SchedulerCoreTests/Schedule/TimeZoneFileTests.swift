import Testing

@testable import SchedulerCore

@Suite struct TimeZoneFileTests {
  @Test func brokenFilesAreListedAndHarmNothing() throws {
    let file = try Zones.file("Europe/Berlin")
    for length in 0..<file.count {
      let zones = TimeZones(files: ["Europe/Berlin": Array(file.prefix(length))])
      #expect(zones.unreadable.keys.elementsEqual(["Europe/Berlin"]), "cut at \(length)")
      #expect(zones.names == ["UTC"])
    }
    // Whatever bytes are wrong: an error, or another zone, but no crash.
    var random = SplitMix(seed: 1)
    for _ in 0..<500 {
      var broken = file
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        broken[Int.random(in: 0..<broken.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      let zones = TimeZones(files: ["X/Y": broken])
      guard zones.unreadable.isEmpty else { continue }
      let schedule = try CompiledSchedule(
        cron("30 2 * * *", "X/Y"), job: anyJob, createdAt: .earliest, zones: zones)
      _ = schedule.next(after: try at("2026-03-28T00:00:00Z"))
      _ = schedule.last(notAfter: .latest)
    }
  }

  /// A file of version 2 with a table and a footer.
  private func tzif(
    offsets: [Int32], transitions: [(Int64, UInt8)] = [], footer: String, leapSeconds: UInt32 = 0
  ) -> [UInt8] {
    func number(_ value: UInt32) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }
    func header(_ counts: [UInt32]) -> [UInt8] {
      Array("TZif2".utf8) + [UInt8](repeating: 0, count: 15) + counts.flatMap(number)
    }
    var bytes = header([0, 0, 0, 0, 1, 1]) + number(0) + [0, 0, 0]
    bytes += header([0, 0, leapSeconds, UInt32(transitions.count), UInt32(offsets.count), 1])
    for (time, _) in transitions {
      bytes += number(UInt32(truncatingIfNeeded: time >> 32)) + number(UInt32(truncatingIfNeeded: time))
    }
    bytes += transitions.map(\.1)
    for offset in offsets { bytes += number(UInt32(bitPattern: offset)) + [0, 0] }
    bytes += [0]
    bytes += [UInt8](repeating: 0, count: Int(leapSeconds) * 12)
    return bytes + [0x0A] + Array(footer.utf8) + [0x0A]
  }

  /// The offsets of a zone at times, in seconds.
  private func offsets(_ file: [UInt8], at times: [String]) throws -> [Int64] {
    let zone = try TZifReader.read(file, name: "X")
    return try times.map { zone.offset(zone.index(at: try at($0).milliseconds / 1_000)) }
  }

  @Test func footersSayWhatComesLater() throws {
    let summer = "2040-07-01T00:00:00Z"
    let winter = "2040-12-01T00:00:00Z"
    let none = tzif(offsets: [3_600], footer: "<+01>-1")
    #expect(try offsets(none, at: [summer, winter]) == [3_600, 3_600])
    let north = tzif(offsets: [-18_000], footer: "EST5EDT,M3.2.0,M11.1.0")
    #expect(try offsets(north, at: [summer, winter]) == [-14_400, -18_000])
    #expect(
      try offsets(
        north,
        at: ["2040-03-11T06:59:59Z", "2040-03-11T07:00:00Z", "2040-11-04T05:59:59Z", "2040-11-04T06:00:00Z"])
        == [-18_000, -14_400, -14_400, -18_000])
    let south = tzif(offsets: [36_000], footer: "AEST-10AEDT,M10.1.0,M4.1.0/3")
    #expect(try offsets(south, at: [summer, winter]) == [36_000, 39_600])
    let negative = tzif(offsets: [0], footer: "IST-1GMT0,M10.5.0,M3.5.0/1")
    #expect(try offsets(negative, at: [summer, winter]) == [3_600, 0])
    // Days of the year, with and without 29 February; 60 is 1 March where it is not counted.
    let julian = tzif(offsets: [0], footer: "AAA0BBB,J60/0,J300/0")
    #expect(try offsets(julian, at: ["2040-02-29T23:59:59Z", "2040-03-01T00:00:00Z"]) == [0, 3_600])
    let zeroBased = tzif(offsets: [0], footer: "AAA0BBB,59/0,300/0")
    #expect(try offsets(zeroBased, at: ["2040-02-28T23:59:59Z", "2040-02-29T00:00:00Z"]) == [0, 3_600])
    // Daylight-saving time all the year (RFC 8536 section 3.3.1).
    let always = tzif(offsets: [-18_000], footer: "XXX3EDT4,0/0,J365/23")
    #expect(
      try offsets(always, at: [summer, winter, "2041-01-01T03:30:00Z"]) == [-14_400, -14_400, -14_400])
  }

  @Test(arguments: [
    "EST5EDT", "ES5", "EST", "EST25", "EST5EDT,M13.1.0,M11.1.0", "EST5EDT,M3.2.0,M11.1.0x", "<+015",
    "EST5EDT,M3.2.0,M11.1.0/168",
  ])
  func refusesFooters(_ footer: String) {
    #expect(throws: TextError.self) { try TZifReader.read(tzif(offsets: [0], footer: footer), name: "X") }
  }

  @Test func refusesWhatCannotBe() {
    for file in [
      tzif(offsets: [0, 3_600], transitions: [(100, 1), (100, 0)], footer: "UTC0"),
      tzif(offsets: [0], transitions: [(100, 1)], footer: "UTC0"), tzif(offsets: [], footer: "UTC0"),
      tzif(offsets: [100_000], footer: "UTC0"), tzif(offsets: [0], footer: "UTC0", leapSeconds: 1),
      [UInt8](repeating: 0x54, count: TimeZones.maxFileBytes + 1),
    ] {
      #expect(throws: TextError.self) { try TZifReader.read(file, name: "X") }
    }
  }
}
