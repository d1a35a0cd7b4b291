import JSON
import SchedulerCore

/// Asks why a job or a run is where it is.
public struct ExplainRequest: Hashable, Sendable {
  /// Which job, or of which job.
  public var job: JobKey
  /// Which run; nil for the job, with those of its runs that have not ended.
  public var runID: String?

  /// Makes a request.
  public init(job: JobKey, runID: String? = nil) {
    self.job = job
    self.runID = runID
  }
}

/// An explanation as the API shows it: with who has made it.
public struct ExplanationView: Hashable, Sendable {
  /// The explanation.
  public var explanation: Explanation
  /// The server that has made it.
  public var serverID: String
  /// Whether that server leads: otherwise what only the leader knows is missing.
  public var byLeader: Bool
  /// Every change up to this etcd revision has been looked at.
  public var revision: Int64

  /// Makes a view.
  public init(_ explanation: Explanation, serverID: String, byLeader: Bool, revision: Int64) {
    self.explanation = explanation
    self.serverID = serverID
    self.byLeader = byLeader
    self.revision = revision
  }
}

extension ExplanationView {
  /// Writes the explanation as an object.
  public func write(to json: inout JSONWriter) { write(to: &json, timeline: []) }

  /// Writes the explanation as an object, with what has happened to the run.
  public func write(to json: inout JSONWriter, timeline: [RunEvent]) {
    json.object { json in
      json.member("namespace", explanation.job.namespace)
      json.member("job_id", explanation.job.jobID)
      if let runID = explanation.runID { json.member("run_id", runID) }
      json.member("status", explanation.status.rawValue)
      if let state = explanation.state { json.member("state", state.rawValue) }
      json.key("findings")
      json.array { json in for finding in explanation.findings { finding.write(to: &json) } }
      json.member("unended_runs", explanation.unendedRuns)
      json.member("server_id", serverID)
      json.member("by_leader", byLeader)
      json.member("revision", revision)
      guard !timeline.isEmpty else { return }
      json.key("timeline")
      json.array { json in for event in timeline { event.writeView(to: &json) } }
    }
  }
}

extension Finding {
  /// Writes the finding as an object.
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("code", code)
      json.member("kind", kind.rawValue)
      if let runID { json.member("run_id", runID) }
      json.member("message", message)
      if !facts.isEmpty { json.member("facts", facts) }
      if !fix.isEmpty { json.member("fix", fix) }
      if let until { json.member("until", until.rfc3339) }
    }
  }
}

extension RunEvent {
  /// Writes the event as an object.
  func writeView(to json: inout JSONWriter) {
    json.object { json in
      json.member("kind", kind.rawValue)
      json.member("at", at.rfc3339)
      if let actor { json.member("actor", actor) }
      if let attempt { json.member("attempt", attempt) }
      if let code { json.member("code", code) }
      if let message { json.member("message", message) }
      if let revision { json.member("revision", revision) }
    }
  }
}
