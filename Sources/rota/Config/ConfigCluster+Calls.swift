import ConfigFiles
import Proto
import SchedulerCore

// What is called for each kind of object.

extension ConfigCluster {
  /// One object; nil where there is none.
  func object(_ key: ConfigKey) async throws -> ConfigObject? {
    switch key.kind {
    case .calendar:
      let request = GetCalendarRequest(key: CalendarKey(namespace: key.namespace, name: key.name))
      let calendar: CalendarView? = try await client.find("/rota.v1.Calendars/Get", request)
      return calendar.map(ConfigObject.init)
    case .group:
      let group: GroupView? = try await client.find(
        "/rota.v1.Groups/Get", GetGroupRequest(key: GroupKey(namespace: key.namespace, name: key.name)))
      return group.map(ConfigObject.init)
    case .quota:
      let quota: QuotaView? = try await client.find(
        "/rota.v1.Quotas/Get", GetQuotaRequest(namespace: key.name))
      return quota.map(ConfigObject.init)
    case .queue:
      let queue: QueueView? = try await client.find("/rota.v1.Queues/Get", GetQueueRequest(name: key.name))
      return queue.flatMap(ConfigObject.init)
    case .job:
      let request = GetJobRequest(key: JobKey(namespace: key.namespace, jobID: key.name))
      let job: JobView? = try await client.find("/rota.v1.Jobs/Get", request)
      return job.map(ConfigObject.init)
    }
  }

  /// All objects of a kind that have some labels.
  func list(_ kind: ConfigKind, namespace: String?, labels: [String: String]) async throws -> [ConfigObject] {
    let client = client
    switch kind {
    case .calendar:
      let calendars = try await Pages.collect(limit: 0) { size, token in
        let answer: ListCalendarsResponse = try await client.call(
          "/rota.v1.Calendars/List",
          ListCalendarsRequest(namespace: namespace, pageSize: size, pageToken: token))
        return (answer.calendars, answer.nextPageToken)
      }.entries
      return calendars.map(ConfigObject.init).filter { Labels.match(labels, $0.spec.labels) }
    case .group:
      let groups = try await Pages.collect(limit: 0) { size, token in
        let answer: ListGroupsResponse = try await client.call(
          "/rota.v1.Groups/List", ListGroupsRequest(namespace: namespace, pageSize: size, pageToken: token))
        return (answer.groups, answer.nextPageToken)
      }.entries
      return groups.map(ConfigObject.init).filter { Labels.match(labels, $0.spec.labels) }
    case .quota:
      let quotas = try await Pages.collect(limit: 0) { size, token in
        let answer: ListQuotasResponse = try await client.call(
          "/rota.v1.Quotas/List", ListQuotasRequest(pageSize: size, pageToken: token))
        return (answer.quotas, answer.nextPageToken)
      }.entries
      return quotas.map(ConfigObject.init).filter { Labels.match(labels, $0.spec.labels) }
        .filter { namespace == nil || $0.key.name == namespace }
    case .queue:
      // It is no namespace's, but the whole cluster's.
      guard namespace == nil else { return [] }
      let queues = try await Pages.collect(limit: 0) { size, token in
        let answer: ListQueuesResponse = try await client.call(
          "/rota.v1.Queues/List", ListQueuesRequest(pageSize: size, pageToken: token))
        return (answer.queues, answer.nextPageToken)
      }.entries
      return queues.compactMap(ConfigObject.init).filter { Labels.match(labels, $0.spec.labels) }
    case .job:
      let jobs = try await Pages.collect(limit: 0) { size, token in
        let answer: ListJobsResponse = try await client.call(
          "/rota.v1.Jobs/List",
          ListJobsRequest(namespace: namespace, labels: labels, pageSize: size, pageToken: token))
        return (answer.jobs, answer.nextPageToken)
      }.entries
      return jobs.map(ConfigObject.init)
    }
  }

  /// Does one step.
  func carryOut(_ step: ConfigPlan.Step) async throws {
    guard let spec = step.entry?.spec else { return try await delete(step) }
    let key = step.key
    switch spec {
    case .calendar(let spec):
      let _: CalendarView = try await client.call(
        "/rota.v1.Calendars/Put",
        PutCalendarRequest(
          key: CalendarKey(namespace: key.namespace, name: key.name), spec: spec,
          ifMatch: step.present?.etag, idempotencyKey: RandomKey.make()))
    case .group(let spec):
      let _: GroupView = try await client.call(
        "/rota.v1.Groups/Put",
        PutGroupRequest(
          key: GroupKey(namespace: key.namespace, name: key.name), spec: spec, ifMatch: step.present?.etag,
          idempotencyKey: RandomKey.make()))
    case .quota(let spec):
      let _: QuotaView = try await client.call(
        "/rota.v1.Quotas/Put",
        PutQuotaRequest(
          namespace: key.name, spec: spec, ifMatch: step.present?.etag, idempotencyKey: RandomKey.make()))
    case .queue(let spec):
      let _: QueueView = try await client.call(
        "/rota.v1.Queues/Put",
        PutQueueRequest(
          name: key.name, spec: spec, ifMatch: step.present?.etag, idempotencyKey: RandomKey.make()))
    case .job(let spec):
      guard let present = step.present else {
        let _: SubmitResponse = try await client.call(
          "/rota.v1.Jobs/Submit",
          SubmitRequest(
            namespace: key.namespace, jobID: key.name, idempotencyKey: RandomKey.make(), spec: spec)
        )
        return
      }
      let _: JobView = try await client.call(
        "/rota.v1.Jobs/Update",
        UpdateJobRequest(
          key: JobKey(namespace: key.namespace, jobID: key.name), spec: spec,
          ifMatch: present.etag, idempotencyKey: RandomKey.make(), updatedBy: author))
    }
  }

  private func delete(_ step: ConfigPlan.Step) async throws {
    let key = step.key
    switch key.kind {
    case .calendar:
      let _: DeleteCalendarResponse? = try await client.find(
        "/rota.v1.Calendars/Delete",
        DeleteCalendarRequest(
          key: CalendarKey(namespace: key.namespace, name: key.name), ifMatch: step.present?.etag))
    case .group:
      let _: DeleteGroupResponse? = try await client.find(
        "/rota.v1.Groups/Delete",
        DeleteGroupRequest(
          key: GroupKey(namespace: key.namespace, name: key.name), ifMatch: step.present?.etag))
    case .quota:
      let _: DeleteQuotaResponse? = try await client.find(
        "/rota.v1.Quotas/Delete", DeleteQuotaRequest(namespace: key.name, ifMatch: step.present?.etag))
    case .queue:
      let _: DeleteQueueResponse? = try await client.find(
        "/rota.v1.Queues/Delete", DeleteQueueRequest(name: key.name, ifMatch: step.present?.etag))
    case .job:
      let _: JobView? = try await client.find(
        "/rota.v1.Jobs/Delete",
        DeleteJobRequest(
          key: JobKey(namespace: key.namespace, jobID: key.name), ifMatch: step.present?.etag))
    }
  }
}

extension ConfigObject {
  fileprivate init(_ view: CalendarView) {
    let key = ConfigKey(.calendar, namespace: view.record.key.namespace, name: view.record.key.name)
    self.init(key, .calendar(view.record.spec), etag: view.etag)
  }

  fileprivate init(_ view: GroupView) {
    let key = ConfigKey(.group, namespace: view.record.key.namespace, name: view.record.key.name)
    self.init(key, .group(view.record.spec), etag: view.etag)
  }

  fileprivate init(_ view: QuotaView) {
    let key = ConfigKey(.quota, namespace: "", name: view.record.namespace)
    self.init(key, .quota(view.record.spec), etag: view.etag)
  }

  /// Nil for a queue that nobody has put, which goes by the defaults.
  fileprivate init?(_ view: QueueView) {
    guard let record = view.record else { return nil }
    self.init(ConfigKey(.queue, namespace: "", name: view.name), .queue(record.spec), etag: view.etag)
  }

  fileprivate init(_ job: JobView) {
    let key = ConfigKey(.job, namespace: job.key.namespace, name: job.key.jobID)
    self.init(key, .job(job.spec), etag: job.etag)
    isCancelled = job.cancelRequestedAt != nil
    isBeingDeleted = job.deleteRequestedAt != nil
    hasEnded = job.status.isTerminal
  }
}
