/// The bounds of looking ahead, and of looking back for a backfill.
public enum LookaheadLimits {
  /// The most schedules in one preview.
  public static let previewSchedules = 16
  /// The longest range of a forecast, minutes: seven days.
  public static let forecastMinutes = 7 * 24 * 60
  /// Fires that a forecast counts; with more of them its range is cut.
  public static let forecastFires: Int64 = 5_000_000
  /// Occurrences of a schedule with a bounded number of runs that are passed one by one before the time of
  /// interest; more of them are not looked at.
  public static let occurrencesPassed = 1_000_000
  /// The most occurrences in the range of a backfill.
  public static let backfillOccurrences = 100_000
  /// How many of them are looked at in one go: about a millisecond.
  public static let backfillPiece = 2_000
  /// The range of how many runs of a backfill may be unfinished at a time.
  public static let backfillParallelism = 1...100
  /// Backfills of one job that may be running at a time.
  public static let runningBackfills = 10
  /// Ended backfills of one job that are kept when another one is created.
  public static let endedBackfills = 20
}
