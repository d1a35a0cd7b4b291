import Certificates
import Proto
import SchedulerCore

/// What `/metrics` shows.
struct MetricsPage: Sendable {
  let metrics: ServerMetrics
  let replica: Replica
  let pipeline: CommitPipeline
  let sessions: SessionRegistry
  let storage: StorageBoard
  /// The server's own, where it speaks TLS.
  let tls: TLSCredentials?

  /// The page in the Prometheus text format.
  func render() async -> String {
    let figures = await replica.statistics()
    var page = PrometheusText()
    cluster(figures, &page)
    leader(figures, &page)
    queues(figures, &page)
    schedules(figures, &page)
    writes(&page)
    api(&page)
    if let end = tls?.notAfter {
      page.gauge(
        "rota_certificate_end_seconds", "When the server's certificate ends, seconds since 1970.", Int(end))
    }
    return page.text
  }

  private func cluster(_ figures: ReplicaStatistics, _ page: inout PrometheusText) {
    page.gauge("rota_leader", "1 while this server leads.", figures.isLeader ? 1 : 0)
    page.gauge("rota_cache_revision", "The etcd revision that the cache has reached.", figures.revision)
    page.gauge("rota_jobs", "Jobs stored.", figures.jobs)
    page.gauge("rota_jobs_active", "Jobs that are pending or running.", figures.activeJobs)
    page.gauge("rota_runs", "Runs stored.", figures.runs)
    let states = RunState.allCases.filter { !$0.isTerminal }
    page.gauge(
      "rota_runs_active", "Runs that have not ended.", label: "state",
      states.map { ($0.rawValue, figures.activeRunsByState[$0] ?? 0) })
    page.gauge("rota_agents", "Agents that hold a lease.", figures.agents)
    page.gauge("rota_agent_sessions", "Agents connected to this server.", sessions.count)
    page.counter(
      "rota_agent_sessions_refused_total",
      "Times that an agent was told to come back since too many came at once.",
      metrics.sessionsRefused.current)
    page.gauge("rota_servers", "Servers that hold a lease.", figures.servers)
    page.counter(
      "rota_elections_total", "Times that this server became the leader.", metrics.elections.current)
    page.counter("rota_watch_events_total", "Changes that the watch brought.", metrics.watchEvents.current)
    page.counter(
      "rota_cache_healed_total", "Records that a listing found and the watch had not brought.",
      metrics.healedRecords.current)
    page.counter(
      "rota_unreadable_records_total", "Records that could not be read.", metrics.unreadableRecords.current)
  }

  private func leader(_ figures: ReplicaStatistics, _ page: inout PrometheusText) {
    let counters = figures.counters
    page.gauge("rota_runs_ready", "Queued runs that this leader holds.", figures.ready)
    page.gauge("rota_proposals_in_flight", "Changes that this leader waits for.", figures.proposalsInFlight)
    page.counter("rota_assigned_total", "Assignments committed in this term.", counters.assigned)
    page.counter("rota_finished_total", "Runs ended in this term.", counters.finished)
    page.counter("rota_lost_runs_total", "Runs whose agent was lost in this term.", counters.lostRuns)
    page.counter("rota_lost_agents_total", "Agents whose lease lapsed in this term.", counters.lostAgents)
    page.counter(
      "rota_reassigned_runs_total",
      "Runs that an agent lost or gave back, and that were assigned again in this term.",
      counters.reassigned)
    page.counter(
      "rota_handed_over_total", "Attempts told to end since their agent's drain was over in this term.",
      counters.handedOver)
    page.counter(
      "rota_fenced_attempts_total",
      "Attempts that agents killed since they could not trust their lease in this term.",
      counters.fencedAttempts)
    page.gauge(
      "rota_recovery_last_milliseconds",
      "From the loss of an agent until its run was assigned again: the last.",
      counters.lastRecoveryMillis)
    page.gauge("rota_recovery_max_milliseconds", "The longest in this term.", counters.maxRecoveryMillis)
    page.gauge(
      "rota_failover_gap_milliseconds",
      "From the loss of the last leader until its work was taken up; -1: not known.",
      figures.failoverGapMillis ?? -1)
    page.gauge("rota_agents_drained", "Agents that hold a lease and are drained.", figures.drainedAgents)
    page.gauge(
      "rota_agents_unhealthy", "Agents that say that they are not well.", figures.unfitAgents.unhealthy)
    page.gauge("rota_agents_avoided", "Agents on which attempts keep failing.", figures.unfitAgents.avoided)
    page.gauge("rota_brake", "1 while the runs of many lost agents wait.", figures.brake == nil ? 0 : 1)
    page.gauge("rota_brake_runs_waiting", "Runs that wait for that.", figures.brake?.waiting ?? 0)
    page.counter("rota_brakes_total", "Times that the brake has engaged.", metrics.brakes.current)
    page.counter(
      "rota_stale_updates_total", "Agents' updates refused as stale in this term.", counters.staleUpdates)
    page.counter(
      "rota_repeated_updates_total", "Agents' updates that repeated what was known in this term.",
      counters.repeatedUpdates)
    page.counter(
      "rota_checkpoints_total", "Tasks' checkpoints made durable in this term.", counters.checkpoints)
    page.counter(
      "rota_stale_checkpoints_total", "Tasks' checkpoints refused as stale in this term.",
      counters.staleCheckpoints)
    page.counter("rota_alerts_total", "Alerts made in this term.", counters.alertsRaised)
    page.counter(
      "rota_alerts_dropped_total", "Alerts not made since too many are kept, in this term.",
      counters.alertsDropped)
    page.counter("rota_alerts_told_total", "Deliveries of alerts taken in this term.", counters.alertsTold)
    page.counter(
      "rota_alert_failures_total", "Tries in vain to tell of an alert in this term.", counters.alertFailures)
    page.counter("rota_conflicts_total", "Changes that met a conflict in this term.", counters.conflicts)
    page.counter(
      "rota_unready_schedules_total", "Schedules and calendars around runs that this server could not read.",
      counters.unreadySchedules)
    page.counter("rota_refusals_total", "Changes that etcd did not take in this term.", counters.refusals)
    page.counter(
      "rota_expired_records_total", "Records that retention removed in this term.", counters.expired)
  }

  private func queues(_ figures: ReplicaStatistics, _ page: inout PrometheusText) {
    func values(_ value: (QueueFigures) -> Int) -> [(String, Int)] {
      figures.queues.map { ($0.name, value($0.figures)) }
    }
    page.gauge(
      "rota_queue_waiting", "Runs that wait in a queue for an agent, by the leader.", label: "queue",
      values(\.waiting))
    page.gauge(
      "rota_queue_running", "Runs of a queue that have an agent, by the leader.", label: "queue",
      values(\.running))
    page.gauge(
      "rota_queue_blocked", "1 while a queue gives out nothing: it is paused, full, or at its rate.",
      label: "queue", values { $0.block == nil ? 0 : 1 })
    page.counter(
      "rota_queue_dispatched_total", "Runs of a queue given to agents in this term.", label: "queue",
      values(\.dispatched))
  }

  private func schedules(_ figures: ReplicaStatistics, _ page: inout PrometheusText) {
    let counters = figures.firing
    page.gauge("rota_segments_owned", "Segments that this server owns.", figures.segmentsOwned)
    page.counter(
      "rota_segment_moves_total", "Segments given to another owner in this term.",
      figures.counters.segmentMoves)
    page.gauge(
      "rota_scheduled_jobs", "Jobs of its segments that have a next occurrence.", figures.scheduledJobs)
    page.gauge("rota_overdue", "Jobs of its segments that are due and not decided.", figures.overdue)
    page.counter(
      "rota_quota_waits_total",
      "Times that what was due waited since its namespace had as many waiting runs as its quota allows.",
      counters.quotaWaits)
    page.counter("rota_fired_total", "Runs created by schedules.", counters.fired)
    page.counter("rota_backfilled_total", "Runs created by backfills.", counters.backfilled)
    page.counter(
      "rota_skipped_total", "Occurrences left out.", label: "reason",
      SkipReason.allCases.map { ($0.rawValue, counters.skipped[$0] ?? 0) })
    page.histogram(
      "rota_lateness_seconds", "How late runs were created after they were due.",
      boundsMillis: LatenessRecorder.boundsMillis, counts: figures.lateness.counts,
      total: figures.lateness.total, sumMillis: figures.lateness.sumMillis)
    page.gauge(
      "rota_firing_in_flight", "Changes of schedules that this server waits for.", figures.firingInFlight)
    page.counter(
      "rota_firing_conflicts_total", "Changes of schedules that met a conflict.", counters.conflicts)
    page.counter(
      "rota_firing_refusals_total", "Changes of schedules that etcd did not take.", counters.refusals)
    page.counter(
      "rota_firing_unreadable_total", "Times that a job's schedules could not be made ready.",
      counters.unreadable)
    page.counter(
      "rota_firing_waits_total", "Times that firing had to wait since too many changes did.",
      metrics.firingWaits.current)
  }

  private func writes(_ page: inout PrometheusText) {
    page.counter(
      "rota_fenced_writes_total", "Writes refused since the term, or a segment's ownership, had ended.",
      metrics.fencedWrites.current)
    page.counter(
      "rota_etcd_transactions_total", "Transactions that etcd answered.", metrics.transactions.current)
    page.counter(
      "rota_etcd_transaction_operations_total", "Operations in those transactions.",
      metrics.transactionOperations.current)
    page.counter(
      "rota_etcd_transaction_conflicts_total", "Transactions whose compares failed.",
      metrics.transactionConflicts.current)
    page.counter(
      "rota_etcd_transaction_errors_total", "Transactions that failed otherwise.",
      metrics.transactionErrors.current)
    page.gauge("rota_commit_queue", "Changes that wait for a transaction.", pipeline.queuedCount)
    page.counter(
      "rota_overloaded_total", "Changes turned away because too many waited.", metrics.overloaded.current)
    page.gauge(
      "rota_etcd_database_bytes", "Size of etcd's database, as the leader saw it last.",
      metrics.databaseBytes.current)
    page.gauge(
      "rota_etcd_quota_bytes", "What it may take, as far as is known.", storage.status?.quotaBytes ?? 0)
    page.gauge(
      "rota_etcd_no_space", "1 while etcd takes no writes for want of space.",
      storage.status?.noSpace == true ? 1 : 0)
    page.gauge(
      "rota_etcd_space_pressure",
      "How many times the retention of what has ended is halved for want of space.",
      storage.status?.pressure ?? 0)
    page.counter(
      "rota_etcd_no_space_errors_total", "Writes that etcd refused for want of space.",
      metrics.noSpaceErrors.current)
    page.counter(
      "rota_etcd_no_space_healed_total", "Times that this server has made space again.",
      metrics.noSpaceHealed.current)
    page.gauge(
      "rota_etcd_database_in_use_bytes", "Bytes of it in use.", metrics.databaseBytesInUse.current)
  }

  private func api(_ page: inout PrometheusText) {
    page.counter("rota_submissions_total", "Jobs accepted.", metrics.submissions.current)
    page.counter("rota_submissions_refused_total", "Submissions refused.", metrics.submissionsRefused.current)
    page.counter(
      "rota_submissions_limited_total", "Of these, those that came faster than was allowed.",
      metrics.submissionsLimited.current)
    page.counter(
      "rota_quota_refusals_total",
      "Submissions and triggers refused since their namespace's quota was used up.",
      metrics.submissionsOverQuota.current)
    page.gauge("rota_event_streams", "Change streams open.", metrics.eventStreams.current)
    page.counter(
      "rota_event_catch_ups_total", "Pieces of past changes read from etcd for streams that were behind.",
      metrics.eventCatchUps.current)
    page.counter("rota_http_requests_total", "REST requests.", metrics.httpRequests.current)
    page.counter("rota_http_errors_total", "REST requests that failed.", metrics.httpErrors.current)
  }
}
