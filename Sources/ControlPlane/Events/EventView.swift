import EtcdClient
import Proto
import SchedulerCore

/// Turns changes of keys into what a stream has asked for.
struct EventView: Sendable {
  let request: WatchEventsRequest
  let replica: Replica
  let decoder: RecordDecoder

  private typealias Change = WatchEventsResponse.Change

  /// What happened to one key, before it is known how its job stands.
  private enum Draft {
    case ready(Change)
    case job(JobRecord, createRevision: Int64, modRevision: Int64)
    /// A run of the job has changed, and only jobs are asked for.
    case touched(JobKey, revision: Int64)
  }

  /// The changes among events, in their order. What cannot be read is left out, as everywhere.
  func changes(in events: [WatchEvent]) async -> [WatchEventsResponse.Change] {
    var drafts: [Draft] = []
    var keys = Set<JobKey>()
    for event in events {
      guard let draft = draft(of: event) else { continue }
      drafts.append(draft)
      switch draft {
      case .job(let record, _, _): keys.insert(record.key)
      case .touched(let key, _): keys.insert(key)
      case .ready: break
      }
    }
    guard !keys.isEmpty else { return drafts.compactMap { finished($0, [:]) } }
    let standing = await replica.standing(of: keys)
    return withoutRepeats(drafts).compactMap { finished($0, standing) }
  }

  private func draft(of event: WatchEvent) -> Draft? {
    let (key, revision) = (decoder.keyspace.parse(event.kv.key), event.kv.modRevision)
    switch key {
    case .job(let job):
      guard request.jobs, covers(job) else { return nil }
      if event.kind == .delete { return .ready(Change(.removedJob(job), revision: revision)) }
      guard case .job(_, let value?) = decoder.change(for: event.kv, key) else { return nil }
      return .job(value.record, createRevision: value.createRevision, modRevision: revision)
    case .run(let run):
      guard covers(run.job) else { return nil }
      guard request.runs else { return .touched(run.job, revision: revision) }
      if event.kind == .delete { return .ready(Change(.removedRun(run), revision: revision)) }
      guard case .run(_, let value?) = decoder.change(for: event.kv, key) else { return nil }
      return .ready(Change(.run(RunView(record: value.record, revision: revision)), revision: revision))
    case .meta, .leader, .server, .agent, .segment, .calendar, .queue, .backfill, .drain, .group, .quota,
      .other:
      return nil
    }
  }

  private func covers(_ job: JobKey) -> Bool {
    (request.namespace == nil || request.namespace == job.namespace)
      && (request.jobID == nil || request.jobID == job.jobID)
  }

  /// Of several changes of a job's runs, the last says it all: the job is told as it stands now.
  private func withoutRepeats(_ drafts: [Draft]) -> [Draft] {
    var last: [JobKey: Int] = [:]
    for (index, draft) in drafts.enumerated() {
      if case .touched(let key, _) = draft { last[key] = index }
    }
    guard !last.isEmpty else { return drafts }
    return drafts.enumerated().filter { index, draft in
      if case .touched(let key, _) = draft { last[key] == index } else { true }
    }.map(\.element)
  }

  private func finished(_ draft: Draft, _ standing: [JobKey: StandingJob]) -> WatchEventsResponse.Change? {
    switch draft {
    case .ready(let change): return change
    case .touched(let key, let revision):
      // A job that is gone is told of by its removal.
      return standing[key].map { Change(.job($0.view), revision: revision) }
    case .job(let record, let createRevision, let modRevision):
      let same = standing[record.key].flatMap { $0.createRevision == createRevision ? $0.view.status : nil }
      let status = same ?? (record.cancelRequestedAt == nil ? .pending : .cancelled)
      return Change(
        .job(JobView(record: record, status: status, revision: modRevision)), revision: modRevision)
    }
  }
}
