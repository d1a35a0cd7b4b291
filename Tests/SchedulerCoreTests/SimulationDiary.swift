@testable import SchedulerCore

/// What happens in a simulated story, written down as the histories of real clusters are (`Tests/Faults/suite/history.py`),
/// so that the checkers of those, which know nothing of this code, can look at it.
struct SimulationDiary {
  /// The simulated time, milliseconds.
  var now: Int64 = 0
  private var lines: [String] = []
  private var count: Int64 = 0
  private let keyspace: Keyspace

  init(keyspace: Keyspace) {
    self.keyspace = keyspace
    lines.append(#"{"t":0,"kind":"begin","seed":"simulated"}"#)
    lines.append(Self.round("begin", at: 0))
  }

  private static func round(_ phase: String, at time: Int64) -> String {
    #"{"t":\#(time),"kind":"round","phase":"\#(phase)","round":1,"faults":["simulated"]}"#
  }

  /// Nanoseconds; no two alike, since there is an order within a millisecond, too.
  private mutating func time() -> Int64 {
    count += 1
    return now * 1_000_000 + count
  }

  // MARK: What happens

  mutating func submitted(_ job: JobRecord, isKnown: Bool) {
    let (time, marker) = (time(), job.spec.userID)
    lines.append(#"{"t":\#(time),"kind":"plan","round":1,"marker":"\#(marker)","class":"simulated"}"#)
    lines.append(
      #"{"t":\#(time),"kind":"op","op":"submit","marker":"\#(marker)","begin":\#(time),"end":\#(time),"server":"s","#
        + #""job":"\#(job.key.jobID)","outcome":"\#(isKnown ? "ok" : "unknown")"}"#)
  }

  mutating func started(_ ref: AttemptRef, on agent: String, from: Saved?) {
    task("start", ref, on: agent)
    task("from", ref, on: agent, step: from.map(Self.step) ?? 0)
  }

  mutating func saved(_ mark: Saved) { task("saved", mark.ref, on: "-", step: Self.step(mark)) }

  /// The task is not there any more: by itself and well, or in another way.
  mutating func ended(_ ref: AttemptRef, on agent: String, succeeded: Bool) {
    task(succeeded ? "end" : "gone", ref, on: agent)
  }

  private mutating func task(_ what: String, _ ref: AttemptRef, on agent: String, step: UInt64 = 0) {
    lines.append(
      #"{"t":\#(time()),"kind":"task","what":"\#(what)","run":"\#(ref.run.job.jobID)/\#(ref.run.runID)","#
        + #""attempt":\#(ref.attempt),"fence":\#(ref.fence),"agent":"\#(agent)","pid":1,"extra":"\#(step)"}"#)
  }

  /// Checkpoints as numbers that rise with attempts and within them.
  private static func step(_ saved: Saved) -> UInt64 { UInt64(saved.ref.attempt) << 32 + saved.sequence }

  // MARK: The whole

  /// The history, as JSON lines.
  /// - Parameter isOver: Whether the story came to its end, so that everything had to.
  func history(of etcd: SimulatedEtcd, isOver: Bool) -> String {
    var all = lines
    if isOver { all.append(Self.round("end", at: (now + 1) * 1_000_000)) }
    all += etcd.history.compactMap { event in
      switch event.change {
      case .job(let key, let job): line(event, keyspace.job(key), job?.createRevision, job?.record.encoded())
      case .run(let key, let run): line(event, keyspace.run(key), run?.createRevision, run?.record.encoded())
      case .agent(let id, let agent):
        line(event, keyspace.agent(id), agent?.createRevision, agent?.record.encoded())
      default: nil
      }
    }
    return all.joined(separator: "\n") + "\n"
  }

  private func line(
    _ event: SimulatedEtcd.Event, _ key: String, _ created: Int64?, _ value: [UInt8]?
  ) -> String {
    let start = #"{"t":0,"kind":"change","revision":\#(event.revision),"key":"\#(key)","#
    guard let created, let value else { return start + #""type":"delete"}"# }
    return start + #""type":"put","created":\#(created),"value":\#(String(decoding: value, as: UTF8.self))}"#
  }
}
