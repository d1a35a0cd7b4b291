import Foundation
import SchedulerCore

/// How many next fires one core computes in a second of CPU time. No process is involved: it is what a server does for each
/// occurrence of each schedule, and for previews and forecasts.
struct NextFires {
  private struct Kind {
    var name: String
    var schedule: Schedule
    /// The instants after which the next one is asked for, in turn.
    var instants: [Timestamp]
  }

  /// Seconds of CPU for each kind.
  private static let budget = 0.5
  private static let zone = "Europe/Berlin"
  private static let job = JobKey(namespace: "default", jobID: "bench")

  static func row() throws -> Row {
    let file = URL(fileURLWithPath: "/usr/share/zoneinfo/\(zone)")
    let zones = TimeZones(files: [zone: Array(try Data(contentsOf: file))])
    var figures: [(name: String, value: Double)] = []
    for kind in try kinds() {
      let schedule = try CompiledSchedule(kind.schedule, job: job, createdAt: .earliest, zones: zones)
      figures.append((kind.name + "_per_second", try rate(schedule, kind.instants)))
    }
    return Row(name: "next fires, one core", figures: figures, target: "millions per second")
  }

  private static func kinds() throws -> [Kind] {
    let start = try Timestamp(rfc3339: "2026-01-01T00:00:00Z")
    // Primes, so that all hours and days come up.
    let year = (0..<1_009).map { start.adding(milliseconds: Int64($0) * 8 * 3_607_000) }
    let transition = try Timestamp(rfc3339: "2026-03-29T01:00:00Z")
    let nearTransition = (0..<1_009).map { transition.adding(milliseconds: Int64($0 - 500) * 7_001) }
    var nightly = Schedule(.cron("30 2 * * *"))
    nightly.timeZone = zone
    var complex = Schedule(.cron("15,45 30/5 8-18/2 LW,15W * MON#1,FRIL"))
    complex.timeZone = zone
    return [
      Kind(name: "hourly", schedule: Schedule(.cron("0 * * * *")), instants: year),
      Kind(name: "nightly_with_zone", schedule: nightly, instants: year),
      Kind(name: "complex_with_zone", schedule: complex, instants: year),
      Kind(name: "near_a_transition", schedule: nightly, instants: nearTransition),
    ]
  }

  private static func rate(_ schedule: CompiledSchedule, _ instants: [Timestamp]) throws -> Double {
    var count = 0
    // Used, so that no compiler leaves the work out.
    var sum: Int64 = 0
    let start = cpuSeconds()
    var elapsed = 0.0
    repeat {
      for instant in instants { sum &+= schedule.next(after: instant)?.microseconds ?? 0 }
      count += instants.count
      elapsed = cpuSeconds() - start
    } while elapsed < budget
    guard sum != 0 else { throw BenchError("a schedule is never due") }
    return Double(count) / elapsed
  }

  /// The CPU time of this thread, so that other processes do not count.
  private static func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
