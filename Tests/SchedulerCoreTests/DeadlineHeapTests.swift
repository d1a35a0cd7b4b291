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

@Suite struct RetryPolicyTests {
  private let now = Timestamp(milliseconds: 1_000_000)

  private func wait(_ backoff: Backoff, retryCount: Int, random: Double) -> Int64? {
    var spec = JobSpec(task: .noop)
    spec.maxRetries = 100
    spec.backoff = backoff
    guard
      case .retry(let time) = RetryPolicy.decide(
        spec: spec, retryCount: retryCount, now: now, randomUnit: random)
    else { return nil }
    return time.milliseconds - now.milliseconds
  }

  @Test(arguments: [(0, 60_000), (1, 300_000), (2, 600_000), (3, 600_000), (99, 600_000)])
  func theStandardList(retryCount: Int, millis: Int) {
    #expect(wait(.standard, retryCount: retryCount, random: 0.5) == Int64(millis))
  }

  @Test(arguments: [(0, 1_000), (1, 2_000), (2, 4_000), (3, 5_000), (99, 5_000)])
  func exponential(retryCount: Int, millis: Int) {
    let backoff = Backoff(
      curve: .exponential(initialMillis: 1_000, multiplier: 2, maxMillis: 5_000), jitter: 0)
    #expect(wait(backoff, retryCount: retryCount, random: 0.9) == Int64(millis))
  }

  @Test(arguments: [(0.0, 54_000), (0.5, 60_000), (0.75, 63_000)])
  func jitter(random: Double, millis: Int) {
    #expect(wait(.standard, retryCount: 0, random: random) == Int64(millis))
  }

  @Test func oddCurvesDoNoHarm() {
    for jitter in [0.0, 1.0, .nan, -3.0, .infinity] {
      for curve in [
        Backoff.Curve.list([]), .list([0]), .list([.max]), .list([.min]),
        .exponential(initialMillis: 0, multiplier: .infinity, maxMillis: .max),
        .exponential(initialMillis: 1, multiplier: .nan, maxMillis: 1_000),
        .exponential(initialMillis: .max, multiplier: 100, maxMillis: .max),
        .exponential(initialMillis: 1, multiplier: 1, maxMillis: .max),
      ] {
        let millis = wait(Backoff(curve: curve, jitter: jitter), retryCount: 60, random: 0.999)
        #expect(millis.map { (0...DurationText.maxMillis).contains($0) } == true)
      }
    }
  }

  @Test func givesUp() {
    var spec = JobSpec(task: .noop)
    #expect(
      RetryPolicy.decide(spec: spec, retryCount: 0, now: now, randomUnit: 0)
        == .giveUp("the attempt failed and the job allows no retries"))
    spec.maxRetries = 1
    #expect(
      RetryPolicy.decide(spec: spec, retryCount: 0, now: now, randomUnit: 0.5)
        == .retry(at: now.adding(milliseconds: 60_000)))
    #expect(
      RetryPolicy.decide(spec: spec, retryCount: 1, now: now, randomUnit: 0)
        == .giveUp("the attempt failed and its only retry was used"))
  }
}
