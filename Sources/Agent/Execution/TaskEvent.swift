import SchedulerCore

/// What an executor tells the core.
enum TaskEvent: Sendable {
  /// The task runs.
  case started(AttemptRef, Timestamp)
  /// The task and all its processes are dead, or it could not be started.
  case ended(AttemptRef, AttemptEnd)
}
