import EtcdClient
import Logging
import Proto
import SchedulerCore

/// The care for etcd: compacts its history, keeps less of what has ended while space is short, and heals it when there is
/// none left. The leader's, but for what is urgent while nobody leads.
struct Housekeeping: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let metrics: ServerMetrics
  let board: StorageBoard
  /// The quota and the share of it that the server was told.
  let pressure: StoragePressure
  /// What is kept while there is space.
  let retention: LeaderMachine.Retention
  let logger: Logger

  /// Runs until the task is cancelled.
  func run() async {
    var care = Care(pressure: pressure)
    let clock = ContinuousClock()
    var nextLook = clock.now + ServerLimits.compactionInterval
    var led = false
    while !Task.isCancelled {
      try? await Task.sleep(for: ServerLimits.spaceCheckInterval)
      // A refused write tells of an alarm at once; etcd itself is asked seldom, for each question is a write of its log.
      let refusals = metrics.noSpaceErrors.current
      let isUrgent = (refusals != care.refusalsSeen || care.hasAlarm) && clock.now >= care.nextHealing
      let leads = await replica.leads
      if leads && !led { nextLook = clock.now }
      led = leads
      guard !Task.isCancelled, isUrgent || clock.now >= nextLook else { continue }
      guard await isMine(urgent: isUrgent) else {
        if !isUrgent { nextLook = clock.now + ServerLimits.compactionInterval }
        continue
      }
      care.refusalsSeen = refusals
      do throws(EtcdError) {
        try await look(&care)
      } catch {
        logger.warning("etcd could not be tidied; trying again later", metadata: ["error": "\(error)"])
      }
      let isShort = care.pressure.level > 0
      nextLook = clock.now + (isShort ? ServerLimits.shortageInterval : ServerLimits.compactionInterval)
    }
  }

  /// What it remembers from look to look.
  private struct Care {
    var pressure: StoragePressure
    var hasAlarm = false
    var refusalsSeen = 0
    /// Not before that is an alarm looked at again.
    var nextHealing = ContinuousClock.now
    /// The revision up to which history was gone when members were defragmented last.
    var defragmentedAt: Int64 = 0
  }

  /// Without space no lease can be granted, so there may be no leader to heal it: then any server does, after a while that
  /// is each one's own.
  private func isMine(urgent: Bool) async -> Bool {
    if await replica.leads { return true }
    guard urgent, await !replica.knowsLeader else { return false }
    try? await Task.sleep(for: ServerLimits.leaderlessPause * Double.random(in: 0.1...1))
    return await !replica.knowsLeader
  }

  private func look(_ care: inout Care) async throws(EtcdError) {
    let members = try await memberSizes()
    let sizes = members.sizes
    let alarms = try await store.alarms()
    for alarm in alarms where alarm.kind != .noSpace {
      logger.critical(
        "etcd has raised an alarm", metadata: ["alarm": "\(alarm.kind)", "member": "\(alarm.memberID)"])
    }
    let noSpace = alarms.filter { $0.kind == .noSpace }
    care.hasAlarm = !noSpace.isEmpty
    if care.hasAlarm { return try await heal(noSpace, members, &care) }
    let before = care.pressure.level
    // What is being removed shows in the sizes later: until then it is not known whether it is enough.
    if await !replica.isRemoving { care.pressure.look(sizes) }
    await apply(care.pressure, from: before)
    note(sizes, care.pressure, noSpace: false, message: message(of: care.pressure))
    try await compact(keeping: before > 0 ? ServerLimits.revisionsKeptInShortage : ServerLimits.revisionsKept)
    if care.pressure.callsForDefragmentation(sizes), mayDefragment(members) {
      logger.notice(
        "etcd's database is large and mostly free; defragmenting its members, one at a time",
        metadata: ["bytes": "\(sizes.total)", "in_use": "\(sizes.inUse)"])
      await defragment(members)
    }
  }

  /// A member stands still while it is defragmented. Where there is no other, that is worth it only while it is short.
  private func mayDefragment(_ members: [SizedMember]) -> Bool {
    members.count > 1 || members.sizes.total <= ServerLimits.soloDefragmentationBytes
  }

  // MARK: Retention

  private func apply(_ pressure: StoragePressure, from before: Int) async {
    await replica.keep(pressure.retention(of: retention))
    guard pressure.level != before else { return }
    logger.log(
      level: pressure.level > before ? .warning : .notice,
      pressure.level > before
        ? "etcd's space is short: what has ended is kept for less time"
        : "what has ended is kept for longer again",
      metadata: [
        "step": "\(pressure.level)", "minutes": "\(pressure.retention(of: retention).millis / 60_000)",
        "runs_per_job": "\(pressure.retention(of: retention).runsPerJob)",
      ])
  }

  private func message(of pressure: StoragePressure) -> String? {
    guard pressure.level > 0 else { return nil }
    let kept = pressure.retention(of: retention)
    return "space is short: what has ended is kept for \(DurationText.format(milliseconds: kept.millis)), "
      + "\(kept.runsPerJob) ended runs of a job; raise etcd's quota or keep less (--retention, --runs-kept)"
  }

  private func note(
    _ sizes: StoragePressure.Sizes, _ pressure: StoragePressure, noSpace: Bool, message: String?
  ) {
    metrics.databaseBytes.set(sizes.total)
    metrics.databaseBytesInUse.set(sizes.inUse)
    board.update { status in
      status.quotaBytes = pressure.quotaBytes
      status.databaseBytes = sizes.total
      status.databaseBytesInUse = sizes.inUse
      status.pressure = pressure.level
      status.noSpace = noSpace
      status.healed = Int64(metrics.noSpaceHealed.current)
      status.message = message
    }
  }

  // MARK: Healing

  /// Makes space and takes the alarm back. etcd takes deletions all the while.
  private func heal(
    _ alarms: [Alarm], _ members: [SizedMember], _ care: inout Care
  ) async throws(EtcdError) {
    let before = care.pressure.level
    care.pressure.alarm(members.sizes)
    logger.critical(
      "etcd has no space left and takes no writes: removing history, then compacting and defragmenting",
      metadata: ["bytes": "\(members.sizes.total)", "in_use": "\(members.sizes.inUse)"])
    note(members.sizes, care.pressure, noSpace: true, message: "no space is left; history is being removed")
    await apply(care.pressure, from: before)
    await waitForRemoval()
    let compacted = try await compactAll()
    // What has become free is counted with etcd's next commit.
    try? await Task.sleep(for: ServerLimits.removalPause)
    var sizes = try await memberSizes().sizes
    // Each member stands still while it is defragmented: only where that is enough, or may be. For bbolt counts pages as
    // free that a write after the compaction's has found so, and while the alarm is on there may be none.
    let mayBeEnough =
      care.pressure.allowsDisarming(StoragePressure.Sizes(total: sizes.inUse, inUse: sizes.inUse))
    if mayBeEnough || compacted > care.defragmentedAt {
      care.defragmentedAt = compacted
      note(sizes, care.pressure, noSpace: true, message: "no space is left; defragmenting etcd's members")
      await defragment(members)
      sizes = try await memberSizes().sizes
    }
    guard care.pressure.allowsDisarming(sizes) else {
      care.nextHealing = ContinuousClock.now + ServerLimits.healingPause
      let advice =
        "no space is left, and no more history is old enough to be removed now; raise etcd's quota "
        + "(--quota-backend-bytes)"
      logger.critical(
        "\(advice)", metadata: ["bytes": "\(sizes.inUse)", "quota": "\(care.pressure.quotaBytes)"])
      return note(sizes, care.pressure, noSpace: true, message: advice)
    }
    for alarm in alarms { try await store.disarm(alarm) }
    care.hasAlarm = false
    care.refusalsSeen = metrics.noSpaceErrors.current
    metrics.noSpaceHealed.add(1)
    logger.notice(
      "etcd takes writes again", metadata: ["bytes": "\(sizes.total)", "in_use": "\(sizes.inUse)"])
    note(sizes, care.pressure, noSpace: false, message: message(of: care.pressure))
  }

  /// Until the leader has removed all that is too old, or for so long.
  private func waitForRemoval() async {
    let end = ContinuousClock.now + ServerLimits.removalPatience
    repeat {
      try? await Task.sleep(for: ServerLimits.removalPause)
    } while await replica.isRemoving
      && ContinuousClock.now < end && !Task.isCancelled
  }

  private func compact(keeping revisions: Int64) async throws(EtcdError) {
    // What this server's own watch has not seen yet is never compacted away.
    try await compact(upTo: min(try await store.status().revision, await replica.revision) - revisions)
  }

  /// A watch that is behind lists again. This server's own may be, of all that others than Rota have written, and without
  /// space it gets no further: nothing of Rota's can be written.
  /// - Returns: The revision up to which all history is gone.
  private func compactAll() async throws(EtcdError) -> Int64 {
    let revision = try await store.status().revision
    try await compact(upTo: revision, physical: true)
    return revision
  }

  private func compact(upTo target: Int64, physical: Bool = false) async throws(EtcdError) {
    guard target > 0 else { return }
    do throws(EtcdError) {
      try await store.with(requestTimeout: ServerLimits.maintenancePatience).compact(
        revision: target, physical: physical)
    } catch  where error.code == .compacted {
      return  // Somebody else has been here.
    }
  }

  /// One member after the other, since each stands still meanwhile; the one that leads last.
  private func defragment(_ members: [SizedMember]) async {
    for member in members.sorted(by: { !$0.isLeader && $1.isLeader }) {
      do throws(EtcdError) {
        try await store.with(requestTimeout: ServerLimits.maintenancePatience).defragment(at: member.url)
      } catch {
        logger.warning(
          "a member of etcd could not be defragmented",
          metadata: ["member": "\(member.url)", "error": "\(error)"])
      }
    }
  }

  private func memberSizes() async throws(EtcdError) -> [SizedMember] {
    var members: [SizedMember] = []
    for member in try await store.members() {
      guard let url = member.clientURLs.first else { continue }
      do throws(EtcdError) {
        let status = try await store.with(requestTimeout: ServerLimits.memberPatience).status(at: url)
        members.append(
          SizedMember(
            url: url, isLeader: status.leader == member.id,
            sizes: StoragePressure.Sizes(total: status.dbSize, inUse: status.dbSizeInUse)))
      } catch {
        logger.info(
          "a member of etcd does not tell its size", metadata: ["member": "\(url)", "error": "\(error)"])
      }
    }
    return members
  }
}

/// A member of etcd that answers.
private struct SizedMember: Sendable {
  var url: String
  var isLeader: Bool
  var sizes: StoragePressure.Sizes
}

extension [SizedMember] {
  /// The largest of each.
  fileprivate var sizes: StoragePressure.Sizes {
    StoragePressure.Sizes(total: map(\.sizes.total).max() ?? 0, inUse: map(\.sizes.inUse).max() ?? 0)
  }
}
