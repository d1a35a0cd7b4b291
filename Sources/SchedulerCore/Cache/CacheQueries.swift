/// What a listing of jobs is asked for; nil means any.
public struct JobFilter: Hashable, Sendable {
  /// The namespace.
  public var namespace: String?
  /// The status.
  public var status: JobStatus?
  /// The user.
  public var userID: String?
  /// Labels that it has to have; empty means any.
  public var labels: [String: String]

  /// Makes a filter.
  public init(
    namespace: String? = nil, status: JobStatus? = nil, userID: String? = nil, labels: [String: String] = [:]
  ) {
    self.namespace = namespace
    self.status = status
    self.userID = userID
    self.labels = labels
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
  /// What an agent has promised to the attempts that are assigned to it.
  public func resourcesUsed(by agentID: String) -> Resources {
    var sum = ResourceAmounts()
    for key in runsByAgent[agentID] ?? [] {
      guard let resources = runs[key]?.record.attempts.last?.resources, !resources.isEmpty else { continue }
      sum += ResourceAmounts(resources)
    }
    return sum.resources
  }

  /// Lists jobs, newest first. Pages are stable: a job that exists throughout is on exactly one.
  public func listJobs(_ filter: JobFilter, after token: String?, limit: Int) throws -> Page<Job> {
    let start = try token.map(PageToken.job(parsing:))
    // The shortest of the orders that hold all that matches.
    var order = jobs.order
    if let status = filter.status, !status.isTerminal { order = jobs.activeOrder }
    if let user = filter.userID {
      let ofUser = jobs.order(ofUser: user)
      if ofUser.count < order.count { order = ofUser }
    }
    for label in filter.labels {
      let ofLabel = jobs.labels.order(of: label)
      if ofLabel.count < order.count { order = ofLabel }
    }
    var slots: [JobTable.Slot] = []
    var hasMore = false
    order.visitLastFirst(before: start.map { place in { jobs.isOlder($0, than: place) } }) { slot in
      guard matches(filter, slot) else { return true }
      hasMore = slots.count == limit
      if !hasMore { slots.append(slot) }
      return !hasMore
    }
    return Page(
      items: slots.compactMap { jobs[$0] },
      nextToken: hasMore ? slots.last.flatMap { jobs.place(of: $0) }.map(PageToken.text(of:)) : nil)
  }

  private func matches(_ filter: JobFilter, _ slot: JobTable.Slot) -> Bool {
    if let status = filter.status, jobs.facts(at: slot)?.status != status { return false }
    if let user = filter.userID, !jobs.isOf(user: user, slot) { return false }
    if let namespace = filter.namespace, !jobs.isIn(namespace, slot) { return false }
    return filter.labels.allSatisfy { jobs.labels.has($0, slot) }
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
      let runIDs = jobs.slot(of: job).map { jobs.runIDs(at: $0) } ?? []
      candidates = Set(runIDs.map { RunKey(job: job, runID: $0) })
    } else if filter.state.map({ !$0.isTerminal }) ?? filter.status.map({ !$0.isTerminal }) ?? false {
      candidates = activeRuns
    }
    var places: [AgePlace<RunKey>] = []
    var hasMore = false
    func take(_ place: AgePlace<RunKey>) -> Bool {
      guard matches(place.key) else { return true }
      hasMore = places.count == limit
      if !hasMore { places.append(place) }
      return !hasMore
    }
    if let candidates {
      let all = candidates.compactMap { key in
        runs[key].map { AgePlace(createRevision: $0.createRevision, key: key) }
      }
      for place in all.sorted(by: >) where start.map({ place < $0 }) ?? true {
        if !take(place) { break }
      }
    } else {
      runOrder.visitLastFirst(before: start.map { limit in { $0 < limit } }, take)
    }
    return Page(
      items: places.compactMap { runs[$0.key] },
      nextToken: hasMore ? places.last.map(PageToken.text(of:)) : nil)
  }
}

/// A place in a listing by age: the key decides between what one transaction created.
struct AgePlace<Key: Hashable & Comparable & Sendable>: Hashable, Comparable, Sendable {
  let createRevision: Int64
  let key: Key

  static func < (left: AgePlace, right: AgePlace) -> Bool {
    left.createRevision != right.createRevision
      ? left.createRevision < right.createRevision : left.key < right.key
  }
}

/// Page tokens: the place of the last item, `<create revision>/<key>`. They hold nothing secret and
/// a forged one can only start a listing elsewhere.
enum PageToken {
  static func text(of place: AgePlace<JobKey>) -> String {
    "\(place.createRevision)/\(place.key.namespace)/\(place.key.jobID)"
  }

  static func text(of place: AgePlace<RunKey>) -> String {
    "\(place.createRevision)/\(place.key.job.namespace)/\(place.key.job.jobID)/\(place.key.runID)"
  }

  static func job(parsing token: String) throws -> AgePlace<JobKey> {
    let (revision, names) = try parts(token, count: 2)
    return .init(createRevision: revision, key: JobKey(namespace: names[0], jobID: names[1]))
  }

  static func run(parsing token: String) throws -> AgePlace<RunKey> {
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
