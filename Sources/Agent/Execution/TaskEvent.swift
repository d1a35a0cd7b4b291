import SchedulerCore

/// What an executor tells the core.
enum TaskEvent: Sendable {
  /// The task runs; one with a process says how it can be found again.
  case started(AttemptRef, Timestamp, RunningTask? = nil)
  /// The task has written a checkpoint, or may have.
  case checkpoint(AttemptRef)
  /// The task and all its processes are dead, or it could not be started.
  case ended(AttemptRef, AttemptEnd)
}
