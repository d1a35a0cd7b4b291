/// What a namespace uses.
public struct NamespaceUse: Hashable, Sendable {
  /// Jobs that have not ended.
  public var jobs = 0
  /// Runs that wait for an agent or for a retry.
  public var queuedRuns = 0
  /// Runs that are with an agent.
  public var runningRuns = 0

  /// Makes the use of nothing.
  public init() {}

  /// Counts a run in a state, or, with -1, does not count it any more.
  mutating func count(_ state: RunState?, by difference: Int) {
    guard let state, !state.isTerminal else { return }
    if state.isOwned { runningRuns += difference } else { queuedRuns += difference }
  }
}

/// What all namespaces use; of those that use nothing, nothing is kept.
struct NamespaceUses: Sendable {
  private var uses: [String: NamespaceUse] = [:]

  subscript(namespace: String) -> NamespaceUse { uses[namespace] ?? NamespaceUse() }

  var all: [String: NamespaceUse] { uses }

  mutating func change(_ namespace: String, _ body: (inout NamespaceUse) -> Void) {
    body(&uses[namespace, default: NamespaceUse()])
    if uses[namespace] == NamespaceUse() { uses[namespace] = nil }
  }
}
