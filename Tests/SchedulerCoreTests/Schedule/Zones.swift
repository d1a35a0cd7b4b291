import Foundation
import SchedulerCore
import Testing

/// The zones of this machine, as the tests of schedules need them.
enum Zones {
  /// Files of the zones below, from the system's tz database.
  static let folder = "/usr/share/zoneinfo"

  static func file(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\(name)")))
  }

  static let names = [
    "Africa/Cairo", "Africa/Casablanca", "Africa/Monrovia", "America/Nuuk", "America/New_York",
    "America/Santiago", "Antarctica/Troll", "Asia/Gaza", "Asia/Kathmandu", "Asia/Tehran",
    "Australia/Lord_Howe", "Europe/Berlin", "Europe/Dublin", "Pacific/Apia", "Pacific/Kwajalein",
  ]

  static let all: TimeZones = {
    var files: [String: [UInt8]] = [:]
    for name in names { files[name] = try? file(name) }
    return TimeZones(files: files)
  }()
}

/// The job whose schedules are tested.
let anyJob = JobKey(namespace: "default", jobID: "job")

/// A time of RFC 3339.
func at(_ text: String) throws -> Timestamp { try Timestamp(rfc3339: text) }

/// A schedule of a cron expression.
func cron(
  _ text: String, _ zone: String = "UTC", gap: Schedule.GapPolicy? = nil,
  overlap: Schedule.OverlapPolicy? = nil
) -> Schedule {
  var schedule = Schedule(.cron(text))
  schedule.timeZone = zone
  schedule.dstGap = gap
  schedule.dstOverlap = overlap
  return schedule
}

extension Schedule {
  /// Made ready for `anyJob`, created in 2020.
  func compiled(createdAt: String = "2020-01-01T00:00:00Z", zones: TimeZones = Zones.all) throws
    -> CompiledSchedule
  {
    try CompiledSchedule(self, job: anyJob, createdAt: try at(createdAt), zones: zones)
  }

  /// The next occurrences after a time, as text.
  func upcoming(_ count: Int, after: String, createdAt: String = "2020-01-01T00:00:00Z") throws -> [String] {
    let compiled = try compiled(createdAt: createdAt)
    var times: [String] = []
    var time = try at(after)
    while times.count < count, let next = compiled.next(after: time) {
      times.append(next.rfc3339)
      time = next
    }
    return times
  }
}
