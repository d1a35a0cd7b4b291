/// Bounds that are the same for every agent; those that an operator may tune are in `AgentConfiguration`.
enum AgentLimits {
  // Execution.
  /// The longest spec that goes to a shim; a pipe takes 1 MiB from anybody.
  static let shimSpecBytes = 1_000_000
  /// A longer spec needs a larger pipe than the usual 64 KiB.
  static let defaultPipeBytes = 65_536
  /// The longest incomplete line accepted from a shim.
  static let shimLineBytes = 4_096
  /// Bytes read from a shim at once.
  static let shimReadBytes = 1_024
  /// The longest time that an HTTP task may run when it names none: curl counts milliseconds in 31 bits.
  static let httpMillisUnlimited: Int64 = 20 * 24 * 3_600_000
  /// The longest response to an HTTP task that is accepted.
  static let httpResponseBytes = 16 << 20
  /// How much of a response goes to the log.
  static let httpLoggedBytes = 256 << 10
  /// Shims started before the running ones are looked at again.
  static let startsPerTurn = 16
  /// How often processes that outlived their shim are looked for, milliseconds.
  static let orphanCheckMillis: Int32 = 100
  /// How long shims of an earlier life may take to kill their tasks before all of it is killed, if trust in the lease lasts. What has no
  /// shim is not waited for.
  static let strayGrace: Duration = .seconds(5)
  /// The same while other tasks of that life go on and wait for the lease to be renewed.
  static let strayGraceBesideAdopted: Duration = .seconds(1)
  /// How long killed processes may take to disappear.
  static let strayKillWait: Duration = .seconds(10)

  // Isolation.
  /// How deep the control groups that a task has made in its own are looked into.
  static let cgroupDepth = 8
  /// How much of the names of job and run goes into that of a control group, whose length the kernel limits to 255.
  static let cgroupNamePart = 80
  /// The stretch of time that a limit on processors is measured over, microseconds: the kernel's default.
  static let cpuPeriodMicros: Int64 = 100_000
  /// The niceness of a task whose processor time cannot be limited.
  static let niceOfLimitedTask = 10
  /// The longest entry of a user or group that is read.
  static let userEntryBytes = 1 << 20
  /// The most groups of a user.
  static let userGroups: Int32 = 65_536
  /// The longest table of mounts that is read.
  static let mountTableBytes = 4 << 20

  // Adoption.
  /// The longest that shims may take to answer a new process of the agent; half of what is left of the lease, if that is less.
  static let adoptionWait: Duration = .seconds(10)
  /// How long tasks that are being started may take to be written down before the agent leaves for an upgrade.
  static let leaveWait: Duration = .seconds(2)

  // Checkpoints of processes.
  /// The longest mark that is read.
  static let checkpointMarkBytes = 512
  /// Bytes of the kernel's notices read at once, and how often in one turn.
  static let checkpointEventBytes = 16_384
  static let checkpointReadsPerTurn = 16

  // Journal.
  /// A file smaller than this is never rewritten.
  static let journalCompactBytes = 4 << 20
  /// The longest record believed when the journal is read.
  static let journalRecordBytes = 16 << 20

  // Logs.
  /// The most bytes in one answer.
  static let logReplyBytes = 256 << 10
  /// For how many logs rotations are tracked.
  static let trackedLogs = 2_000

  // Lease.
  /// The least margin between the end of trust and that of the lease.
  static let minimumMarginMillis: Int64 = 500
  /// The longest wait between two tries to register.
  static let registerRetryMillis: Int64 = 1_000

  // Session.
  /// How often the leader is looked up while there is no session: this share of the lease's TTL, which grows with
  /// the fleet; 200 ms of 6 s. After `leaderPollPatience` it is half as often each time, down to a third of the TTL.
  static let leaderPollsPerTTL: Int64 = 30
  static let leaderPollPatience: Duration = .seconds(15)
  /// The waits between attempts to connect to one and the same leader.
  static let reconnectMinMillis: Int64 = 50
  static let reconnectMaxMillis: Int64 = 2_000
  /// The longest wait that a leader may ask for.
  static let longestRetryMillis: Int64 = 60_000
  /// How long the leader may take for its welcome.
  static let welcomeWait: Duration = .seconds(5)
  /// How often the leader's key is looked at while connected: this share of the lease's TTL.
  static let leaderChecksPerTTL: Int64 = 3
  /// How often the agent's figures are taken.
  static let healthInterval: Duration = .seconds(5)

  // Shutdown.
  /// How long the last acknowledgements are waited for.
  static let acknowledgementWait: Duration = .seconds(5)
  /// How long a killed task may take to be confirmed dead before that is said loudly.
  static let killComplaint: Duration = .seconds(10)

  // Housekeeping of attempt folders.
  /// How often old folders are looked for.
  static let janitorInterval: Duration = .seconds(60)
}
