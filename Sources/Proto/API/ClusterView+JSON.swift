import JSON
import SchedulerCore

extension ClusterInfo {
  /// Writes the picture as an object, its members named as in `rota.v1.ClusterInfo`.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      if let leader { json.member("leader", leader) }
      json.member("leader_epoch", leaderEpoch)
      json.key("servers")
      json.array { json in for server in servers { server.write(to: &json) } }
      json.member("segment_count", segmentCount)
      json.key("orphaned_segments")
      json.array { json in for segment in orphanedSegments { json.int(Int64(segment)) } }
      json.key("etcd_members")
      json.array { json in for member in etcdMembers { member.write(to: &json) } }
      if let etcdError { json.member("etcd_error", etcdError) }
      json.member("jobs", jobs)
      json.member("runs", runs)
      json.member("agents", agents)
      if let term {
        json.key("term")
        term.write(to: &json)
      }
      if let brake {
        json.key("brake")
        brake.write(to: &json)
      }
      if let storage {
        json.key("storage")
        storage.write(to: &json)
      }
    }
  }
}

extension TermFigures {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("since", since.rfc3339)
      json.member("lost_agents", lostAgents)
      json.member("lost_runs", lostRuns)
      json.member("reassigned_runs", reassignedRuns)
      json.member("stale_updates", staleUpdates)
      json.member("stale_checkpoints", staleCheckpoints)
      json.member("fenced_writes", fencedWrites)
      json.member("fenced_attempts", fencedAttempts)
      json.member("last_recovery_milliseconds", lastRecoveryMillis)
      json.member("max_recovery_milliseconds", maxRecoveryMillis)
      json.member("failover_gap_milliseconds", failoverGapMillis)
      json.member("handed_over", handedOver)
      json.member("drained_agents", drainedAgents)
      json.member("unhealthy_agents", unhealthyAgents)
      json.member("avoided_agents", avoidedAgents)
    }
  }
}

extension BrakeView {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("since", since.rfc3339)
      json.member("paused_until", pausedUntil.rfc3339)
      json.member("runs_waiting", runsWaiting)
      json.member("agents_lost", agentsLost)
      json.member("agents_known", agentsKnown)
    }
  }
}

extension StorageStatus {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("quota_bytes", quotaBytes)
      json.member("database_bytes", databaseBytes)
      json.member("database_bytes_in_use", databaseBytesInUse)
      json.member("pressure", pressure)
      json.member("no_space", noSpace)
      json.member("healed", healed)
      if let message { json.member("message", message) }
    }
  }
}

extension ServerView {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("server_id", record.serverID)
      json.member("grpc_address", record.grpcAddress)
      json.member("http_address", record.httpAddress)
      json.member("version", record.version)
      json.member("started_at", record.startedAt.rfc3339)
      json.member("leader", isLeader)
      json.member("draining", record.draining)
      json.key("segments")
      json.array { json in for segment in segments { json.int(Int64(segment)) } }
      if let figures = record.figures {
        json.key("figures")
        json.object { json in
          json.member("reported_at", figures.reportedAt.rfc3339)
          json.member("fires", figures.fires)
          json.member("lateness_p50_milliseconds", figures.latenessP50Millis)
          json.member("lateness_p99_milliseconds", figures.latenessP99Millis)
          json.member("lateness_max_milliseconds", figures.latenessMaxMillis)
          json.member("scheduled_jobs", figures.scheduledJobs)
          json.member("overdue", figures.overdue)
        }
      }
      json.member("clock_skew_milliseconds", clockSkewMillis)
      if let heldBack { json.member("held_back", heldBack) }
    }
  }
}

extension EtcdMemberView {
  fileprivate func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("member_id", memberID)
      json.member("name", name)
      json.member("client_urls", clientURLs)
      json.member("leader", isLeader)
      json.member("learner", isLearner)
      json.member("version", version)
      json.member("database_bytes", databaseBytes)
      json.member("database_bytes_in_use", databaseBytesInUse)
      if let error { json.member("error", error) }
    }
  }
}
