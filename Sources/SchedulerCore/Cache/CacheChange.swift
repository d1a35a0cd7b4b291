/// A change of one key, decoded: a watch event, an entry of a listing, or one's own commit.
public enum CacheChange: Sendable {
  /// A job was written, or deleted where nil.
  case job(JobKey, Versioned<JobRecord>?)
  /// A job was listed: packed at once, since nothing is likely to happen to it soon.
  case listedJob(JobKey, Versioned<PackedJob>)
  /// A run was written, or deleted where nil.
  case run(RunKey, Versioned<RunRecord>?)
  /// An agent's key was written, or is gone where nil.
  case agent(String, Versioned<AgentRecord>?)
  /// A server's key was written, or is gone where nil.
  case server(String, Versioned<ServerRecord>?)
  /// A candidate's key was written, or is gone where nil.
  case leader(lease: Int64, Versioned<ServerRecord>?)
  /// A segment has another owner, or none where nil.
  case segment(Int, Versioned<SegmentRecord>?)
  /// The object of a concurrency group was written, or deleted where nil.
  case group(GroupKey, Versioned<GroupRecord>?)
  /// A calendar was written, or deleted where nil.
  case calendar(CalendarKey, Versioned<CalendarRecord>?)
  /// A queue was put or paused, or deleted where nil.
  case queue(String, Versioned<QueueRecord>?)
  /// A backfill was written, or deleted where nil.
  case backfill(BackfillKey, Versioned<BackfillRecord>?)
  /// An agent is drained, or not any more where nil.
  case drain(String, Versioned<DrainRecord>?)
  /// The quota of a namespace was written, or deleted where nil.
  case quota(String, Versioned<QuotaRecord>?)
}

extension CacheChange {
  /// The record's own revision; nil for a deletion.
  public var modRevision: Int64? {
    switch self {
    case .job(_, let value): value?.modRevision
    case .listedJob(_, let value): value.modRevision
    case .run(_, let value): value?.modRevision
    case .agent(_, let value): value?.modRevision
    case .server(_, let value): value?.modRevision
    case .leader(_, let value): value?.modRevision
    case .segment(_, let value): value?.modRevision
    case .calendar(_, let value): value?.modRevision
    case .queue(_, let value): value?.modRevision
    case .group(_, let value): value?.modRevision
    case .backfill(_, let value): value?.modRevision
    case .drain(_, let value): value?.modRevision
    case .quota(_, let value): value?.modRevision
    }
  }

  /// The key that it deletes; nil when it writes one.
  var deletedKey: ParsedKey? {
    switch self {
    case .job(let key, nil): .job(key)
    case .run(let key, nil): .run(key)
    case .agent(let id, nil): .agent(id)
    case .server(let id, nil): .server(id)
    case .leader(let lease, nil): .leader(lease: lease)
    case .segment(let number, nil): .segment(number)
    case .calendar(let key, nil): .calendar(key)
    case .queue(let name, nil): .queue(name)
    case .group(let key, nil): .group(key)
    case .backfill(let key, nil): .backfill(key)
    case .drain(let id, nil): .drain(id)
    case .quota(let namespace, nil): .quota(namespace)
    case .job, .listedJob, .run, .agent, .server, .leader, .segment, .calendar, .queue, .backfill, .group,
      .drain, .quota:
      nil
    }
  }
}
