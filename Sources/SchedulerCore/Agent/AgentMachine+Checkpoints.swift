// What tasks save for the next attempt of their run. It stays in a file of the task until it is sent: the machine
// only knows that there is something new, so that it need not hold it for every attempt.

extension AgentMachine {
  /// Where the checkpoints of an attempt stand.
  struct CheckpointState: Hashable, Sendable {
    /// There is something that was not sent, or not on this session.
    var hasNews = false
    /// Sent and not answered.
    var inFlight: UInt64?
    /// The sequence used last.
    var last: UInt64 = 0
    /// The last answer was a refusal.
    var wasRefused = false
    /// Whether it is in the session's queue.
    var queued = false
  }

  /// One checkpoint to send: what is in the attempt's file by then. Answered by `checkpointAnswered` or, where there is
  /// nothing to send, by `checkpointNotSent`.
  public struct CheckpointRequest: Hashable, Sendable {
    /// Whose.
    public var ref: AttemptRef
    /// Under which number.
    public var sequence: UInt64
  }

  /// What became of a checkpoint, for its task.
  public struct CheckpointAnswer: Hashable, Sendable {
    /// Whose.
    public var ref: AttemptRef
    /// That of the request.
    public var sequence: UInt64
    /// Why it was refused; nil: it is durable.
    public var error: String?
  }

  /// A task has written something new, or may have.
  public mutating func checkpointChanged(_ ref: AttemptRef) {
    let key = AttemptKey(ref)
    guard let attempt = attempts[key], attempt.ref == ref, !attempt.forgotten else { return }
    attempts[key]?.checkpoint.hasNews = true
    enqueueCheckpoint(key)
  }

  /// What is to be sent now, before the next status: the last checkpoint of an attempt has to be there before its end. Of each
  /// attempt one is on its way at a time, so that a task which saves faster than etcd writes makes no queue.
  ///
  /// The sequence comes from the boot-time clock: it has to rise over a restart of the agent, too, and to remember it
  /// would take a write to disk for each.
  public mutating func takeCheckpoints(at now: AgentTime) -> [CheckpointRequest] {
    var requests: [CheckpointRequest] = []
    while let key = session?.checkpoints.popFirst() {
      guard var attempt = attempts[key], attempt.checkpoint.queued else { continue }
      attempt.checkpoint.queued = false
      // Without trust nothing is saved for a task that ought to be dead; what an ended one left, the leader judges.
      if attempt.checkpoint.hasNews, !attempt.forgotten, attempt.hasEnded || isTrusted(at: now) {
        let sequence = max(attempt.checkpoint.last + 1, UInt64(max(1, now.boot)))
        attempt.checkpoint.hasNews = false
        attempt.checkpoint.inFlight = sequence
        attempt.checkpoint.last = sequence
        requests.append(CheckpointRequest(ref: attempt.ref, sequence: sequence))
      }
      attempts[key] = attempt
    }
    return requests
  }

  /// The file held nothing to send: nothing new, too much, or it is gone.
  public mutating func checkpointNotSent(_ request: CheckpointRequest) {
    let key = AttemptKey(request.ref)
    guard attempts[key]?.checkpoint.inFlight == request.sequence else { return }
    attempts[key]?.checkpoint.inFlight = nil
    enqueueCheckpoint(key)
  }

  /// The leader answers a checkpoint.
  ///
  /// A running task hears that it is durable only while the lease is trusted: without, its run may have moved.
  public mutating func checkpointAnswered(
    _ ref: AttemptRef, sequence: UInt64, error: String?, at now: AgentTime
  ) {
    let key = AttemptKey(ref)
    guard let attempt = attempts[key], attempt.ref == ref, attempt.checkpoint.inFlight == sequence else {
      return
    }
    var error = error
    if !attempt.hasEnded, !isTrusted(at: now) { error = "the agent's lease could not be trusted" }
    attempts[key]?.checkpoint.inFlight = nil
    attempts[key]?.checkpoint.wasRefused = error != nil
    if error == nil { counters.savedCheckpoints += 1 } else { counters.refusedCheckpoints += 1 }
    effects.checkpoints.append(CheckpointAnswer(ref: ref, sequence: sequence, error: error))
    enqueueCheckpoint(key)
  }

  /// The attempt is over: what was refused gets one more chance.
  mutating func lastCheckpoint(of key: AttemptKey) {
    if attempts[key]?.checkpoint.wasRefused == true { attempts[key]?.checkpoint.hasNews = true }
    enqueueCheckpoint(key)
  }

  /// On a new session everything is said again that was not answered.
  mutating func repeatCheckpoint(of key: AttemptKey) {
    guard var state = attempts[key]?.checkpoint else { return }
    if state.inFlight != nil { state.hasNews = true }
    state.inFlight = nil
    state.queued = false
    attempts[key]?.checkpoint = state
    enqueueCheckpoint(key)
  }

  private mutating func enqueueCheckpoint(_ key: AttemptKey) {
    guard session != nil, let attempt = attempts[key], attempt.checkpoint.hasNews else { return }
    guard !attempt.checkpoint.queued, !attempt.forgotten else { return }
    // The end does not wait for the answer to an earlier one, so neither does the last one.
    guard attempt.checkpoint.inFlight == nil || attempt.hasEnded else { return }
    attempts[key]?.checkpoint.queued = true
    session?.checkpoints.append(key)
  }
}

extension AgentMachine.Attempt {
  fileprivate var hasEnded: Bool {
    if case .ended = phase { true } else { false }
  }
}
