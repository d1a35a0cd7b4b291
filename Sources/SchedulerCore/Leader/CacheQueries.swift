/// What a listing of jobs is asked for; nil means any.
public struct JobFilter: Hashable, Sendable {
  /// The namespace.
  public var namespace: String?
  /// The status.
  public var status: JobStatus?
  /// The user.
  public var userID: String?

  /// Makes a filter.
  public init(namespace: String? = nil, status: JobStatus? = nil, userID: String? = nil) {
    self.namespace = namespace
    self.status = status
    self.userID = userID
  }
}

/// What a listing of runs is asked for; nil means any.
public struct RunFilter: Hashable, Sendable {
  /// The namespace.
  public var namespace: String?
  /// The job's id.
  public var jobID: String?
  /// An agent that had one of the run's attempts.
  public var workerID: String?
  /// The exact state.
  public var state: RunState?
  /// The status that the state means.
  public var status: JobStatus?

  /// Makes a filter.
  public init(
    namespace: String? = nil, jobID: String? = nil, workerID: String? = nil, state: RunState? = nil,
    status: JobStatus? = nil
  ) {
    self.namespace = namespace
    self.jobID = jobID
    self.workerID = workerID
    self.state = state
    self.status = status
  }
}

/// A part of a listing, newest first, and where the next part goes on.
public struct Page<Item: Sendable>: Sendable {
  /// The items.
  public var items: [Item]
  /// The token of the next page; nil on the last.
  public var nextToken: String?
}

/// A page token that this program did not make.
public struct InvalidPageToken: Error, Sendable {
  /// Makes the error.
  public init() {}
}

extension ClusterCache {
  /// Lists jobs, newest first. Pages are stable: a job that exists throughout is on exactly one.
  public func listJobs(_ filter: JobFilter, after token: String?, limit: Int) throws -> Page<Job> {
    let start = try token.map(PageToken.job(parsing:))
    func matches(_ key: JobKey) -> Bool {
      guard let entry = jobs[key] else { return false }
      if let namespace = filter.namespace, key.namespace != namespace { return false }
      if let status = filter.status, entry.status != status { return false }
      if let user = filter.userID, entry.job.record.spec.userID != user { return false }
      return true
    }
    var candidates: Set<JobKey>?
    if let status = filter.status, !status.isTerminal { candidates = activeJobs }
    if let user = filter.userID, (jobsByUser[user]?.count ?? 0) < candidates?.count ?? .max {
      candidates = jobsByUser[user] ?? []
    }
    let page = pick(
      candidates, from: jobOrder, before: start, limit: limit, created: { jobs[$0]?.job.createRevision },
      where: matches)
    return Page(
      items: page.keys.compactMap { jobs[$0] },
      nextToken: page.hasMore ? page.last.map(PageToken.text(of:)) : nil)
  }

  /// Lists runs, newest first. Pages are stable: a run that exists throughout is on exactly one.
  public func listRuns(
    _ filter: RunFilter, after token: String?, limit: Int
  ) throws -> Page<Versioned<RunRecord>> {
    let start = try token.map(PageToken.run(parsing:))
    func matches(_ key: RunKey) -> Bool {
      guard let run = runs[key]?.record else { return false }
      if let namespace = filter.namespace, key.job.namespace != namespace { return false }
      if let jobID = filter.jobID, key.job.jobID != jobID { return false }
      if let state = filter.state, run.state != state { return false }
      if let status = filter.status, run.state.status != status { return false }
      if let worker = filter.workerID, !run.attempts.contains(where: { $0.agent.agentID == worker }) {
        return false
      }
      return true
    }
    var candidates: Set<RunKey>?
    if let namespace = filter.namespace, let jobID = filter.jobID {
      let job = JobKey(namespace: namespace, jobID: jobID)
      candidates = Set((jobs[job]?.runIDs ?? []).map { RunKey(job: job, runID: $0) })
    } else if filter.state.map({ !$0.isTerminal }) ?? filter.status.map({ !$0.isTerminal }) ?? false {
      candidates = activeRuns
    }
    let page = pick(
      candidates, from: runOrder, before: start, limit: limit, created: { runs[$0]?.createRevision },
      where: matches)
    return Page(
      items: page.keys.compactMap { runs[$0] },
      nextToken: page.hasMore ? page.last.map(PageToken.text(of:)) : nil)
  }

  private struct Picked<Key: Hashable & Comparable & Sendable> {
    var keys: [Key] = []
    var last: AgeOrder<Key>.Place?
    var hasMore = false
  }

  /// The newest matching keys older than `limit`, among `candidates` where an index gave them.
  private func pick<Key: Hashable & Comparable & Sendable>(
    _ candidates: Set<Key>?, from order: AgeOrder<Key>, before start: AgeOrder<Key>.Place?, limit: Int,
    created: (Key) -> Int64?, where matches: (Key) -> Bool
  ) -> Picked<Key> {
    var picked = Picked<Key>()
    func take(_ place: AgeOrder<Key>.Place) -> Bool {
      guard matches(place.key) else { return true }
      if picked.keys.count == limit {
        picked.hasMore = true
        return false
      }
      picked.keys.append(place.key)
      picked.last = place
      return true
    }
    guard let candidates else {
      order.visitNewestFirst(before: start, take)
      return picked
    }
    let places = candidates.compactMap { key in
      created(key).map { AgeOrder<Key>.Place(createRevision: $0, key: key) }
    }
    for place in places.sorted(by: >) where start.map({ place < $0 }) ?? true {
      if !take(place) { break }
    }
    return picked
  }
}

/// Page tokens: the place of the last item, `<create revision>/<key>`. They hold nothing secret and
/// a forged one can only start a listing elsewhere.
enum PageToken {
  static func text(of place: AgeOrder<JobKey>.Place) -> String {
    "\(place.createRevision)/\(place.key.namespace)/\(place.key.jobID)"
  }

  static func text(of place: AgeOrder<RunKey>.Place) -> String {
    "\(place.createRevision)/\(place.key.job.namespace)/\(place.key.job.jobID)/\(place.key.runID)"
  }

  static func job(parsing token: String) throws -> AgeOrder<JobKey>.Place {
    let (revision, names) = try parts(token, count: 2)
    return .init(createRevision: revision, key: JobKey(namespace: names[0], jobID: names[1]))
  }

  static func run(parsing token: String) throws -> AgeOrder<RunKey>.Place {
    let (revision, names) = try parts(token, count: 3)
    let job = JobKey(namespace: names[0], jobID: names[1])
    return .init(createRevision: revision, key: RunKey(job: job, runID: names[2]))
  }

  private static func parts(_ token: String, count: Int) throws -> (Int64, [String]) {
    let parts = token.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == count + 1, let revision = Int64(parts[0]), revision > 0,
      parts.dropFirst().allSatisfy(Identifier.isValid)
    else { throw InvalidPageToken() }
    return (revision, Array(parts.dropFirst()))
  }
}
