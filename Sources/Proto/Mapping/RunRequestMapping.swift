import CProto
import SchedulerCore

extension GetRunRequest: Mapped, WireMessage {
  /// As `rota.v1.GetRunRequest`.
  public static var codec: WireCodec<GetRunRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetRunRequest>) throws(ProtoError) {
    self.init(
      job: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      runID: try Decode.optionalText(raw.pointee.run_id, "run_id"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetRunRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
    raw.pointee.run_id = arena.text(runID)
  }
}

extension ListRunsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListRunsRequest`.
  public static var codec: WireCodec<ListRunsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListRunsRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.optionalText(raw.pointee.namespace_, "namespace"),
      jobID: try Decode.optionalText(raw.pointee.job_id, "job_id"),
      workerID: try Decode.optionalText(raw.pointee.worker_id, "worker_id"),
      state: try Decode.choice(raw.pointee.state, "state"),
      status: try Decode.choice(raw.pointee.status, "status"),
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListRunsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.worker_id = arena.text(workerID)
    if let state { raw.pointee.state = state.raw }
    if let status { raw.pointee.status = status.raw }
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListRunsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListRunsResponse`.
  public static var codec: WireCodec<ListRunsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListRunsResponse>) throws(ProtoError) {
    self.init(
      runs: try Decode.list(raw.pointee.n_runs, raw.pointee.runs, "runs"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"),
      revision: raw.pointee.revision)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListRunsResponse>, _ arena: Arena) {
    raw.pointee.runs = arena.list(runs, &raw.pointee.n_runs)
    raw.pointee.next_page_token = arena.text(nextPageToken)
    raw.pointee.revision = revision
  }
}

extension ListExecutionsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListExecutionsResponse`.
  public static var codec: WireCodec<ListExecutionsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListExecutionsResponse>) throws(ProtoError) {
    self.init(
      executions: try Decode.list(raw.pointee.n_executions, raw.pointee.executions, "executions"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListExecutionsResponse>, _ arena: Arena) {
    raw.pointee.executions = arena.list(executions, &raw.pointee.n_executions)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}

extension LogsRequest: Mapped, WireMessage {
  /// As `rota.v1.LogsRequest`.
  public static var codec: WireCodec<LogsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__LogsRequest>) throws(ProtoError) {
    let (attempt, tail) = (raw.pointee.attempt, raw.pointee.tail_bytes)
    guard attempt >= 0 else {
      throw ProtoError(.invalid, field: "attempt", "is \(attempt); expected 0 or more")
    }
    guard tail >= 0 else { throw ProtoError(.invalid, field: "tail_bytes", "is \(tail); expected 0 or more") }
    self.init(
      job: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      runID: try Decode.optionalText(raw.pointee.run_id, "run_id"),
      attempt: attempt == 0 ? nil : Int(attempt),
      stream: try Decode.choice(raw.pointee.stream, "stream"),
      follow: raw.pointee.follow != 0,
      tailBytes: tail == 0 ? nil : tail)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__LogsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
    raw.pointee.run_id = arena.text(runID)
    raw.pointee.attempt = Int32(wire: attempt ?? 0)
    if let stream { raw.pointee.stream = stream.raw }
    raw.pointee.follow = follow ? 1 : 0
    raw.pointee.tail_bytes = tailBytes ?? 0
  }
}

extension LogChunk: Mapped, WireMessage {
  /// As `rota.v1.LogChunk`.
  public static var codec: WireCodec<LogChunk> { .mapped }

  init(raw: UnsafePointer<Rota__V1__LogChunk>) throws(ProtoError) {
    guard let stream = try Decode.choice(raw.pointee.stream, "stream", as: LogStream.self) else {
      throw Decode.missing("stream")
    }
    self.init(
      stream: stream, offset: raw.pointee.offset, data: Decode.bytes(raw.pointee.data),
      attempt: Int(raw.pointee.attempt))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__LogChunk>, _ arena: Arena) {
    raw.pointee.stream = stream.raw
    raw.pointee.offset = offset
    raw.pointee.data = arena.bytes(data)
    raw.pointee.attempt = Int32(wire: attempt)
  }
}
