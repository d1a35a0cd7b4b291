extension AgentMachine {
  /// A first-in-first-out queue in an array, amortised O(1).
  struct Queue<Element: Sendable>: Sendable {
    private var elements: [Element] = []
    private var head = 0

    var count: Int { elements.count - head }
    var isEmpty: Bool { head == elements.count }
    var first: Element? { isEmpty ? nil : elements[head] }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func popFirst() -> Element? {
      guard head < elements.count else { return nil }
      let element = elements[head]
      head += 1
      if head == elements.count {
        elements.removeAll(keepingCapacity: head <= 4_096)
        head = 0
      } else if head >= 1_024, head * 2 >= elements.count {
        elements.removeFirst(head)
        head = 0
      }
      return element
    }
  }

  /// The attempts that ended most recently, a bounded number.
  struct RecentAttempts: Sendable {
    private let limit: Int
    private var keys = Set<AttemptKey>()
    private var order = Queue<AttemptKey>()

    init(limit: Int) { self.limit = limit }

    func contains(_ key: AttemptKey) -> Bool { keys.contains(key) }

    mutating func insert(_ key: AttemptKey) {
      guard keys.insert(key).inserted else { return }
      order.append(key)
      while order.count > limit, let oldest = order.popFirst() { keys.remove(oldest) }
    }
  }
}
