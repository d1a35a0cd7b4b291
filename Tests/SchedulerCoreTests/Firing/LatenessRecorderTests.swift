import Testing

@testable import SchedulerCore

struct LatenessRecorderTests {
  private static let start = Timestamp(milliseconds: 1_800_000_000_000)

  @Test func totalsCountEachRunInOneBucket() {
    var recorder = LatenessRecorder()
    for late: Int64 in [0, 1, 2, 3, 50, 51, 3_600_000, 3_600_001] {
      recorder.record(due: Self.start, at: Self.start.adding(milliseconds: late))
    }
    #expect(recorder.total == 8 && recorder.sumMillis == 7_200_108)
    var expected = [Int](repeating: 0, count: LatenessRecorder.boundsMillis.count)
    for (bound, count) in [(1, 2), (2, 1), (5, 1), (50, 1), (100, 1), (3_600_000, 1)] as [(Int64, Int)] {
      expected[LatenessRecorder.boundsMillis.firstIndex(of: bound) ?? 0] = count
    }
    #expect(recorder.counts == expected)
  }

  /// Against sorting them, for all sizes of lateness.
  @Test(arguments: [1, 100, 10_000, 1_000_000]) func quantilesAreWithinAnEighth(scale: Int64) {
    var random = SplitMix(seed: UInt64(scale))
    var recorder = LatenessRecorder()
    var all: [Int64] = []
    for _ in 0..<1_000 {
      let late = Int64.random(in: 0...scale, using: &random)
      all.append(late)
      recorder.record(due: Self.start.adding(milliseconds: -late), at: Self.start)
    }
    all.sort()
    let minute = recorder.lastMinute(at: Self.start)
    #expect(minute.count == 1_000 && minute.maxMillis == all[999])
    for (told, exact) in [(minute.p50Millis, all[499]), (minute.p99Millis, all[989])] {
      #expect(told >= exact && told <= exact + exact / 8 + 1, "\(told) for \(exact)")
    }
  }

  @Test func onlyTheLastMinuteCounts() {
    var recorder = LatenessRecorder()
    recorder.record(due: Self.start.adding(milliseconds: -500), at: Self.start)
    recorder.record(due: Self.start.adding(milliseconds: 29_990), at: Self.start.adding(milliseconds: 30_000))
    #expect(recorder.lastMinute(at: Self.start.adding(milliseconds: 30_000)).maxMillis == 500)
    let later = recorder.lastMinute(at: Self.start.adding(milliseconds: 75_000))
    #expect(later.count == 1 && later.maxMillis == 10 && later.p99Millis == 10)
    #expect(recorder.lastMinute(at: Self.start.adding(milliseconds: 150_000)) == LatenessRecorder.Minute())
    #expect(recorder.total == 2)
  }

  @Test func aClockThatIsPutBackMakesNothingEarly() {
    var recorder = LatenessRecorder()
    recorder.record(due: Self.start, at: Self.start.adding(milliseconds: -3_600_000))
    let minute = recorder.lastMinute(at: Self.start.adding(milliseconds: -3_600_000))
    #expect(minute.count == 1 && minute.maxMillis == 0 && recorder.sumMillis == 0)
  }
}
