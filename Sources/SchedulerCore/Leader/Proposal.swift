/// A change of the cluster's state that holds only if its guards do, all in one etcd transaction.
public struct Proposal: Hashable, Sendable {
  /// What must be true at commit.
  public var guards: [Guard]
  /// What is written.
  public var writes: [Write]

  /// Makes a proposal.
  public init(guards: [Guard], writes: [Write]) {
    self.guards = guards
    self.writes = writes
  }

  /// A condition on one key.
  public enum Guard: Hashable, Sendable {
    /// The proposer still leads: its candidate key is the one that it was elected with.
    case leads(LeaderEpoch)
    /// The run's record is the one that the proposal was made from.
    case runUnchanged(RunKey, modRevision: Int64)
    /// There is no such run.
    case runAbsent(RunKey)
    /// The job's record is the one that the proposal was made from.
    case jobUnchanged(JobKey, modRevision: Int64)
    /// There is no such job.
    case jobAbsent(JobKey)
    /// The incarnation holds its lease.
    case agentPresent(Incarnation)
    /// The incarnation's key is gone, or another incarnation has it.
    case agentGone(Incarnation)
    /// The segment's owner is the one of that `modRevision`: the epoch of the owner who writes; 0 where it has
    /// none.
    case segmentUnchanged(Int, modRevision: Int64)
    /// The server's key hangs on this lease, so the lease exists: etcd 3.4 must never come to attach a key to a lease
    /// that is gone within a transaction, for it stops with a panic.
    case serverPresent(String, lease: Int64)
    /// The calendar's record is the one that the proposal was made from; 0 where there is none.
    case calendarUnchanged(CalendarKey, modRevision: Int64)
    /// The queue's record is the one that the proposal was made from; 0 where there is none.
    case queueUnchanged(String, modRevision: Int64)
    /// The record of a concurrency group's object is the one that the proposal was made from; 0 where there is none.
    case groupUnchanged(GroupKey, modRevision: Int64)
    /// The backfill's record is the one that the proposal was made from; 0 where there is none.
    case backfillUnchanged(BackfillKey, modRevision: Int64)
    /// There is no such alert.
    case alertAbsent(AlertKey)
    /// The agent's drain is the one that the proposal was made from; 0 where it is not drained.
    case drainUnchanged(String, modRevision: Int64)
    /// The quota of a namespace is the one that the proposal was made from; 0 where it has none.
    case quotaUnchanged(String, modRevision: Int64)
  }

  /// A change of one key.
  public enum Write: Hashable, Sendable {
    /// Writes a run's record.
    case run(RunRecord)
    /// Writes a job's record.
    case job(JobRecord)
    /// Writes a run's checkpoint.
    case checkpoint(RunKey, CheckpointRecord)
    /// Deletes a run's checkpoint.
    case deleteCheckpoint(RunKey)
    /// Deletes a run.
    case deleteRun(RunKey)
    /// Deletes a job.
    case deleteJob(JobKey)
    /// Keeps what a job was.
    case version(VersionRecord)
    /// Deletes an earlier version of a job.
    case deleteVersion(VersionKey)
    /// Gives a segment to a server, until that lease of the server's lapses.
    case segment(Int, SegmentRecord, lease: Int64)
    /// Writes a calendar.
    case calendar(CalendarRecord)
    /// Deletes a calendar.
    case deleteCalendar(CalendarKey)
    /// Writes a queue.
    case queue(QueueRecord)
    /// Deletes a queue.
    case deleteQueue(String)
    /// Writes the object of a concurrency group.
    case group(GroupRecord)
    /// Deletes the object of a concurrency group.
    case deleteGroup(GroupKey)
    /// Writes a backfill.
    case backfill(BackfillRecord)
    /// Deletes a backfill.
    case deleteBackfill(BackfillKey)
    /// Writes an alert.
    case alert(AlertRecord)
    /// Deletes an alert.
    case deleteAlert(AlertKey)
    /// Drains an agent.
    case drain(String, DrainRecord)
    /// Takes an agent's drain back.
    case deleteDrain(String)
    /// Writes a quota.
    case quota(QuotaRecord)
    /// Deletes the quota of a namespace.
    case deleteQuota(String)
  }
}

/// A term of leadership: the candidate key and the revision at which it was created. Every write of
/// a leader proves it, so that a deposed one can write nothing.
public struct LeaderEpoch: Hashable, Sendable {
  /// The lease, which names the key.
  public var lease: Int64
  /// The create revision: higher for each later leader.
  public var createRevision: Int64

  /// Makes an epoch.
  public init(lease: Int64, createRevision: Int64) {
    self.lease = lease
    self.createRevision = createRevision
  }
}

/// What became of a proposal.
public enum ProposalOutcome: Hashable, Sendable {
  /// It is durable; the cache has been told.
  case committed
  /// A guard did not hold and nothing was written; the cache has been told what is there.
  case conflict
  /// Nothing was written for another reason: try again later.
  case refused(String)
}
