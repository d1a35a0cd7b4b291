import Proto
import SchedulerCore

/// Random values of schedules, calendars and backfills.
extension Samples {
  mutating func schedule() -> Schedule {
    let rule: Schedule.Rule =
      switch count(4) {
      case 0: .cron(text())
      case 1: .fixedRate(everyMillis: millis())
      case 2: .fixedDelay(delayMillis: millis())
      case 3: .frequency(pick(Schedule.Frequency.allCases))
      default: .at(time())
      }
    var schedule = Schedule(rule)
    schedule.timeZone = pick([Schedule.Defaults.timeZone, text()])
    schedule.dstGap = maybe { $0.pick(Schedule.GapPolicy.allCases) }
    schedule.dstOverlap = maybe { $0.pick(Schedule.OverlapPolicy.allCases) }
    schedule.startTime = maybe { $0.time() }
    schedule.endTime = maybe { $0.time() }
    schedule.maxRuns = maybe { 1 + $0.count(1_000) }
    schedule.jitterMillis = pick([0, millis()])
    schedule.calendars = many { $0.text() }
    return schedule
  }

  mutating func misfire() -> MisfirePolicy {
    var policy = MisfirePolicy()
    policy.action = pick(MisfirePolicy.Action.allCases)
    policy.limit = pick([MisfirePolicy.Defaults.limit, 1, 7])
    policy.withinMillis = maybe { $0.millis() }
    policy.graceMillis = pick([MisfirePolicy.Defaults.graceMillis, 0, millis()])
    return policy
  }

  mutating func calendarKey() -> CalendarKey { CalendarKey(namespace: text(), name: text()) }

  mutating func calendarSpec() -> CalendarSpec {
    var spec = CalendarSpec()
    spec.description = text()
    spec.timeZone = pick([Schedule.Defaults.timeZone, text()])
    spec.days = many { $0.text() }
    spec.ranges = many { CalendarSpec.Range(from: $0.text(), to: $0.text()) }
    spec.cron = many { $0.text() }
    spec.labels = map()
    return spec
  }

  mutating func groupKey() -> GroupKey { GroupKey(namespace: text(), name: text()) }

  mutating func groupSpec() -> GroupSpec {
    var spec = GroupSpec(limit: 1 + count(9))
    spec.description = text()
    spec.labels = map()
    return spec
  }

  mutating func group() -> GroupView {
    var record = GroupRecord(key: groupKey(), spec: groupSpec(), createdAt: time())
    record.generation = 1 + count(9)
    record.updatedAt = time()
    return GroupView(record: record, etag: text(), running: 2, waiting: 1)
  }

  mutating func calendar() -> CalendarView {
    var record = CalendarRecord(key: calendarKey(), spec: calendarSpec(), createdAt: time())
    record.generation = 1 + count(9)
    record.updatedAt = time()
    return CalendarView(record: record, etag: text())
  }

  mutating func alertRule() -> AlertRule {
    var rule = AlertRule(
      on: pick(AlertRule.Cause.allCases), thresholdMillis: maybe { $0.millis() },
      webhook: maybe { $0.text() },
      command: maybe { $0.text() })
    rule.windowMillis = maybe { $0.millis() }
    rule.count = 1 + count(99)
    rule.silenceMillis = pick([0, millis()])
    return rule
  }

  mutating func alert() -> AlertRecord {
    var alert = AlertRecord(
      key: AlertKey(job: jobKey(), alertID: text()), runID: text(), attempt: maybe { 1 + $0.count(9) },
      rule: alertRule(), at: time(), createdAt: time(), message: text())
    alert.count = number()
    alert.deliveries = many {
      var delivery = AlertRecord.Delivery($0.pick(AlertRecord.Delivery.Kind.allCases), to: $0.text())
      delivery.state = $0.pick(AlertRecord.Delivery.State.allCases)
      delivery.tries = $0.number()
      delivery.nextTryAt = $0.maybe { $0.time() }
      delivery.endedAt = $0.maybe { $0.time() }
      delivery.error = $0.maybe { $0.text() }
      return delivery
    }
    return alert
  }

  mutating func origin() -> VersionOrigin {
    VersionOrigin(at: time(), by: maybe { $0.text() }, revertOf: maybe { 1 + $0.count(9) })
  }

  mutating func version() -> VersionView {
    var version = VersionView(
      job: jobKey(), generation: number(), etag: text(), spec: maybe { $0.spec() }, origin: origin(),
      replacedAt: maybe { $0.time() }, replacedBy: maybe { $0.text() })
    version.changedFields = many { $0.text() }
    return version
  }

  mutating func queueSpec() -> QueueSpec {
    var spec = QueueSpec()
    spec.description = text()
    spec.weight = pick([QueueSpec.Defaults.weight, 1 + count(999)])
    spec.priority = pick([QueueSpec.Defaults.priority, 1 + count(99)])
    spec.maxRunning = maybe { 1 + $0.count(1_000) }
    spec.dispatchRate = maybe { Double(1 + $0.count(1_000)) / 4 }
    spec.dispatchBurst = maybe { 1 + $0.count(1_000) }
    spec.agents = many { Constraint(label: $0.text(), op: .equal, values: [$0.text()]) }
    for (name, _) in map() { spec.fairnessWeights[name] = 1 + count(999) }
    spec.labels = map()
    return spec
  }

  mutating func queue() -> QueueView {
    let name = text()
    var drawn = QueueFigures()
    drawn.waiting = count(1_000)
    drawn.running = count(1_000)
    drawn.dispatched = count(1_000)
    drawn.waitingSince = maybe { $0.time() }
    drawn.block = maybe { $0.pick(QueueFigures.Block.allCases) }
    drawn.blockedUntil = maybe { $0.time() }
    let figures = bool() ? drawn : nil
    guard bool() else { return QueueView(name: name, figures: figures) }
    var record = QueueRecord(name: name, spec: queueSpec(), createdAt: time())
    record.generation = 1 + count(9)
    record.updatedAt = time()
    record.pausedAt = maybe { $0.time() }
    record.pauseNote = record.pausedAt == nil ? nil : "note"
    return QueueView(name: name, record: record, etag: text(), figures: figures)
  }

  mutating func backfillKey() -> BackfillKey { BackfillKey(job: jobKey(), backfillID: text()) }

  mutating func backfill() -> BackfillView {
    var record = BackfillRecord(
      key: backfillKey(), from: time(), to: time(), order: pick(BackfillRecord.Order.allCases),
      parallelism: 1 + count(99), createdAt: time())
    record.params = map()
    record.state = pick(BackfillRecord.State.allCases)
    record.finishedAt = maybe { $0.time() }
    record.created = count(1_000)
    record.existing = count(1_000)
    return BackfillView(
      record: record, occurrences: count(10_000), decided: count(1_000), preview: many { $0.time() })
  }
}

extension MessageKind {
  /// Those of schedules, calendars, backfills and of control.
  static let scheduleKinds: [MessageKind] = [
    MessageKind { PauseJobRequest(key: $0.jobKey(), note: $0.maybe { $0.text() }) },
    MessageKind { ResumeJobRequest(key: $0.jobKey()) },
    MessageKind {
      TriggerJobRequest(key: $0.jobKey(), params: $0.map(), idempotencyKey: $0.maybe { $0.text() })
    },
    MessageKind { SkipNextRequest(key: $0.jobKey(), scheduledTime: $0.maybe { $0.time() }) },
    MessageKind {
      UpdateJobRequest(
        key: $0.jobKey(), spec: $0.spec(), ifMatch: $0.maybe { $0.text() },
        idempotencyKey: $0.maybe { $0.text() }, updatedBy: $0.maybe { $0.text() })
    },
    MessageKind { $0.version() },
    MessageKind { $0.alert() },
    MessageKind {
      ListAlertsRequest(
        namespace: $0.maybe { $0.text() }, jobID: $0.maybe { $0.text() }, pageSize: $0.number(),
        pageToken: $0.maybe { $0.text() })
    },
    MessageKind {
      ListAlertsResponse(alerts: $0.many { $0.alert() }, nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind { ListVersionsRequest(key: $0.jobKey()) },
    MessageKind { ListVersionsResponse(versions: $0.many { $0.version() }) },
    MessageKind { GetVersionRequest(key: $0.jobKey(), generation: $0.number()) },
    MessageKind {
      RevertJobRequest(
        key: $0.jobKey(), generation: $0.number(), ifMatch: $0.maybe { $0.text() },
        idempotencyKey: $0.maybe { $0.text() }, updatedBy: $0.maybe { $0.text() })
    },
    MessageKind { DeleteJobRequest(key: $0.jobKey(), ifMatch: $0.maybe { $0.text() }) },
    MessageKind { $0.group() },
    MessageKind {
      PutGroupRequest(
        key: $0.groupKey(), spec: $0.groupSpec(), ifMatch: $0.maybe { $0.text() },
        idempotencyKey: $0.maybe { $0.text() })
    },
    MessageKind { GetGroupRequest(key: $0.groupKey()) },
    MessageKind {
      ListGroupsRequest(
        namespace: $0.maybe { $0.text() }, pageSize: $0.number(), pageToken: $0.maybe { $0.text() })
    },
    MessageKind {
      ListGroupsResponse(groups: $0.many { $0.group() }, nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind { DeleteGroupRequest(key: $0.groupKey(), ifMatch: $0.maybe { $0.text() }) },
    MessageKind { _ in DeleteGroupResponse() },
    MessageKind { $0.calendar() },
    MessageKind {
      PutCalendarRequest(
        key: $0.calendarKey(), spec: $0.calendarSpec(), ifMatch: $0.maybe { $0.text() },
        idempotencyKey: $0.maybe { $0.text() })
    },
    MessageKind { $0.queue() },
    MessageKind {
      PutQueueRequest(
        name: "q", spec: $0.queueSpec(), ifMatch: $0.maybe { $0.text() },
        idempotencyKey: $0.maybe { $0.text() })
    },
    MessageKind { _ in GetQueueRequest(name: "q") },
    MessageKind { ListQueuesRequest(pageSize: $0.number(), pageToken: $0.maybe { $0.text() }) },
    MessageKind {
      ListQueuesResponse(queues: $0.many { $0.queue() }, nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind { DeleteQueueRequest(name: "q", ifMatch: $0.maybe { $0.text() }) },
    MessageKind { _ in DeleteQueueResponse() },
    MessageKind { PauseQueueRequest(name: "q", note: $0.maybe { $0.text() }) },
    MessageKind { _ in ResumeQueueRequest(name: "q") },
    MessageKind { GetCalendarRequest(key: $0.calendarKey()) },
    MessageKind {
      ListCalendarsRequest(
        namespace: $0.maybe { $0.text() }, pageSize: $0.number(), pageToken: $0.maybe { $0.text() })
    },
    MessageKind {
      ListCalendarsResponse(calendars: $0.many { $0.calendar() }, nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind { DeleteCalendarRequest(key: $0.calendarKey(), ifMatch: $0.maybe { $0.text() }) },
    MessageKind { _ in DeleteCalendarResponse() },
    MessageKind {
      PreviewRequest(
        namespace: $0.text(), jobID: $0.maybe { $0.text() }, schedules: $0.many { $0.schedule() },
        after: $0.maybe { $0.time() }, count: $0.number())
    },
    MessageKind {
      PreviewResponse(
        occurrences: $0.many {
          OccurrenceView(
            scheduledTime: $0.time(), localTime: $0.text(), schedule: $0.number(),
            dueTime: $0.maybe { $0.time() }, skipped: $0.bool(), note: $0.text())
        }, notes: $0.many { $0.text() })
    },
    MessageKind {
      ForecastRequest(
        namespace: $0.maybe { $0.text() }, from: $0.maybe { $0.time() }, to: $0.maybe { $0.time() })
    },
    MessageKind {
      ForecastResponse(
        from: $0.time(), fires: $0.many { $0.large() }, total: $0.large(), jobs: $0.large(),
        completeUntil: $0.maybe { $0.time() })
    },
    MessageKind {
      CreateBackfillRequest(
        job: $0.jobKey(), backfillID: $0.maybe { $0.text() }, from: $0.time(), to: $0.time(),
        order: $0.pick(BackfillRecord.Order.allCases), parallelism: 1 + $0.count(99), params: $0.map(),
        dryRun: $0.bool())
    },
    MessageKind { GetBackfillRequest(key: $0.backfillKey()) },
    MessageKind { ListBackfillsRequest(job: $0.jobKey()) },
    MessageKind { ListBackfillsResponse(backfills: $0.many { $0.backfill() }) },
    MessageKind { $0.backfill() },
  ]
}
