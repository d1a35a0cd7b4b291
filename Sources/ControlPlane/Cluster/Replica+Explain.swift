import Proto
import SchedulerCore

/// What explanations are made from.
extension Replica {
  /// An explanation, and what has to be known to complete it beside the replica.
  struct Explained: Sendable {
    var view: ExplanationView
    /// Where a job was asked about.
    var job: JobRecord?
    /// The calendars of its schedules that exist.
    var calendars: [CalendarRecord] = []
  }

  /// Explains a job or a run; nil where there is none.
  func explain(_ request: ExplainRequest, _ etcd: EtcdCondition) -> Explained? {
    let explainer = Explainer(
      cache, leader: leader, keyspace: surroundings.keyspace, etcd: etcd, now: .now())
    let found =
      request.runID.map { explainer.run(RunKey(job: request.job, runID: $0)) } ?? explainer.job(request.job)
    guard var explanation = found else { return nil }
    if leader == nil, let other = cache.leader?.candidate.record, explanation.unendedRuns > 0 {
      explanation.findings.append(
        Finding(
          .leaderUnreachable,
          "the leader, server '\(other.serverID)', has not answered: what only it knows is missing here",
          facts: ["server_id": other.serverID], fix: "ask again in a few seconds"))
      explanation.findings = explanation.findings.inOrderOfFixing
    }
    var explained = Explained(
      view: ExplanationView(
        explanation, serverID: surroundings.serverID, byLeader: leader != nil, revision: cache.revision))
    guard request.runID == nil, let job = cache.jobs[request.job]?.job.record else { return explained }
    explained.job = job
    explained.calendars = Set(job.spec.schedules.flatMap(\.calendars)).compactMap { name in
      cache.calendars[CalendarKey(namespace: job.key.namespace, name: name)]?.record
    }
    return explained
  }

  /// Whether this server looks after etcd's space now, so that what it has noted of it is of now.
  var knowsSpace: Bool { leader != nil || cache.leader == nil }
}
