/// Whether an agent is fit for new work.
public enum HealthState: String, Hashable, Sendable, CaseIterable {
  /// It is.
  case healthy
  /// It says itself that it is short of something, or it could not keep what it was given.
  case unhealthy
  /// What it was given failed, time after time, while others succeeded.
  case avoided
}
