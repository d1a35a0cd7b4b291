extension JobPlan {
  /// Asks for a run that has ended to be run again: as a run of its own, for an end stays an end, with the same
  /// scheduled time and parameters. Its fencing tokens go on where those of the old one stopped, so that what the two
  /// write to can tell them apart.
  /// - Parameters:
  ///   - old: The run, which has ended.
  ///   - exists: Whether there is a run of that id.
  /// - Returns: As `triggered` does; nil when the run has been retried `RetryID.limit` times.
  public func retried(
    _ old: RunRecord, at now: Timestamp, _ activity: JobActivity, exists: (String) -> Bool
  ) -> Trigger? {
    if let reason = record.spec.overlap.objection(to: activity) {
      return .refused(reason, runID: activity.newestUnended ?? "")
    }
    guard let id = RetryID.next(of: old.key.runID, exists: exists) else { return nil }
    var run = RunRecord(
      key: RunKey(job: record.key, runID: id), scheduledTime: old.scheduledTime, createdAt: now)
    run.trigger = .retry
    run.retryOf = old.key.runID
    run.params = old.params
    run.fence = old.fence
    run.joinGroup(of: record.spec)
    var record = record
    record.lastRunTime = max(record.lastRunTime ?? old.scheduledTime, old.scheduledTime)
    return .run(run, record)
  }
}

/// The ids of runs that run others again: that of the first one, and a number, as `20261122t215609.123z-r001`. They sort
/// behind it, and before the next occurrence.
public enum RetryID {
  /// How often a run may be retried by hand.
  public static let limit = 999
  private static let mark = "-r"

  /// The id for another retry of a run, which may be one itself; nil when there have been too many. One whose run was
  /// removed is not used again while a later one is there.
  static func next(of runID: String, exists: (String) -> Bool) -> String? {
    let first = original(of: runID)
    // Removed is what is oldest, so those that are there are the last ones.
    var number = limit
    while number > 0, !exists(id(first, number)) { number -= 1 }
    return number < limit ? id(first, number + 1) : nil
  }

  /// The run that was retried first.
  private static func original(of runID: String) -> String {
    let number = runID.utf8.suffix(3)
    guard runID.utf8.count > 5, number.allSatisfy({ (0x30...0x39).contains($0) }),
      runID.dropLast(3).hasSuffix(mark)
    else { return runID }
    return String(runID.dropLast(3 + mark.count))
  }

  private static func id(_ first: String, _ number: Int) -> String {
    let digits = String(number)
    return first + mark + String(repeating: "0", count: 3 - digits.count) + digits
  }
}
