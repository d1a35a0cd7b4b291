import Glibc
import SchedulerCore

/// The clocks of this machine.
enum Clocks {
  /// CLOCK_BOOTTIME, nanoseconds: goes on while the machine sleeps, as etcd's leases do.
  static func boot() -> Int64 { read(CLOCK_BOOTTIME) }

  /// The wall clock.
  static func wall() -> Timestamp { Timestamp(microseconds: read(CLOCK_REALTIME) / 1_000) }

  /// Both.
  static func now() -> AgentTime { AgentTime(wall: wall(), boot: boot()) }

  /// The wall clock's time at a moment of the boot clock, not far from now.
  static func wall(atBoot boot: Int64) -> Timestamp {
    Timestamp(microseconds: (read(CLOCK_REALTIME) - (self.boot() - boot)) / 1_000)
  }

  private static func read(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    // Cannot fail: both clocks exist on every Linux that Swift runs on.
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
  }
}

/// A wait varied at random between half and all of itself, so that many agents do not move in step.
func jittered(_ millis: Int64) -> Duration {
  .milliseconds(Int64.random(in: max(1, millis / 2)...max(1, millis)))
}
