import EtcdClient
import Proto
import SchedulerCore
import Testing

@testable import ControlPlane

private let key = JobKey(namespace: "default", jobID: "j")

/// A job that is due each hour.
private func hourly(overlap: OverlapPolicy = .allow, calendars: [String] = []) -> SubmitRequest {
  var spec = JobSpec(task: .noop)
  var schedule = Schedule(.cron("0 * * * *"))
  schedule.calendars = calendars
  spec.schedules = [schedule]
  spec.overlap = overlap
  return SubmitRequest(jobID: key.jobID, spec: spec)
}

private func error(of body: () async throws -> Void) async -> ServiceError? {
  do {
    try await body()
    return nil
  } catch {
    return error as? ServiceError
  }
}

@Suite struct JobControlTests {
  @Test func `a scheduled job is stored with its states and its next run`() async throws {
    try await withReplica { server in
      let before = Timestamp.now()
      let view = try await server.jobs.submit(hourly()).job
      #expect(view.runs.isEmpty && view.status == .pending && view.generation == 1)
      #expect(view.scheduleStates.count == 1)
      let next = try #require(view.nextRunTime)
      #expect(next > before && next.milliseconds.isMultiple(of: 3_600_000))
    }
  }

  @Test func `schedules that nothing comes of are refused`() async throws {
    try await withReplica { server in
      var request = hourly()
      request.spec.schedules[0].endTime = Timestamp(milliseconds: 1)
      let refused = await error { _ = try await server.jobs.submit(request) }
      #expect(refused?.kind == .invalid && refused?.field == "schedules")
      let nowhere = await error { _ = try await server.jobs.submit(hourly(calendars: ["c"])) }
      #expect(nowhere?.field == "schedules[0].calendars[0]")
    }
  }

  /// A leader that removes the job compares the job's revision: it may not have heard of the backfill.
  @Test func `a backfill begins with a write of its job`() async throws {
    try await withReplica { server in
      _ = try await server.jobs.submit(hourly())
      let before = try #require(await server.replica.cache.jobs[key]?.job)
      let hour: Int64 = 3_600_000
      let started = try await server.backfills.create(
        CreateBackfillRequest(
          job: key, from: .now().adding(milliseconds: -3 * hour), to: .now().adding(milliseconds: -hour)))
      #expect(started.occurrences == 2)
      let after = try #require(await server.replica.cache.jobs[key]?.job)
      #expect(after.modRevision > before.modRevision && after.record == before.record)
      let removal = Proposal(
        guards: [.jobUnchanged(key, modRevision: before.modRevision)], writes: [.deleteJob(key)])
      guard case .conflict = await server.pipeline.commit(server.keyspace.change(for: removal)) else {
        Issue.record("the job was removed without its backfill")
        return
      }
    }
  }

  @Test func `a change whose answer was lost is made once`() async throws {
    try await withReplica { server in
      let before = try await server.jobs.submit(hourly()).job
      server.store.inject(.loseResponse, on: [.txn])
      let skipped = try await server.jobs.skipNext(SkipNextRequest(key: key))
      #expect(skipped.skips.count == 1)
      #expect(skipped.nextRunTime == before.nextRunTime?.adding(milliseconds: 3_600_000))
      server.store.inject(.loseResponse, on: [.txn])
      let run = try await server.jobs.trigger(TriggerJobRequest(key: key))
      server.store.inject(.loseResponse, on: [.txn])
      let other = try await server.jobs.trigger(TriggerJobRequest(key: key, idempotencyKey: "k"))
      let again = try await server.jobs.trigger(TriggerJobRequest(key: key, idempotencyKey: "k"))
      #expect(again.record.key == other.record.key)
      let runs = try await server.jobs.get(key).runs.map(\.record.key)
      #expect(Set(runs) == [run.record.key, other.record.key] && runs.count == 2)
    }
  }

  @Test func `triggers of one moment are runs of their own, from any server`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { first in
      try await withReplica(store) { second in
        _ = try await first.jobs.submit(hourly())
        let runs = try await withThrowingTaskGroup(of: RunView.self) { group in
          for number in 0..<12 {
            let jobs = number.isMultiple(of: 2) ? first.jobs : second.jobs
            group.addTask { try await jobs.trigger(TriggerJobRequest(key: key)) }
          }
          return try await group.reduce(into: Set<RunKey>()) { $0.insert($1.record.key) }
        }
        #expect(runs.count == 12)
        #expect(try await second.jobs.get(key).runs.count == 12)
      }
    }
  }

  @Test func `of triggers at the same time one wins where runs may not overlap`() async throws {
    let store = FakeEtcd()
    try await withReplica(store) { first in
      try await withReplica(store) { second in
        _ = try await first.jobs.submit(hourly(overlap: .forbid))
        let outcomes = await withTaskGroup(of: ServiceError.Kind?.self) { group in
          for number in 0..<8 {
            let jobs = number.isMultiple(of: 2) ? first.jobs : second.jobs
            group.addTask {
              await error { _ = try await jobs.trigger(TriggerJobRequest(key: key)) }?.kind
            }
          }
          return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(outcomes.count { $0 == nil } == 1)
        #expect(outcomes.allSatisfy { $0 == nil || $0 == .failedPrecondition })
        #expect(try await first.jobs.get(key).runs.count == 1)
      }
    }
  }

  @Test func `a stale etag is refused, whatever the update would come to`() async throws {
    try await withReplica { server in
      let job = try await server.jobs.submit(hourly()).job
      var spec = job.spec
      spec.priority = 7
      let update = UpdateJobRequest(key: key, spec: spec, ifMatch: job.etag)
      let changed = try await server.jobs.update(update)
      #expect(changed.generation == 2 && changed.scheduleStates == job.scheduleStates)
      // Two who count up from the same number must not both be told that they did.
      #expect(await error { _ = try await server.jobs.update(update) }?.kind == .stale)
      #expect(try await server.jobs.update(UpdateJobRequest(key: key, spec: spec)) == changed)
      spec.priority = 8
      let stale = await error {
        _ = try await server.jobs.update(UpdateJobRequest(key: key, spec: spec, ifMatch: job.etag))
      }
      #expect(stale?.kind == .stale && stale?.message.contains(changed.etag) == true)
      #expect(try await server.jobs.get(key) == changed)
    }
  }

  @Test func `a paused job can be triggered, a cancelled one not`() async throws {
    try await withReplica { server in
      _ = try await server.jobs.submit(hourly())
      let paused = try await server.jobs.pause(PauseJobRequest(key: key, note: "why"))
      #expect(paused.pausedAt != nil && paused.pauseNote == "why" && paused.status == .pending)
      let run = try await server.jobs.trigger(TriggerJobRequest(key: key, params: ["a": "1"]))
      #expect(run.record.trigger == .manual && run.record.params == ["a": "1"])
      _ = try await server.jobs.resume(ResumeJobRequest(key: key))
      _ = try await server.jobs.cancel(key, reason: nil)
      for attempt: () async throws -> Void in [
        { _ = try await server.jobs.trigger(TriggerJobRequest(key: key)) },
        { _ = try await server.jobs.pause(PauseJobRequest(key: key)) },
        { _ = try await server.jobs.skipNext(SkipNextRequest(key: key)) },
      ] {
        #expect(await error(of: attempt)?.kind == .failedPrecondition)
      }
    }
  }

  @Test func `a job to be deleted is cancelled as well, once`() async throws {
    try await withReplica { server in
      _ = try await server.jobs.submit(hourly())
      let deleted = try await server.jobs.delete(DeleteJobRequest(key: key))
      #expect(deleted.deleteRequestedAt != nil && deleted.cancelRequestedAt == deleted.deleteRequestedAt)
      #expect(deleted.nextRunTime == nil)
      #expect(try await server.jobs.delete(DeleteJobRequest(key: key)).revision == deleted.revision)
      let refused = await error {
        _ = try await server.jobs.update(UpdateJobRequest(key: key, spec: JobSpec(task: .noop)))
      }
      #expect(refused?.kind == .failedPrecondition && refused?.message.contains("deleted") == true)
    }
  }
}

@Suite struct CalendarServiceTests {
  private static func spec(_ days: String...) -> CalendarSpec {
    var spec = CalendarSpec()
    spec.days = days
    return spec
  }

  private static func name(_ name: String, _ namespace: String = "default") -> CalendarKey {
    CalendarKey(namespace: namespace, name: name)
  }

  @Test func `calendars are created, changed by their etags, and deleted when nobody names them`()
    async throws
  {
    try await withReplica { server in
      let calendars = server.calendars
      let name = Self.name("c")
      let made = try await calendars.put(PutCalendarRequest(key: name, spec: Self.spec("12-25")))
      #expect(made.isNew && made.view.record.generation == 1)
      let etag = made.view.etag
      let put = PutCalendarRequest(key: name, spec: Self.spec("12-26"), ifMatch: etag)
      let changed = try await calendars.put(put)
      #expect(!changed.isNew && changed.view.record.generation == 2 && changed.view.etag != etag)
      #expect(await error { _ = try await calendars.put(put) }?.kind == .stale)
      let again = PutCalendarRequest(key: name, spec: Self.spec("12-26"))
      #expect(try await calendars.put(again).view == changed.view, "as it was")
      let stale = PutCalendarRequest(key: name, spec: Self.spec("sat"), ifMatch: etag)
      #expect(await error { _ = try await calendars.put(stale) }?.kind == .stale)
      #expect(try await calendars.get(name) == changed.view)

      _ = try await server.jobs.submit(hourly(calendars: ["c"]))
      let used = await error { try await calendars.delete(DeleteCalendarRequest(key: name)) }
      #expect(used?.kind == .failedPrecondition && used?.message.contains("'j'") == true)
      _ = try await server.jobs.cancel(key, reason: nil)
      try await calendars.delete(DeleteCalendarRequest(key: name, ifMatch: changed.view.etag))
      #expect(await error { _ = try await calendars.get(name) }?.kind == .notFound)
      let nothing = PutCalendarRequest(key: name, spec: Self.spec(), ifMatch: "*")
      #expect(await error { _ = try await calendars.put(nothing) }?.kind == .stale)
    }
  }

  @Test func `pages are by namespace and name`() async throws {
    try await withReplica { server in
      let keys = [Self.name("b"), Self.name("a", "team"), Self.name("a"), Self.name("c")]
      for key in keys {
        _ = try await server.calendars.put(PutCalendarRequest(key: key, spec: Self.spec("sun")))
      }
      var seen: [CalendarKey] = []
      var token: String?
      repeat {
        let page = try await server.calendars.list(ListCalendarsRequest(pageSize: 3, pageToken: token))
        seen += page.calendars.map(\.record.key)
        token = page.nextPageToken
      } while token != nil
      #expect(seen == keys.sorted())
      let team = try await server.calendars.list(ListCalendarsRequest(namespace: "team"))
      #expect(team.calendars.map(\.record.key) == [Self.name("a", "team")])
      for token in ["x", "A/b", "a/b/c", "/"] {
        let forged = ListCalendarsRequest(pageToken: token)
        #expect(await error { _ = try await server.calendars.list(forged) }?.field == "page_token")
      }
    }
  }
}
