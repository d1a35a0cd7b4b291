import ConfigFiles
import SchedulerCore
import Transport

/// The objects of a cluster, as configuration files describe them: read and written by the calls that everybody uses.
struct ConfigCluster: Sendable {
  let client: APIClient
  /// Who makes the changes; nil for nobody in particular.
  var author: String?

  /// How many calls are made at once.
  private static let parallelism = 16

  // MARK: Reading

  /// Those of some objects that exist.
  func objects(_ keys: [ConfigKey]) async throws -> [ConfigKey: ConfigObject] {
    let found = try await Self.inParallel(keys) { try await object($0) }
    return Dictionary(found.compactMap { $0 }.map { ($0.key, $0) }) { $1 }
  }

  // MARK: Writing

  /// What became of a step that failed.
  struct Failure: Sendable {
    let key: ConfigKey
    let message: String
  }

  /// Does the steps, kind after kind, and deletions last; those of one kind beside each other. After a failure, what
  /// may depend on it is not begun.
  /// - Parameter report: Called with each step that has been done.
  func carryOut(
    _ steps: [ConfigPlan.Step], report: @escaping @Sendable (ConfigPlan.Step) -> Void
  ) async throws -> (failures: [Failure], undone: Int) {
    var failures: [Failure] = []
    var undone = 0
    for group in Self.groups(of: steps) {
      guard failures.isEmpty else {
        undone += group.count
        continue
      }
      let results = try await Self.inParallel(group) { step -> Failure? in
        do {
          try await patiently { try await carryOut(step) }
          report(step)
          return nil
        } catch let failure as CommandFailure {
          return Failure(key: step.key, message: failure.message)
        }
      }
      failures += results.compactMap { $0 }
    }
    return (failures, undone)
  }

  /// Does something again that a server refused for the moment, since somebody submits faster than may be.
  private func patiently(_ body: () async throws -> Void) async throws {
    let deadline = ContinuousClock.now + ClientLimits.heldBack
    while true {
      do {
        return try await body()
      } catch let failure as CommandFailure where failure.status == .resourceExhausted {
        guard let millis = failure.retryMillis, ContinuousClock.now < deadline else { throw failure }
        let pauses = ClientLimits.heldBackPause
        let pause = min(max(.milliseconds(millis), pauses.lowerBound), pauses.upperBound)
        try await Task.sleep(for: pause * Double.random(in: 1...1.2))
      }
    }
  }

  /// Steps that may be done beside each other.
  private static func groups(of steps: [ConfigPlan.Step]) -> [[ConfigPlan.Step]] {
    let ranks = Set(ConfigKind.allCases.map(\.rank)).sorted()
    func group(_ rank: Int, _ isWanted: (ConfigPlan.Action) -> Bool) -> [ConfigPlan.Step] {
      steps.filter { $0.key.kind.rank == rank && isWanted($0.action) }
    }
    let writes = ranks.map { group($0) { $0 == .create || $0 == .update } }
    let deletions = ranks.reversed().map { group($0) { $0 == .delete } }
    return (writes + deletions).filter { !$0.isEmpty }
  }

  // MARK: Beside each other

  /// Does something with each element, a bounded number at once; results in the order of the elements.
  private static func inParallel<Element: Sendable, Result: Sendable>(
    _ elements: [Element], _ body: @escaping @Sendable (Element) async throws -> Result
  ) async throws -> [Result] {
    try await withThrowingTaskGroup(of: (Int, Result).self) { group in
      var results = [Result?](repeating: nil, count: elements.count)
      var next = 0
      func begin() {
        guard next < elements.count else { return }
        let (index, element) = (next, elements[next])
        next += 1
        group.addTask { (index, try await body(element)) }
      }
      for _ in 0..<parallelism { begin() }
      while let (index, result) = try await group.next() {
        results[index] = result
        begin()
      }
      return results.compactMap { $0 }
    }
  }
}
