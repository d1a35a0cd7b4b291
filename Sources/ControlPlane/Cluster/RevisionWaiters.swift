/// Those that wait until the cache has come to a revision.
struct RevisionWaiters {
  private struct Waiter {
    let id: UInt64
    let revision: Int64
    let continuation: CheckedContinuation<Void, Never>
  }

  private var waiters: [Waiter] = []
  private var nextID: UInt64 = 0

  /// A number for the next waiter.
  mutating func newID() -> UInt64 {
    nextID += 1
    return nextID
  }

  mutating func add(_ id: UInt64, _ revision: Int64, _ continuation: CheckedContinuation<Void, Never>) {
    waiters.append(Waiter(id: id, revision: revision, continuation: continuation))
  }

  /// Lets those go on that wait for this revision or an earlier one.
  mutating func release(upTo revision: Int64) {
    let due = waiters.filter { $0.revision <= revision }
    guard !due.isEmpty else { return }
    waiters.removeAll { $0.revision <= revision }
    for waiter in due { waiter.continuation.resume() }
  }

  /// Lets one go on that has waited for long enough.
  mutating func release(_ id: UInt64) {
    guard let index = waiters.firstIndex(where: { $0.id == id }) else { return }
    waiters.remove(at: index).continuation.resume()
  }
}
