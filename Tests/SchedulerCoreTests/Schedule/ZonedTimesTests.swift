import Testing

@testable import SchedulerCore

/// Zones that no country has: clocks that change several times a day, by any amount. What is due is found by
/// looking at every minute.
@Suite struct ZonedTimesTests {
  private struct Brute {
    let zone: TimeZoneRules
    let expression: CronExpression
    let range: Range<Int64>

    /// When each local time is shown.
    func instants() -> [Int64: [Int64]] {
      var shownAt: [Int64: [Int64]] = [:]
      for utc in stride(from: range.lowerBound - 180_000, to: range.upperBound + 180_000, by: 60) {
        shownAt[utc + zone.offset(zone.index(at: utc)), default: []].append(utc)
      }
      return shownAt
    }

    /// All instants of the range, by policy.
    func due(
      _ shownAt: [Int64: [Int64]], _ gap: Schedule.GapPolicy, _ overlap: Schedule.OverlapPolicy
    ) -> [Int64] {
      var due = Set<Int64>()
      for local in stride(from: range.lowerBound - 120_000, to: range.upperBound + 120_000, by: 60)
      where expression.matches(local) {
        if let instants = shownAt[local] {
          switch overlap {
          case .first: due.insert(instants[0])
          case .second: due.insert(instants[instants.count - 1])
          case .both: due.formUnion(instants)
          }
        } else if gap == .runAfter {
          // The first change that jumps over it.
          for index in 1..<zone.count where zone.gap(before: index).contains(local) {
            due.insert(zone.start(index))
            break
          }
        }
      }
      return due.filter { range.contains($0) }.sorted()
    }
  }

  @Test(arguments: 0..<30)
  func equalsLookingAtEveryMinute(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let start: Int64 = 1_800_000_000
    var transitions: [(at: Int64, offset: Int)] = []
    var time = start + 7_200
    for _ in 0..<12 {
      transitions.append((at: time, offset: 600 * Int.random(in: -12...12, using: &random)))
      time += 600 * Int64.random(in: 1...40, using: &random)
    }
    let zone = TimeZoneRules(
      name: "X", firstOffset: 600 * Int.random(in: -12...12, using: &random), transitions: transitions)
    let texts = [
      "*/10 * * * *", "30 * * * *", "0 */3 * * *", "20,50 1-14/2 * * *", "0 12 * * *", "*/20 H/2 * * *",
    ]
    let expression = try CronExpression(texts[seed % texts.count], job: anyJob)
    let brute = Brute(zone: zone, expression: expression, range: start..<time + 90_000)
    let shownAt = brute.instants()
    for gap in Schedule.GapPolicy.allCases {
      for overlap in Schedule.OverlapPolicy.allCases {
        let times = ZonedTimes(expression: expression, zone: zone, gap: gap, overlap: overlap)
        let wanted = brute.due(shownAt, gap, overlap)
        #expect(forwards(times, brute.range) == wanted, "\(gap) \(overlap)")
        #expect(backwards(times, brute.range) == wanted.reversed(), "\(gap) \(overlap)")
      }
    }
  }

  private func forwards(_ times: ZonedTimes, _ range: Range<Int64>) -> [Int64] {
    var found: [Int64] = []
    var from = range.lowerBound
    while let next = times.next(from: from, through: range.upperBound - 1) {
      found.append(next)
      from = next + 1
    }
    return found
  }

  private func backwards(_ times: ZonedTimes, _ range: Range<Int64>) -> [Int64] {
    var found: [Int64] = []
    var from = range.upperBound - 1
    while let last = times.last(from: from, downTo: range.lowerBound) {
      found.append(last)
      from = last - 1
    }
    return found
  }

  @Test func localTimesBecomeInstants() throws {
    let berlin = try Zones.all.zone("Europe/Berlin")
    for (local, instant) in [
      ("2026-01-01T12:00:00Z", "2026-01-01T11:00:00Z"),
      // Twice: the first. Never: after the gap.
      ("2026-10-25T02:30:00Z", "2026-10-25T00:30:00Z"), ("2026-03-29T02:30:00Z", "2026-03-29T01:00:00Z"),
      ("2999-12-31T12:00:00Z", "2999-12-31T11:00:00Z"),
    ] {
      #expect(
        berlin.instant(of: try at(local).milliseconds / 1_000) == (try at(instant).milliseconds / 1_000))
    }
  }
}
