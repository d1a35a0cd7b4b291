import CProto
import CProtobufC
import SchedulerCore

extension Decode {
  /// A namespace, the default one where none is said.
  static func namespace(_ data: ProtobufCBinaryData) throws(ProtoError) -> String {
    try optionalText(data, "namespace") ?? JobSpec.Defaults.namespace
  }

  /// The key of a job, whose id has to be said.
  static func jobKey(
    _ namespace: ProtobufCBinaryData, _ jobID: ProtobufCBinaryData
  ) throws(ProtoError) -> JobKey {
    guard let id = try optionalText(jobID, "job_id") else { throw missing("job_id") }
    return JobKey(namespace: try self.namespace(namespace), jobID: id)
  }
}

extension GetJobRequest: Mapped, WireMessage {
  /// As `rota.v1.GetJobRequest`.
  public static var codec: WireCodec<GetJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetJobRequest>) throws(ProtoError) {
    self.init(key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
  }
}

extension ListJobsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListJobsRequest`.
  public static var codec: WireCodec<ListJobsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListJobsRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.optionalText(raw.pointee.namespace_, "namespace"),
      status: try Decode.choice(raw.pointee.status, "status"),
      userID: try Decode.optionalText(raw.pointee.user_id, "user_id"),
      labels: try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels"),
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListJobsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    if let status { raw.pointee.status = status.raw }
    raw.pointee.user_id = arena.text(userID)
    raw.pointee.labels = arena.map(labels, &raw.pointee.n_labels)
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListJobsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListJobsResponse`.
  public static var codec: WireCodec<ListJobsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListJobsResponse>) throws(ProtoError) {
    self.init(
      jobs: try Decode.list(raw.pointee.n_jobs, raw.pointee.jobs, "jobs"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"),
      revision: raw.pointee.revision)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListJobsResponse>, _ arena: Arena) {
    raw.pointee.jobs = arena.list(jobs, &raw.pointee.n_jobs)
    raw.pointee.next_page_token = arena.text(nextPageToken)
    raw.pointee.revision = revision
  }
}

extension CancelJobRequest: Mapped, WireMessage {
  /// As `rota.v1.CancelJobRequest`.
  public static var codec: WireCodec<CancelJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__CancelJobRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      reason: try Decode.optionalText(raw.pointee.reason, "reason"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__CancelJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
    raw.pointee.reason = arena.text(reason)
  }
}

extension WatchJobRequest: Mapped, WireMessage {
  /// As `rota.v1.WatchJobRequest`.
  public static var codec: WireCodec<WatchJobRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__WatchJobRequest>) throws(ProtoError) {
    self.init(key: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__WatchJobRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.job_id = arena.text(key.jobID)
  }
}
