/// Judges by what servers report of themselves how many segments each may have: none while its clock is off, fewer
/// while it is overloaded. Slow to judge, so that segments do not go to and fro.
struct ServerJudge: Sendable {
  /// Bounds.
  enum Limits {
    /// How far a server's clock may be off the median of all.
    static let skewMillis: Int64 = 5_000
    /// Of fewer servers nobody can say whose clock is wrong.
    static let serversForSkew = 3
    /// How old a report may be that a new leader finds: servers report at least so often.
    static let reportAgeMillis: Int64 = 10_000
    /// The median of lateness, and the occurrences that are due and not decided, below which no server is overloaded.
    /// Of the lateness the median, since some runs are late whenever segments have moved; and that says something only
    /// of so many runs.
    static let latenessMillis: Int64 = 1_000
    static let firesForLateness = 100
    static let overdue = 1_000
    /// How many times as bad as the median of the others an overloaded server is.
    static let factor = 4
    /// Bad reports in a row after which a server has to give segments away.
    static let badReports = 3
    /// What it gives away at a time and gets back at a time, and what is left to it in any case.
    static let shareStep = SegmentPlanner.fullShare / 4
    static let leastShare = SegmentPlanner.fullShare / 4
    /// The least time between two steps down, and how long a server has to do well before it gets something back.
    static let stepDownMillis: Int64 = 30_000
    static let stepUpMillis: Int64 = 60_000
  }

  private struct Standing {
    var figures: ServerFigures
    /// The server's clock minus this one's, as the last report tells: too small by the time that it took.
    var offsetMillis: Int64
    /// The number of the last report; 0 of one that an earlier leader has seen come.
    var report: Int
    /// The number of the report from which on its clock has been off.
    var offSince: Int?
    var isSkewed = false
    var badReports = 0
    var share = SegmentPlanner.fullShare
    var lastStep: Timestamp?
    var lastBad: Timestamp?
  }

  private var servers: [String: Standing] = [:]
  private var reports = 0

  /// Takes in what servers said to an earlier leader. Their clocks are compared with each other's, since nobody knows
  /// how old the reports are: a clock that is off by more than their age can explain is off.
  mutating func assume(_ figures: [(id: String, figures: ServerFigures)], now: Timestamp) {
    for (id, figures) in figures {
      let offset = figures.reportedAt.milliseconds - now.milliseconds
      servers[id] = Standing(figures: figures, offsetMillis: offset, report: 0)
    }
    for id in figures.map(\.id) where isOff(id) { servers[id]?.isSkewed = true }
  }

  /// Takes in what a server has just said. Only what the watch brings at once may be told here: of an old record
  /// the age would pass for a clock that is behind.
  mutating func reported(_ id: String, _ figures: ServerFigures, now: Timestamp) {
    guard servers[id]?.figures.reportedAt != figures.reportedAt else { return }
    reports += 1
    let offset = figures.reportedAt.milliseconds - now.milliseconds
    let isNew = servers[id] == nil
    var standing = servers[id] ?? Standing(figures: figures, offsetMillis: offset, report: reports)
    standing.figures = figures
    standing.offsetMillis = offset
    standing.report = reports
    servers[id] = standing
    judgeClock(of: id, isNew: isNew)
    judgeLoad(of: id, now: now)
  }

  /// The server is gone.
  mutating func forget(_ id: String) {
    servers[id] = nil
    // Of those that are left none is right, so none is wrong.
    guard servers.values.allSatisfy(\.isSkewed) else { return }
    for id in servers.keys { servers[id]?.isSkewed = false }
  }

  /// How many segments a server may have, out of `SegmentPlanner.fullShare`.
  func share(of id: String) -> Int {
    servers[id].map { $0.isSkewed ? 0 : $0.share } ?? SegmentPlanner.fullShare
  }

  /// Why a server has fewer segments than others; nil when it does not.
  func heldBack(_ id: String) -> String? {
    guard let standing = servers[id] else { return nil }
    if standing.isSkewed {
      return "its clock is \(abs(skewMillis(of: id) ?? 0)) ms off the other servers'; it gets no segments"
    }
    guard standing.share < SegmentPlanner.fullShare else { return nil }
    return
      "it is later than the other servers; it gets \(standing.share * 100 / SegmentPlanner.fullShare)% of a share"
  }

  /// A server's clock minus this one's, milliseconds.
  func offsetMillis(of id: String) -> Int64? { servers[id]?.offsetMillis }

  /// How far a server's clock is off the median of all, milliseconds; nil while too few have reported.
  func skewMillis(of id: String) -> Int64? {
    guard servers.count >= Limits.serversForSkew, let offset = servers[id]?.offsetMillis else { return nil }
    return offset - Self.median(servers.values.map(\.offsetMillis))
  }

  // MARK: Clocks

  /// A new server is judged by its first report, since it would fire with a wrong clock at once. Another one has
  /// to be off until everybody has reported again: when it is the leader's own clock that was set, all are off.
  private mutating func judgeClock(of id: String, isNew: Bool) {
    guard isOff(id) else {
      servers[id]?.offSince = nil
      servers[id]?.isSkewed = false
      return
    }
    if isNew { servers[id]?.isSkewed = true }
    guard let since = servers[id]?.offSince else {
      servers[id]?.offSince = reports
      return
    }
    if servers.values.allSatisfy({ $0.report >= since }) { servers[id]?.isSkewed = true }
  }

  /// Whether a clock is off. Two servers cannot say who is right; but of those that are left one that was wrong before
  /// stays so, until it goes as the others do.
  private func isOff(_ id: String) -> Bool {
    guard let own = servers[id] else { return false }
    // Where the age of a report is not known, it passes for a clock that is behind.
    let age = servers.values.contains { $0.report == 0 } ? Limits.reportAgeMillis : 0
    if let skew = skewMillis(of: id) { return abs(skew) > Limits.skewMillis + age }
    let others = servers.filter { $0.key != id && !$0.value.isSkewed }.map(\.value.offsetMillis)
    return own.isSkewed && !others.isEmpty
      && abs(own.offsetMillis - Self.median(others)) > Limits.skewMillis + age
  }

  // MARK: Load

  private mutating func judgeLoad(of id: String, now: Timestamp) {
    guard var standing = servers[id] else { return }
    if isLate(id) {
      standing.badReports += 1
      standing.lastBad = now
      let mayStep = standing.lastStep.map { $0.adding(milliseconds: Limits.stepDownMillis) <= now } ?? true
      if standing.badReports >= Limits.badReports, mayStep, standing.share > Limits.leastShare {
        standing.share -= Limits.shareStep
        standing.lastStep = now
        standing.badReports = 0
      }
    } else {
      standing.badReports = 0
      let since = [standing.lastBad, standing.lastStep].compactMap { $0 }.max()
      if standing.share < SegmentPlanner.fullShare,
        since.map({ $0.adding(milliseconds: Limits.stepUpMillis) <= now }) ?? true
      {
        standing.share += Limits.shareStep
        standing.lastStep = now
      }
    }
    servers[id] = standing
  }

  /// Whether a server is far behind the others.
  private func isLate(_ id: String) -> Bool {
    let others = servers.filter { $0.key != id }.values.map(\.figures)
    guard let own = servers[id]?.figures, !others.isEmpty else { return false }
    let lateness = max(
      Limits.latenessMillis, Self.median(others.map(\.latenessP50Millis)) * Int64(Limits.factor))
    let overdue = max(Limits.overdue, Self.median(others.map(\.overdue)) * Limits.factor)
    let isLate = own.latenessP50Millis > lateness && own.fires >= Limits.firesForLateness
    return isLate || own.overdue > overdue
  }

  private static func median<Number: BinaryInteger>(_ numbers: [Number]) -> Number {
    numbers.isEmpty ? 0 : numbers.sorted()[(numbers.count - 1) / 2]
  }
}
