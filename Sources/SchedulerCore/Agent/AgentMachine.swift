/// The two clocks at the moment of an input.
public struct AgentTime: Hashable, Sendable {
  /// The wall clock, for records.
  public var wall: Timestamp
  /// CLOCK_BOOTTIME, nanoseconds: what trust in the lease is measured with.
  public var boot: Int64

  /// Makes a moment.
  public init(wall: Timestamp, boot: Int64) {
    self.wall = wall
    self.boot = boot
  }
}

/// All decisions of an agent about its attempts; no IO, no clock.
///
/// Inputs are mutating methods, each with the present time where it matters. They collect `Effects`, which the
/// shell takes after a batch of inputs with `takeEffects(at:)` and executes; what is to be said to the leader it
/// takes with `takeStatus()`, after the effects have been executed.
///
/// An attempt lives here as
///
///     waiting → active → ended → (acknowledged) remembered
///
/// - `active` from the moment that the effect `start` is out, or that it was adopted from the agent's earlier process,
///   until the executor says that all of it is dead;
/// - `ended` until the leader has acknowledged it as durable, over any number of sessions;
/// - `remembered` so that a late duplicate of its assignment is dropped.
public struct AgentMachine: Sendable {
  /// The bounds.
  public struct Limits: Hashable, Sendable {
    /// How many attempts run at once; more wait.
    public var slots: Int
    /// How many attempts may be waiting or running; past it they end as `startFailed`.
    public var attempts: Int
    /// How many ends may be waiting for their acknowledgement before new assignments are dropped.
    public var unacknowledged = 100_000
    /// How many ended and acknowledged attempts are remembered.
    public var remembered = 100_000
    /// The most updates in one status.
    public var updatesPerStatus = 1_000
    /// About the most bytes of attempts in one hello or status, well below what a transport takes at once.
    public var messageBytes = 1 << 20
    /// How many statuses may be unacknowledged before the next waits.
    public var statusesInFlight = 1_000

    /// The bounds for so many slots.
    public init(slots: Int) {
      self.slots = slots
      self.attempts = 2 * slots + 1_000
    }
  }

  /// What happened that should be rare, since the start.
  public struct Counters: Hashable, Sendable {
    /// Assignments that were meant for another incarnation.
    public var foreignAssignments = 0
    /// Assignments of attempts that the agent has or had.
    public var duplicateAssignments = 0
    /// Assignments dropped since too many ends were not acknowledged. The leader sends them again on the next session,
    /// which `wantsNewSession` asks for.
    public var droppedAssignments = 0
    /// Acknowledgements of what was never sent.
    public var badAcknowledgements = 0
    /// Attempts killed because the lease could not be trusted.
    public var fenced = 0
    /// Attempts taken over from the agent's earlier process.
    public var adopted = 0
    /// Checkpoints of tasks that were saved.
    public var savedCheckpoints = 0
    /// Checkpoints of tasks that were refused.
    public var refusedCheckpoints = 0
  }

  /// How a task is killed.
  public enum KillMode: Hashable, Sendable {
    /// SIGTERM, and SIGKILL after the task's grace.
    case terminate
    /// SIGKILL.
    case now
  }

  /// One task to kill.
  public struct Kill: Hashable, Sendable {
    /// Whose task.
    public var ref: AttemptRef
    /// How.
    public var mode: KillMode

    /// Makes a kill.
    public init(ref: AttemptRef, mode: KillMode) {
      self.ref = ref
      self.mode = mode
    }
  }

  /// What the shell has to do, in the order of the members.
  public struct Effects: Sendable {
    /// Ends to keep on disk until `unjournal`.
    public var journal: [AttemptUpdate] = []
    /// Attempts that the disk can forget.
    public var unjournal: [AttemptRef] = []
    /// Tasks to start. Each is answered by `taskStarted` (not for a noop) and, for certain, by `taskEnded`.
    public var start: [Assignment] = []
    /// Tasks to kill; all of them have been started, some may have ended already.
    public var kill: [Kill] = []
    /// Tasks to tell what became of their checkpoints.
    public var checkpoints: [CheckpointAnswer] = []

    /// Whether there is nothing to do.
    public var isEmpty: Bool {
      journal.isEmpty && unjournal.isEmpty && start.isEmpty && kill.isEmpty && checkpoints.isEmpty
    }
  }

  /// The bounds.
  public let limits: Limits
  /// What happened that should be rare.
  public internal(set) var counters = Counters()
  /// The highest epoch of a leader seen.
  public internal(set) var leaderEpoch: Int64 = 0
  /// The present incarnation; nil while there is none.
  public internal(set) var incarnation: Int64?
  /// Whether no new work is taken.
  public internal(set) var isDraining = false
  /// How many attempts have a task that may be running.
  public internal(set) var activeCount = 0
  /// How many attempts wait for a slot.
  public internal(set) var waitingCount = 0
  /// How many ends are not acknowledged.
  public internal(set) var unacknowledgedCount = 0

  var attempts: [AttemptKey: Attempt] = [:]
  var waiting = Queue<AttemptKey>()
  /// How many of the active attempts take a slot; a noop takes none.
  var slotsTaken = 0
  var memory: RecentAttempts
  var session: Session?
  /// Trust in the lease ends then; CLOCK_BOOTTIME, nanoseconds.
  var trustedUntil = Int64.min
  var effects = Effects()

  /// Makes the machine of an agent that has no incarnation yet.
  public init(limits: Limits) {
    self.limits = limits
    self.memory = RecentAttempts(limit: limits.remembered)
  }

  /// What identifies an attempt within the agent.
  struct AttemptKey: Hashable, Sendable {
    var run: RunKey
    var attempt: Int

    init(_ ref: AttemptRef) {
      self.run = ref.run
      self.attempt = ref.attempt
    }
  }

  /// Why the machine had a task killed.
  enum KillCause: Hashable, Sendable {
    case cancelled(String)
    case handedOver(String)
    case fenced
    case agentStopped
  }

  /// An attempt that the agent has to answer for.
  struct Attempt: Sendable {
    enum Phase: Sendable {
      case waiting(Assignment)
      case active(takesSlot: Bool)
      case ended(AttemptEnd)
    }

    let ref: AttemptRef
    var phase: Phase
    var startedAt: Timestamp?
    var cause: KillCause?
    var killed: KillMode?
    /// Nobody wants to hear of it.
    var forgotten = false
    /// Whether it is in the session's outbox.
    var queued = false
    var checkpoint = CheckpointState()
  }

  /// What is sent and acknowledged on the session with the leader.
  struct Session: Sendable {
    /// What has news, each attempt once.
    var outbox = Queue<AttemptKey>()
    /// Attempts with a checkpoint to send, each once.
    var checkpoints = Queue<AttemptKey>()
    /// The ends in each status that is not acknowledged.
    var inFlight = Queue<(sequence: UInt64, ends: [AttemptKey])>()
    var lastSequence: UInt64 = 0
    /// Whether a status is with the writer: what comes meanwhile goes into the next one.
    var isWriting = false
    var health: AgentHealth?
    var tellDraining = false
    /// Whether an assignment was dropped: the leader takes it for known while the session lasts.
    var hasDropped = false
  }
}
