import SchedulerCore
import Testing

private func at(_ micros: Int) -> Timestamp { Timestamp(microseconds: Int64(micros)) }

@Suite struct DeadlineHeapTests {
  @Test func takesInOrder() {
    var heap = DeadlineHeap<String>()
    #expect(heap.nextDeadline == nil && heap.isEmpty)
    heap.set("c", at: at(30))
    heap.set("a", at: at(10))
    heap.set("b", at: at(20))
    #expect(heap.nextDeadline == at(10))
    #expect(heap.popDue(now: at(9)) == [])
    #expect(heap.popDue(now: at(20), limit: 1) == ["a"])
    #expect(heap.popDue(now: at(20)) == ["b"])
    #expect(heap.count == 1)
    heap.set("c", at: at(5))
    #expect(heap.deadline(of: "c") == at(5))
    #expect(heap.remove("c") == true)
    #expect(heap.remove("c") == false)
    #expect(heap.popDue(now: at(100)) == [])
    #expect(heap.deadline(of: "c") == nil)
    #expect(heap.popDue(now: at(100), limit: 0) == [])
  }

  @Test(arguments: [1, 2, 3]) func behavesAsADictionary(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var heap = DeadlineHeap<Int>()
    var model: [Int: Timestamp] = [:]
    for step in 0..<1_500 {
      let key = Int.random(in: 0..<200, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<6:
        let time = at(Int.random(in: 0..<1_000, using: &random))
        heap.set(key, at: time)
        model[key] = time
      case 6..<9:
        #expect(heap.remove(key) == (model.removeValue(forKey: key) != nil))
      default:
        let now = at(Int.random(in: 0..<300, using: &random))
        let limit = step.isMultiple(of: 2) ? Int.max : 3
        let due = heap.popDue(now: now, limit: limit)
        let times = due.compactMap { model.removeValue(forKey: $0) }
        #expect(times.count == due.count && times == times.sorted())
        #expect(times.allSatisfy { $0 <= now } && due.count <= limit)
        if due.count < limit { #expect(!model.values.contains { $0 <= now }) }
      }
      #expect(heap.count == model.count)
      #expect(heap.nextDeadline == model.values.min())
      #expect(heap.deadline(of: key) == model[key])
    }
  }
}
