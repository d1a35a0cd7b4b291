/// Where a walk over all jobs goes on.
public struct JobScanPlace: Hashable, Sendable {
  fileprivate let place: AgePlace<JobKey>
}

extension ClusterCache {
  /// A piece of a walk over all jobs, newest first, by what is known of them without decoding them. A job that exists
  /// throughout is visited once; what is created meanwhile is not.
  /// - Parameters:
  ///   - namespace: Only this one; nil for all.
  ///   - place: What the piece before ended with; nil for the first piece.
  ///   - limit: How many jobs are passed at most, visited or not.
  ///   - visit: Whether the piece may go on.
  /// - Returns: Where the next piece goes on; nil when this was the last.
  public func scanJobs(
    in namespace: String?, after place: JobScanPlace?, limit: Int,
    _ visit: (JobTable.Slot, JobTable.Facts) -> Bool
  ) -> JobScanPlace? {
    var passed = 0
    var last: JobTable.Slot?
    jobs.order.visitLastFirst(before: place.map { place in { jobs.isOlder($0, than: place.place) } }) {
      slot in
      passed += 1
      var goesOn = passed < limit
      if namespace.map({ jobs.isIn($0, slot) }) ?? true, let facts = jobs.facts(at: slot) {
        goesOn = visit(slot, facts) && goesOn
      }
      if !goesOn { last = slot }
      return goesOn
    }
    return last.flatMap { jobs.place(of: $0) }.map(JobScanPlace.init)
  }
}
