/// Jobs that cannot be decided about before the watch has brought a revision. A turn costs nothing for those that it has
/// not reached.
struct WatchQueue: Sendable {
  /// What a job waits for the watch with.
  struct Wait: Sendable {
    /// Whether it is due.
    var isDue = false
    /// Why it is to be reviewed.
    var reviews: [ReviewQueue.Cause] = []
  }

  private var revisions = SlotHeap<Int64>()
  private var waits: [JobTable.Slot: Wait] = [:]

  var isEmpty: Bool { waits.isEmpty }
  /// How many of the jobs are due.
  var dueCount: Int { waits.values.count(where: \.isDue) }

  /// Adds a job that is due, or is to be reviewed, in place of an earlier revision that it waited for.
  mutating func add(_ slot: JobTable.Slot, until revision: Int64, review cause: ReviewQueue.Cause? = nil) {
    revisions.set(Int(slot), rank: revision)
    var wait = waits[slot] ?? Wait()
    if let cause {
      if !wait.reviews.contains(cause) { wait.reviews.append(cause) }
    } else {
      wait.isDue = true
    }
    waits[slot] = wait
  }

  /// Takes out the jobs whose revision the watch has reached.
  mutating func popReached(by revision: Int64) -> [(slot: JobTable.Slot, wait: Wait)] {
    var reached: [(slot: JobTable.Slot, wait: Wait)] = []
    while let first = revisions.first, first.rank <= revision {
      revisions.remove(Int(first.slot))
      if let wait = waits.removeValue(forKey: first.slot) { reached.append((first.slot, wait)) }
    }
    return reached
  }
}
