import Testing

@testable import SchedulerCore

/// Listings: filters, pages that stay stable while things change, forged tokens, and the order by age.
struct ClusterCacheQueryTests {
  typealias Make = ClusterCacheTests

  /// Jobs j1 to jn, of two users, every third running on agent a.
  static func cache(_ count: Int) -> ClusterCache {
    var cache = ClusterCache()
    for index in 1...count {
      let revision = Int64(index)
      let id = "j\(index)"
      cache.apply(Make.job(id, user: "u\(index % 2)", created: revision, mod: revision), at: revision)
      let runs = index % 3 == 0
      cache.apply(
        Make.run(
          id, "r", runs ? .running : .completed, on: runs ? "a" : nil, created: revision, mod: revision),
        at: revision)
    }
    return cache
  }

  static func ids(_ cache: ClusterCache, _ filter: JobFilter, page: Int) throws -> [String] {
    var ids: [String] = []
    var token: String?
    repeat {
      let part = try cache.listJobs(filter, after: token, limit: page)
      #expect(part.items.count <= page)
      ids += part.items.map(\.job.record.key.jobID)
      token = part.nextToken
    } while token != nil
    return ids
  }

  @Test(arguments: [1, 3, 10, 100]) func everyFilterPagesThroughWhatMatches(page: Int) throws {
    let cache = Self.cache(20)
    let all = (1...20).reversed()
    #expect(try Self.ids(cache, JobFilter(), page: page) == all.map { "j\($0)" })
    let running = all.filter { $0 % 3 == 0 }
    #expect(try Self.ids(cache, JobFilter(status: .running), page: page) == running.map { "j\($0)" })
    let done = all.filter { $0 % 3 != 0 && $0 % 2 == 0 }
    let filter = JobFilter(namespace: "default", status: .completed, userID: "u0")
    #expect(try Self.ids(cache, filter, page: page) == done.map { "j\($0)" })
    #expect(try Self.ids(cache, JobFilter(namespace: "other"), page: page).isEmpty)
    #expect(try Self.ids(cache, JobFilter(userID: "nobody"), page: page).isEmpty)
  }

  @Test(arguments: [1, 3, 7, 100]) func aScanVisitsEachJobOnceWhateverIsDeletedMeanwhile(limit: Int) {
    var cache = Self.cache(40)
    var seen: [String] = []
    var place: JobScanPlace?
    var pieces = 0
    repeat {
      var visited = 0
      place = cache.scanJobs(in: "default", after: place, limit: limit) { slot, facts in
        visited += 1
        #expect(facts.hasRuns)
        seen.append(cache.jobs.key(at: slot)?.jobID ?? "")
        return visited < 5
      }
      #expect(visited <= min(limit, 5))
      pieces += 1
      // The one that the next piece goes on from is gone, and another has been created.
      if pieces == 2, let last = seen.last {
        cache.apply(.job(JobKey(namespace: "default", jobID: last), nil), at: 100)
        cache.apply(Make.job("late", user: "u0", created: 101, mod: 101), at: 101)
      }
    } while place != nil
    #expect(seen == (1...40).reversed().map { "j\($0)" })
    #expect(cache.scanJobs(in: "other", after: nil, limit: 100) { _, _ in true } == nil)
  }

  @Test func theLastPageHasNoToken() throws {
    let cache = Self.cache(4)
    let first = try cache.listJobs(JobFilter(), after: nil, limit: 2)
    let second = try cache.listJobs(JobFilter(), after: first.nextToken, limit: 2)
    #expect(first.nextToken != nil && second.nextToken == nil && second.items.count == 2)
  }

  @Test func runsAreFoundByJobAgentStateAndStatus() throws {
    let cache = Self.cache(12)
    func runs(_ filter: RunFilter) throws -> [String] {
      try cache.listRuns(filter, after: nil, limit: 100).items.map(\.record.key.job.jobID)
    }
    #expect(try runs(RunFilter(workerID: "a")) == ["j12", "j9", "j6", "j3"])
    #expect(try runs(RunFilter(state: .running)) == ["j12", "j9", "j6", "j3"])
    #expect(try runs(RunFilter(status: .completed)).count == 8)
    #expect(try runs(RunFilter(namespace: "default", jobID: "j4")) == ["j4"])
    #expect(try runs(RunFilter(jobID: "j4")) == ["j4"])
    #expect(try runs(RunFilter(namespace: "default", jobID: "none")).isEmpty)
    #expect(try runs(RunFilter(state: .queued, status: .running)).isEmpty)
  }

  @Test(arguments: 0..<20) func pagesAreStableWhileThingsChange(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    var cache = Self.cache(40)
    var stay = Set((1...40).map { "j\($0)" })
    var seen: [String] = []
    var token: String?
    var revision: Int64 = 100
    repeat {
      let page = try cache.listJobs(JobFilter(), after: token, limit: 7)
      seen += page.items.map(\.job.record.key.jobID)
      token = page.nextToken
      for _ in 0..<5 {
        revision += 1
        if Bool.random(using: &random) {
          cache.apply(Make.job("n\(revision)", created: revision, mod: revision), at: revision)
        } else if let gone = stay.sorted().randomElement(using: &random) {
          stay.remove(gone)
          cache.apply(.job(Make.jobKey(gone), nil), at: revision)
        }
      }
    } while token != nil
    #expect(Set(seen).count == seen.count, "none is on two pages")
    #expect(stay.isSubset(of: seen), "what was there throughout is on a page")
  }

  @Test(arguments: [
    "", "x", "5", "5/default", "0/default/j1", "-3/default/j1", "5//j1", "5/default/", "5/default/j1/r/x",
    "5/../j1", "5/default/J1", "99999999999999999999/default/j1", "5/default/j1\u{0}", " 5/default/j1",
  ])
  func forgedTokensAreRefused(token: String) {
    #expect(throws: InvalidPageToken.self) {
      try Self.cache(3).listJobs(JobFilter(), after: token, limit: 5)
    }
    #expect(throws: InvalidPageToken.self) {
      try Self.cache(3).listRuns(RunFilter(), after: token, limit: 5)
    }
  }

  @Test func aTokenOfWhatNeverWasOnlyStartsElsewhere() throws {
    let page = try Self.cache(9).listJobs(JobFilter(), after: "5/default/zzz", limit: 2)
    #expect(page.items.map(\.job.record.key.jobID) == ["j5", "j4"])
  }

  // MARK: The order by age

  @Test(arguments: 0..<10) func theOrderIsASortedSet(seed: Int) {
    typealias Place = AgePlace<String>
    var random = SplitMix(seed: UInt64(seed))
    var order = SortedChunks<Place>()
    var model: Set<Place> = []
    func place(_ text: String) -> Place { Place(createRevision: Int64(text.count), key: text) }
    for _ in 0..<6_000 {
      let number = Int.random(in: 0..<2_000, using: &random)
      let place = place(String(repeating: "x", count: number % 20) + "\(number)")
      if Int.random(in: 0..<3, using: &random) > 0 {
        order.insert(place, by: <)
        model.insert(place)
      } else {
        order.remove(place, by: <)
        model.remove(place)
      }
      #expect(order.count == model.count)
    }
    let sorted = model.sorted(by: >)
    for limit in [nil, place("xxxxx"), place("x17"), place(""), place(String(repeating: "y", count: 99))] {
      var visited: [Place] = []
      order.visitLastFirst(before: limit.map { limit in { $0 < limit } }) { place in
        visited.append(place)
        return true
      }
      #expect(visited == sorted.filter { place in limit.map { place < $0 } ?? true })
    }
    var few = 0
    order.visitLastFirst(before: nil) { _ in
      few += 1
      return few < 10
    }
    #expect(few == 10)
    for place in model { order.remove(place, by: <) }
    #expect(order.isEmpty)
    order.visitLastFirst(before: nil) { _ in
      Issue.record("it should be empty")
      return false
    }
  }

  /// A listing brings keys by name, not by age: that must not cost the square of their number.
  @Test func aListingOutOfOrderIsTakenInQuickly() {
    var order = SortedChunks<Int>()
    let count = 100_000
    let duration = ContinuousClock().measure {
      // 256 segments, each ascending.
      for segment in 0..<256 {
        for key in stride(from: segment, to: count, by: 256) { order.insert(key, by: <) }
      }
    }
    var expected = count
    order.visitLastFirst(before: nil) { key in
      expected -= 1
      return key == expected
    }
    #expect(expected == 0)
    // About a second unoptimised; a plain array would take minutes.
    #expect(duration < .seconds(20))
  }
}
