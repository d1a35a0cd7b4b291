import CProto
import SchedulerCore

extension ExplainRequest: Mapped, WireMessage {
  /// As `rota.v1.ExplainRequest`.
  public static var codec: WireCodec<ExplainRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ExplainRequest>) throws(ProtoError) {
    self.init(
      job: try Decode.jobKey(raw.pointee.namespace_, raw.pointee.job_id),
      runID: try Decode.optionalText(raw.pointee.run_id, "run_id"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ExplainRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(job.namespace)
    raw.pointee.job_id = arena.text(job.jobID)
    raw.pointee.run_id = arena.text(runID)
  }
}

extension ExplanationView: Mapped, WireMessage {
  /// As `rota.v1.Explanation`.
  public static var codec: WireCodec<ExplanationView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Explanation>) throws(ProtoError) {
    guard let status = try Decode.choice(raw.pointee.status, "status", as: JobStatus.self) else {
      throw Decode.missing("status")
    }
    var explanation = Explanation(
      job: JobKey(
        namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
        jobID: try Decode.text(raw.pointee.job_id, "job_id")),
      runID: try Decode.optionalText(raw.pointee.run_id, "run_id"), status: status,
      state: try Decode.choice(raw.pointee.state, "state"))
    explanation.findings = try Decode.list(raw.pointee.n_findings, raw.pointee.findings, "findings")
    explanation.unendedRuns = Int(raw.pointee.unended_runs)
    self.init(
      explanation, serverID: try Decode.text(raw.pointee.server_id, "server_id"),
      byLeader: raw.pointee.by_leader != 0, revision: raw.pointee.revision)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Explanation>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(explanation.job.namespace)
    raw.pointee.job_id = arena.text(explanation.job.jobID)
    raw.pointee.run_id = arena.text(explanation.runID)
    raw.pointee.status = explanation.status.raw
    if let state = explanation.state { raw.pointee.state = state.raw }
    raw.pointee.findings = arena.list(explanation.findings, &raw.pointee.n_findings)
    raw.pointee.unended_runs = Int32(wire: explanation.unendedRuns)
    raw.pointee.server_id = arena.text(serverID)
    raw.pointee.by_leader = byLeader ? 1 : 0
    raw.pointee.revision = revision
  }
}

extension Finding: Mapped {
  init(raw: UnsafePointer<Rota__V1__Finding>) throws(ProtoError) {
    guard let kind = try Decode.choice(raw.pointee.kind, "kind", as: Finding.Kind.self) else {
      throw Decode.missing("kind")
    }
    self.init(
      code: try Decode.text(raw.pointee.code, "code"), kind: kind,
      runID: try Decode.optionalText(raw.pointee.run_id, "run_id"),
      message: try Decode.text(raw.pointee.message, "message"),
      facts: try Decode.map(raw.pointee.n_facts, raw.pointee.facts, "facts"),
      fix: try Decode.text(raw.pointee.fix, "fix"), until: try Decode.time(raw.pointee.until, "until"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Finding>, _ arena: Arena) {
    raw.pointee.code = arena.text(code)
    raw.pointee.kind = kind.raw
    raw.pointee.run_id = arena.text(runID)
    raw.pointee.message = arena.text(message)
    raw.pointee.facts = arena.map(facts, &raw.pointee.n_facts)
    raw.pointee.fix = arena.text(fix)
    raw.pointee.until = arena.time(until)
  }
}

extension Finding.Kind: WireEnum {
  static let wireValues: [(Finding.Kind, Rota__V1__FindingKind)] = [
    (.blocks, ROTA__V1__FINDING_KIND__FINDING_KIND_BLOCKS),
    (.waits, ROTA__V1__FINDING_KIND__FINDING_KIND_WAITS),
    (.tells, ROTA__V1__FINDING_KIND__FINDING_KIND_TELLS),
  ]
}

extension RunEvent: Mapped {
  init(raw: UnsafePointer<Rota__V1__RunEvent>) throws(ProtoError) {
    guard let kind = Kind(rawValue: try Decode.text(raw.pointee.kind, "kind")) else {
      throw ProtoError(.invalid, field: "kind", "is not a known kind of event")
    }
    let (attempt, revision) = (raw.pointee.attempt, raw.pointee.revision)
    self.init(
      kind, at: try Decode.requiredTime(raw.pointee.at, "at"),
      actor: try Decode.optionalText(raw.pointee.actor, "actor"), attempt: attempt == 0 ? nil : Int(attempt),
      code: try Decode.optionalText(raw.pointee.code, "code"),
      message: try Decode.optionalText(raw.pointee.message, "message"),
      revision: revision == 0 ? nil : revision)
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__RunEvent>, _ arena: Arena) {
    raw.pointee.kind = arena.text(kind.rawValue)
    raw.pointee.at = arena.time(at)
    raw.pointee.actor = arena.text(actor)
    raw.pointee.attempt = Int32(wire: attempt ?? 0)
    raw.pointee.code = arena.text(code)
    raw.pointee.message = arena.text(message)
    raw.pointee.revision = revision ?? 0
  }

  /// The events of a run; those of a kind that a newer server knows are not shown.
  static func list(
    _ count: Int, _ list: UnsafeMutablePointer<UnsafeMutablePointer<Rota__V1__RunEvent>?>?
  ) throws(ProtoError) -> [RunEvent] {
    guard let list, count > 0 else { return [] }
    var events: [RunEvent] = []
    for index in 0..<count {
      guard let raw = list[index] else { continue }
      guard Kind(rawValue: try Decode.text(raw.pointee.kind, "kind")) != nil else { continue }
      do { events.append(try RunEvent(raw: UnsafePointer(raw))) } catch {
        throw error.inside("timeline[\(index)]")
      }
    }
    return events
  }
}
