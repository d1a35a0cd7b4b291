@testable import SchedulerCore

// Concurrency groups, `max_running` and `start_deadline` among the jobs of the simulation, and what must never come of
// them.

extension LeaderSimulation {
  /// How many runs of each group may be with agents at once: all jobs of a group agree, and of `g2` its own object says it.
  static let groupLimits = ["g0": 1, "g1": 2, "g2": 2]

  /// Limits that are kept in one place.
  mutating func putGroups() {
    let key = GroupKey(namespace: "default", name: "g2")
    let record = GroupRecord(key: key, spec: GroupSpec(limit: Self.groupLimits["g2"] ?? 1), createdAt: time)
    _ = etcd.commit([Proposal(guards: [.groupUnchanged(key, modRevision: 0)], writes: [.group(record)])])
  }

  /// What a submitted job says of how many at once, and how late.
  mutating func randomLimits(of spec: inout JobSpec) {
    if chance(25), let (name, limit) = Self.groupLimits.sorted(by: <).randomElement(using: &random) {
      let policy = Concurrency.WhenFull.allCases.randomElement(using: &random) ?? .wait
      spec.concurrency = Concurrency(
        key: name, limit: name == "g2" ? 9 : limit, whenFull: chance(60) ? .wait : policy)
    }
    if chance(15) { spec.maxRunning = 1 }
    if chance(10) { spec.startDeadlineMillis = Int64.random(in: 50...2_000, using: &random) }
  }
}

/// How many runs of each group, and of each job that limits its own, agents have by the records, and how many tasks run.
/// It reads records and specifications by itself.
struct LimitRules {
  private var owned: [String: Set<RunKey>] = [:]
  private var alive: [String: Set<RunKey>] = [:]
  /// Whether anything was ever full, and skipped, and made way: whether the stories are worth telling.
  private(set) var full = 0
  private(set) var skipped = 0
  private(set) var displaced = 0

  private static func places(of run: RunRecord, _ spec: JobSpec?) -> [(name: String, limit: Int)] {
    var places: [(String, Int)] = []
    if let group = run.group, let limit = LeaderSimulation.groupLimits[group] {
      places.append((group, limit))
    }
    if let most = spec?.maxRunning, most > 0 { places.append((run.key.job.jobID, most)) }
    return places
  }

  /// A run was written.
  mutating func written(_ run: RunRecord, after old: RunRecord?, _ spec: JobSpec?) -> [String] {
    var wrong: [String] = []
    for (name, limit) in Self.places(of: run, spec) {
      if run.state.isOwned {
        owned[name, default: []].insert(run.key)
        let count = owned[name]?.count ?? 0
        if count == limit { full += 1 }
        if count > limit { wrong.append("agents have \(count) runs of \(name), and \(limit) may be") }
      } else {
        owned[name]?.remove(run.key)
      }
    }
    if run.state == .skipped {
      skipped += 1
      wrong += violationsOfSkip(run, old, spec)
    }
    if run.message?.contains("made way") == true, run.state == .cancelled { displaced += 1 }
    return wrong
  }

  /// A run is skipped only before its first attempt, and when its time is over or its job does not wait.
  private func violationsOfSkip(_ run: RunRecord, _ old: RunRecord?, _ spec: JobSpec?) -> [String] {
    guard let spec else { return [] }
    var wrong: [String] = []
    if run.attempt != 0 || old?.state != .queued { wrong.append("skipped after it had begun") }
    let isLate = spec.startDeadlineMillis.map {
      run.finishedAt ?? run.createdAt >= min(run.createdAt, run.scheduledTime).adding(milliseconds: $0)
    }
    if isLate != true, spec.concurrency?.whenFull != .skip { wrong.append("skipped without a reason") }
    return wrong
  }

  mutating func started(_ run: RunRecord, _ spec: JobSpec?) -> [String] {
    Self.places(of: run, spec).compactMap { name, limit in
      alive[name, default: []].insert(run.key)
      let count = alive[name]?.count ?? 0
      return count > limit ? "\(count) tasks of \(name) run at once, and \(limit) may" : nil
    }
  }

  mutating func stopped(_ run: RunKey) {
    for name in alive.keys { alive[name]?.remove(run) }
  }
}
