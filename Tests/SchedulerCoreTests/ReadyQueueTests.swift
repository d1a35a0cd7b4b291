import SchedulerCore
import Testing

@Suite struct ReadyQueueTests {
  private func run(_ name: String) -> RunKey {
    RunKey(job: JobKey(namespace: "n", jobID: name), runID: "r")
  }

  private func needs(_ label: String?) -> Requirement {
    Requirement(kind: .exec, constraints: label.map { [Constraint(label: $0, op: .exists)] } ?? [])
  }

  private func entry(
    _ name: String, priority: Int = 50, at millis: Int = 0, _ label: String? = nil
  ) -> ReadyQueue.Entry {
    ReadyQueue.Entry(
      run: run(name), priority: priority, enqueuedAt: Timestamp(milliseconds: Int64(millis)),
      requirement: needs(label))
  }

  private func names(_ queue: ReadyQueue) -> [String] {
    var queue = queue
    var names: [String] = []
    while let entry = queue.popNext(where: { _ in true }) { names.append(entry.run.job.jobID) }
    return names
  }

  @Test func orderIsPriorityThenAgeThenKey() {
    var queue = ReadyQueue()
    queue.insert(entry("late", at: 2))
    queue.insert(entry("b", at: 1))
    queue.insert(entry("a", at: 1))
    queue.insert(entry("urgent", priority: 51, at: 29_000))
    queue.insert(entry("low", priority: 49, at: 0))
    #expect(names(queue) == ["urgent", "a", "b", "late", "low"])
  }

  @Test func waitingMakesUpForPriority() {
    var queue = ReadyQueue(agingMillisPerPriorityPoint: 1_000)
    queue.insert(entry("old", priority: 1, at: 0))
    queue.insert(entry("soon", priority: 100, at: 98_999))
    queue.insert(entry("same", priority: 100, at: 99_000))
    queue.insert(entry("late", priority: 100, at: 99_001))
    // "old" and "same" have aged alike; the one that waits longer goes first.
    #expect(names(queue) == ["soon", "old", "same", "late"])
  }

  @Test func aBlockedHeadBlocksNobodyElse() {
    var queue = ReadyQueue()
    queue.insert(entry("gpu1", priority: 100, "gpu"))
    queue.insert(entry("gpu2", priority: 100, "gpu"))
    queue.insert(entry("plain", priority: 1))
    var asked: [Requirement] = []
    let first = queue.popNext {
      asked.append($0)
      return $0 == needs(nil)
    }
    #expect(first == entry("plain", priority: 1))
    #expect(asked == [needs("gpu"), needs(nil)])
    #expect(queue.next { _ in false } == nil)
    #expect(queue.next { _ in true } == entry("gpu1", priority: 100, "gpu"))
    #expect(queue.count == 2 && queue.classCount == 1)
  }

  @Test func insertingAgainMovesAndRemovingForgets() {
    var queue = ReadyQueue()
    queue.insert(entry("a"))
    queue.insert(entry("a", priority: 1, "gpu"))
    #expect(queue.count == 1 && queue.classCount == 1)
    #expect(queue.next { _ in true } == entry("a", priority: 1, "gpu"))
    #expect(queue.contains(run("a")))
    #expect(queue.remove(run("a")) == true)
    #expect(queue.remove(run("a")) == false)
    #expect(queue.isEmpty && queue.classCount == 0 && !queue.contains(run("a")))
  }

  @Test func aRoundOffersEachBlockedClassOnce() {
    var queue = ReadyQueue()
    for index in 0..<5 {
      queue.insert(entry("g\(index)", at: index, "gpu"))
      queue.insert(entry("p\(index)", at: index))
    }
    var offered: [String] = []
    let placed = queue.drain(limit: 3) {
      offered.append($0.run.job.jobID)
      return $0.requirement == needs(nil)
    }
    #expect(placed == 3)
    #expect(offered == ["g0", "p0", "p1", "p2"])
    #expect(names(queue) == ["g0", "g1", "g2", "g3", "p3", "g4", "p4"])
  }

  @Test(arguments: [1, 2, 3]) func behavesAsASortedArray(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var queue = ReadyQueue()
    var model: [ReadyQueue.Entry] = []
    func key(_ entry: ReadyQueue.Entry) -> (Int64, Int64, RunKey) {
      let entered = entry.enqueuedAt.microseconds
      return (entered - Int64(entry.priority) * 30_000_000, entered, entry.run)
    }
    let labels: [String?] = [nil, "a", "b", "c"]
    for _ in 0..<1_500 {
      let name = "j\(Int.random(in: 0..<60, using: &random))"
      switch Int.random(in: 0..<4, using: &random) {
      case 0, 1:
        let entry = entry(
          name, priority: Int.random(in: 1...3, using: &random),
          at: Int.random(in: 0..<4, using: &random) * 15_000, labels.randomElement(using: &random) ?? nil)
        model.removeAll { $0.run == entry.run }
        model.append(entry)
        queue.insert(entry)
      case 2:
        let before = model.count
        model.removeAll { $0.run == run(name) }
        #expect(queue.remove(run(name)) == (model.count < before))
      default:
        let open = Set(labels.shuffled(using: &random).prefix(2).map(needs))
        let expected = model.filter { open.contains($0.requirement) }.min { key($0) < key($1) }
        #expect(queue.popNext(where: open.contains) == expected)
        model.removeAll { $0 == expected }
      }
      #expect(queue.count == model.count)
      #expect(queue.classCount == Set(model.map(\.requirement)).count)
    }
  }

  @Test func manyClassesAreFine() {
    var queue = ReadyQueue()
    for index in 0..<2_000 { queue.insert(entry("j\(index)", at: index, "l\(index % 1_000)")) }
    #expect(queue.classCount == 1_000)
    #expect(queue.popNext { $0 == needs("l999") } == entry("j999", at: 999, "l999"))
    #expect(queue.drain(limit: .max) { _ in true } == 1_999)
    #expect(queue.isEmpty && queue.classCount == 0)
  }
}
