import CProto
import SchedulerCore

extension SubmitRequest: Mapped, WireMessage {
  /// As `rota.v1.SubmitRequest`.
  public static var codec: WireCodec<SubmitRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__SubmitRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.namespace(raw.pointee.namespace_),
      jobID: try Decode.optionalText(raw.pointee.job_id, "job_id"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      delayMillis: try Decode.millis(raw.pointee.delay, "delay"),
      frequency: try Decode.choice(raw.pointee.frequency, "frequency"),
      timeZone: try Decode.optionalText(raw.pointee.time_zone, "time_zone"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.delay = arena.duration(millis: delayMillis)
    if let frequency { raw.pointee.frequency = frequency.raw }
    raw.pointee.time_zone = arena.text(timeZone)
  }
}

extension SubmitResponse: Mapped, WireMessage {
  /// As `rota.v1.SubmitResponse`.
  public static var codec: WireCodec<SubmitResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__SubmitResponse>) throws(ProtoError) {
    self.init(job: try Decode.required(raw.pointee.job, "job"), created: raw.pointee.created != 0)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitResponse>, _ arena: Arena) {
    raw.pointee.job = arena.message(job)
    raw.pointee.created = created ? 1 : 0
  }
}

extension SubmitBatchRequest: Mapped, WireMessage {
  /// As `rota.v1.SubmitBatchRequest`. A request that could not be read is encoded as an empty one.
  public static var codec: WireCodec<SubmitBatchRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__SubmitBatchRequest>) throws(ProtoError) {
    self.init([])
    requests = try Decode.list(raw.pointee.n_requests, raw.pointee.requests, "requests", of: BatchEntry.self)
      .map(\.request)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitBatchRequest>, _ arena: Arena) {
    raw.pointee.requests = arena.list(requests.map(BatchEntry.init(request:)), &raw.pointee.n_requests)
  }
}

/// One request of a batch, which may be unreadable by itself.
private struct BatchEntry: Mapped {
  let request: Result<SubmitRequest, ProtoError>

  init(request: Result<SubmitRequest, ProtoError>) { self.request = request }

  init(raw: UnsafePointer<Rota__V1__SubmitRequest>) throws(ProtoError) {
    do { request = .success(try SubmitRequest(raw: raw)) } catch { request = .failure(error) }
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitRequest>, _ arena: Arena) {
    if case .success(let request) = request { request.fill(raw, arena) }
  }
}

extension SubmitBatchResponse: Mapped, WireMessage {
  /// As `rota.v1.SubmitBatchResponse`.
  public static var codec: WireCodec<SubmitBatchResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__SubmitBatchResponse>) throws(ProtoError) {
    self.init(results: try Decode.list(raw.pointee.n_results, raw.pointee.results, "results"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitBatchResponse>, _ arena: Arena) {
    raw.pointee.results = arena.list(results, &raw.pointee.n_results)
  }
}

extension SubmitResult: Mapped {
  init(raw: UnsafePointer<Rota__V1__SubmitResult>) throws(ProtoError) {
    self.init(
      jobID: try Decode.optionalText(raw.pointee.job_id, "job_id"), created: raw.pointee.created != 0,
      code: Int(raw.pointee.code), message: try Decode.text(raw.pointee.message, "message"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitResult>, _ arena: Arena) {
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.created = created ? 1 : 0
    raw.pointee.code = Int32(wire: code)
    raw.pointee.message = arena.text(message)
  }
}

extension SubmitStreamResponse: Mapped, WireMessage {
  /// As `rota.v1.SubmitStreamResponse`.
  public static var codec: WireCodec<SubmitStreamResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__SubmitStreamResponse>) throws(ProtoError) {
    self.init()
    accepted = Int(raw.pointee.accepted)
    created = Int(raw.pointee.created)
    refused = Int(raw.pointee.refused)
    refusals = try Decode.list(raw.pointee.n_refusals, raw.pointee.refusals, "refusals")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitStreamResponse>, _ arena: Arena) {
    raw.pointee.accepted = Int64(accepted)
    raw.pointee.created = Int64(created)
    raw.pointee.refused = Int64(refused)
    raw.pointee.refusals = arena.list(refusals, &raw.pointee.n_refusals)
  }
}

extension SubmitRefusal: Mapped {
  init(raw: UnsafePointer<Rota__V1__SubmitRefusal>) throws(ProtoError) {
    self.init(
      index: Int(raw.pointee.index), jobID: try Decode.optionalText(raw.pointee.job_id, "job_id"),
      code: Int(raw.pointee.code), message: try Decode.text(raw.pointee.message, "message"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__SubmitRefusal>, _ arena: Arena) {
    raw.pointee.index = Int64(index)
    raw.pointee.job_id = arena.text(jobID)
    raw.pointee.code = Int32(wire: code)
    raw.pointee.message = arena.text(message)
  }
}
