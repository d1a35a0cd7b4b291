import CProto
import SchedulerCore

extension GetClusterRequest: Mapped, WireMessage {
  /// As `rota.v1.GetClusterRequest`.
  public static var codec: WireCodec<GetClusterRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetClusterRequest>) throws(ProtoError) { self.init() }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetClusterRequest>, _ arena: Arena) {}
}

extension ClusterInfo: Mapped, WireMessage {
  /// As `rota.v1.ClusterInfo`.
  public static var codec: WireCodec<ClusterInfo> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ClusterInfo>) throws(ProtoError) {
    self.init()
    leader = try Decode.optionalText(raw.pointee.leader, "leader")
    leaderEpoch = raw.pointee.leader_epoch
    servers = try Decode.list(raw.pointee.n_servers, raw.pointee.servers, "servers")
    segmentCount = Int(raw.pointee.segment_count)
    orphanedSegments = numbers(raw.pointee.n_orphaned_segments, raw.pointee.orphaned_segments)
    etcdMembers = try Decode.list(raw.pointee.n_etcd_members, raw.pointee.etcd_members, "etcd_members")
    etcdError = try Decode.optionalText(raw.pointee.etcd_error, "etcd_error")
    jobs = raw.pointee.jobs
    runs = raw.pointee.runs
    agents = raw.pointee.agents
    term = try Decode.optional(raw.pointee.term, "term")
    brake = try Decode.optional(raw.pointee.brake, "brake")
    storage = try Decode.optional(raw.pointee.storage, "storage")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ClusterInfo>, _ arena: Arena) {
    raw.pointee.leader = arena.text(leader)
    raw.pointee.leader_epoch = leaderEpoch
    raw.pointee.servers = arena.list(servers, &raw.pointee.n_servers)
    raw.pointee.segment_count = Int32(wire: segmentCount)
    raw.pointee.orphaned_segments = arena.values(
      orphanedSegments.map(Int32.init(wire:)), &raw.pointee.n_orphaned_segments)
    raw.pointee.etcd_members = arena.list(etcdMembers, &raw.pointee.n_etcd_members)
    raw.pointee.etcd_error = arena.text(etcdError)
    raw.pointee.jobs = jobs
    raw.pointee.runs = runs
    raw.pointee.agents = agents
    raw.pointee.term = arena.optional(term)
    raw.pointee.brake = arena.optional(brake)
    raw.pointee.storage = arena.optional(storage)
  }
}

extension ServerView: Mapped {
  init(raw: UnsafePointer<Rota__V1__Server>) throws(ProtoError) {
    var record = ServerRecord(
      serverID: try Decode.text(raw.pointee.server_id, "server_id"),
      grpcAddress: try Decode.text(raw.pointee.grpc_address, "grpc_address"),
      httpAddress: try Decode.text(raw.pointee.http_address, "http_address"),
      version: try Decode.text(raw.pointee.version, "version"),
      startedAt: try Decode.requiredTime(raw.pointee.started_at, "started_at"))
    record.draining = raw.pointee.draining != 0
    record.figures = try Decode.optional(raw.pointee.figures, "figures")
    self.init(
      record: record, isLeader: raw.pointee.leader != 0,
      segments: numbers(raw.pointee.n_segments, raw.pointee.segments),
      clockSkewMillis: raw.pointee.clock_skew_milliseconds,
      heldBack: try Decode.optionalText(raw.pointee.held_back, "held_back"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Server>, _ arena: Arena) {
    raw.pointee.server_id = arena.text(record.serverID)
    raw.pointee.grpc_address = arena.text(record.grpcAddress)
    raw.pointee.http_address = arena.text(record.httpAddress)
    raw.pointee.version = arena.text(record.version)
    raw.pointee.started_at = arena.time(record.startedAt)
    raw.pointee.leader = isLeader ? 1 : 0
    raw.pointee.draining = record.draining ? 1 : 0
    raw.pointee.segments = arena.values(segments.map(Int32.init(wire:)), &raw.pointee.n_segments)
    raw.pointee.figures = arena.optional(record.figures)
    raw.pointee.clock_skew_milliseconds = clockSkewMillis
    raw.pointee.held_back = arena.text(heldBack)
  }
}

extension ServerFigures: Mapped {
  init(raw: UnsafePointer<Rota__V1__ServerFigures>) throws(ProtoError) {
    self.init(reportedAt: try Decode.requiredTime(raw.pointee.reported_at, "reported_at"))
    fires = Int(raw.pointee.fires)
    latenessP50Millis = raw.pointee.lateness_p50_milliseconds
    latenessP99Millis = raw.pointee.lateness_p99_milliseconds
    latenessMaxMillis = raw.pointee.lateness_max_milliseconds
    scheduledJobs = Int(raw.pointee.scheduled_jobs)
    overdue = Int(raw.pointee.overdue)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ServerFigures>, _ arena: Arena) {
    raw.pointee.reported_at = arena.time(reportedAt)
    raw.pointee.fires = Int64(fires)
    raw.pointee.lateness_p50_milliseconds = latenessP50Millis
    raw.pointee.lateness_p99_milliseconds = latenessP99Millis
    raw.pointee.lateness_max_milliseconds = latenessMaxMillis
    raw.pointee.scheduled_jobs = Int64(scheduledJobs)
    raw.pointee.overdue = Int64(overdue)
  }
}

extension EtcdMemberView: Mapped {
  init(raw: UnsafePointer<Rota__V1__EtcdMember>) throws(ProtoError) {
    self.init(memberID: try Decode.text(raw.pointee.member_id, "member_id"))
    name = try Decode.text(raw.pointee.name, "name")
    clientURLs = try Decode.texts(raw.pointee.n_client_urls, raw.pointee.client_urls, "client_urls")
    isLeader = raw.pointee.leader != 0
    isLearner = raw.pointee.learner != 0
    version = try Decode.text(raw.pointee.version, "version")
    databaseBytes = raw.pointee.database_bytes
    databaseBytesInUse = raw.pointee.database_bytes_in_use
    error = try Decode.optionalText(raw.pointee.error, "error")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__EtcdMember>, _ arena: Arena) {
    raw.pointee.member_id = arena.text(memberID)
    raw.pointee.name = arena.text(name)
    raw.pointee.client_urls = arena.texts(clientURLs, &raw.pointee.n_client_urls)
    raw.pointee.leader = isLeader ? 1 : 0
    raw.pointee.learner = isLearner ? 1 : 0
    raw.pointee.version = arena.text(version)
    raw.pointee.database_bytes = databaseBytes
    raw.pointee.database_bytes_in_use = databaseBytesInUse
    raw.pointee.error = arena.text(error)
  }
}

extension TermFigures: Mapped {
  init(raw: UnsafePointer<Rota__V1__TermFigures>) throws(ProtoError) {
    self.init(since: try Decode.requiredTime(raw.pointee.since, "since"))
    lostAgents = raw.pointee.lost_agents
    lostRuns = raw.pointee.lost_runs
    reassignedRuns = raw.pointee.reassigned_runs
    staleUpdates = raw.pointee.stale_updates
    staleCheckpoints = raw.pointee.stale_checkpoints
    fencedWrites = raw.pointee.fenced_writes
    fencedAttempts = raw.pointee.fenced_attempts
    lastRecoveryMillis = raw.pointee.last_recovery_milliseconds
    maxRecoveryMillis = raw.pointee.max_recovery_milliseconds
    failoverGapMillis = raw.pointee.failover_gap_milliseconds
    handedOver = raw.pointee.handed_over
    drainedAgents = raw.pointee.drained_agents
    unhealthyAgents = raw.pointee.unhealthy_agents
    avoidedAgents = raw.pointee.avoided_agents
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__TermFigures>, _ arena: Arena) {
    raw.pointee.since = arena.time(since)
    raw.pointee.lost_agents = lostAgents
    raw.pointee.lost_runs = lostRuns
    raw.pointee.reassigned_runs = reassignedRuns
    raw.pointee.stale_updates = staleUpdates
    raw.pointee.stale_checkpoints = staleCheckpoints
    raw.pointee.fenced_writes = fencedWrites
    raw.pointee.fenced_attempts = fencedAttempts
    raw.pointee.last_recovery_milliseconds = lastRecoveryMillis
    raw.pointee.max_recovery_milliseconds = maxRecoveryMillis
    raw.pointee.failover_gap_milliseconds = failoverGapMillis
    raw.pointee.handed_over = handedOver
    raw.pointee.drained_agents = drainedAgents
    raw.pointee.unhealthy_agents = unhealthyAgents
    raw.pointee.avoided_agents = avoidedAgents
  }
}

extension BrakeView: Mapped {
  init(raw: UnsafePointer<Rota__V1__Brake>) throws(ProtoError) {
    self.init(
      since: try Decode.requiredTime(raw.pointee.since, "since"),
      pausedUntil: try Decode.requiredTime(raw.pointee.paused_until, "paused_until"),
      runsWaiting: raw.pointee.runs_waiting, agentsLost: raw.pointee.agents_lost,
      agentsKnown: raw.pointee.agents_known)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Brake>, _ arena: Arena) {
    raw.pointee.since = arena.time(since)
    raw.pointee.paused_until = arena.time(pausedUntil)
    raw.pointee.runs_waiting = runsWaiting
    raw.pointee.agents_lost = agentsLost
    raw.pointee.agents_known = agentsKnown
  }
}

extension StorageStatus: Mapped {
  init(raw: UnsafePointer<Rota__V1__StorageStatus>) throws(ProtoError) {
    self.init()
    quotaBytes = raw.pointee.quota_bytes
    databaseBytes = raw.pointee.database_bytes
    databaseBytesInUse = raw.pointee.database_bytes_in_use
    pressure = Int(raw.pointee.pressure)
    noSpace = raw.pointee.no_space != 0
    healed = raw.pointee.healed
    message = try Decode.optionalText(raw.pointee.message, "message")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__StorageStatus>, _ arena: Arena) {
    raw.pointee.quota_bytes = quotaBytes
    raw.pointee.database_bytes = databaseBytes
    raw.pointee.database_bytes_in_use = databaseBytesInUse
    raw.pointee.pressure = Int32(wire: pressure)
    raw.pointee.no_space = noSpace ? 1 : 0
    raw.pointee.healed = healed
    raw.pointee.message = arena.text(message)
  }
}

private func numbers(_ count: Int, _ list: UnsafeMutablePointer<Int32>?) -> [Int] {
  UnsafeBufferPointer(start: list, count: list == nil ? 0 : count).map(Int.init)
}
