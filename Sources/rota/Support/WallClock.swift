import ControlPlane
import SchedulerCore

/// The wall clock of this machine.
enum WallClock {
  /// The time now.
  static func now() -> Timestamp { .now() }
}
