/// The bounds of a server. Past one of them callers get a clear, retryable error.
enum ServerLimits {
  // MARK: Commit pipeline

  /// Operations (and compares) in one etcd transaction; etcd's own default limit is 128.
  static let operationsPerTransaction = 120
  /// Bytes of keys and values in one transaction; etcd's own default limit for a request is 1.5 MiB.
  static let bytesPerTransaction = 1 << 20
  /// Transactions in flight.
  static let transactionsInFlight = 4
  /// Changes that wait for a transaction.
  static let queuedChanges = 50_000
  /// How long a caller waits for its change to be durable.
  static let callerPatience: Duration = .seconds(5)
  /// How long a leader's change that certainly was not applied is tried again.
  static let leaderPatience: Duration = .seconds(10)
  /// The first and the longest pause before a transaction is tried again.
  static let retryPause: ClosedRange<Duration> = .milliseconds(20)...(.seconds(1))
  /// How often changes that waited too long are looked for.
  static let sweepInterval: Duration = .milliseconds(250)

  /// While so many changes wait for a transaction, nothing is fired; and how often it is looked again, milliseconds.
  static let queuedBeforeFiringWaits = 25_000
  static let firingPauseMillis: Int64 = 50

  // MARK: Cache

  /// Records in one page of a listing.
  static let listingPage: Int64 = 4_000
  /// Pages of a listing that are asked for or decoded at a time.
  static let listingPagesInFlight = 4
  /// How long a read waits for the cache to reach the revision that it must show.
  static let barrierPatience: Duration = .seconds(5)
  /// After so long without news a read has the server write a key of its own, to see the watch move.
  static let barrierNudge: Duration = .milliseconds(50)

  // MARK: Servers and segments

  /// How often a server looks whether it has something new to report of itself, and how often it reports in any case.
  static let figuresInterval: Duration = .seconds(2)
  static let figuresRepeat: Duration = .seconds(10)
  /// How long a server that leaves waits for its segments to move, and how often it looks.
  static let drainPatience: Duration = .seconds(1)
  static let drainPause: Duration = .milliseconds(10)
  /// What of the time that others wait for a lost server is left for what follows its lease's end; and the shortest lease:
  /// etcd grants none for less, with its usual election timeout.
  static let takeoverSeconds: Int64 = 1
  static let shortestLeaseSeconds: Int64 = 2
  /// How long a server that has given its lease back waits to see that, before it sends agents to the next leader; and
  /// how often it looks.
  static let handOverPatience: Duration = .milliseconds(500)
  static let handOverPause: Duration = .milliseconds(1)
  /// How long a member of etcd may take to answer before it is shown as one that does not.
  static let memberPatience: Duration = .seconds(1)
  /// How long the leader may take to show the cluster before the server that was asked does it alone.
  static let clusterPatience: Duration = .seconds(3)
  /// The same where it is asked why something waits: it may have to wait for `barrierPatience` itself.
  static let explainPatience: Duration = .seconds(7)

  // MARK: Sessions

  /// How long an agent that comes too early is sent away at most.
  static let longestSessionWait: Duration = .seconds(30)
  /// How long a hello waits for the cache to know the agent.
  static let helloPatience: Duration = .seconds(2)
  /// How long etcd may take to give out a checkpoint before its assignment is put off.
  static let checkpointPatience: Duration = .seconds(2)
  /// Messages that wait to be sent to one agent; one that is further behind loses its session.
  static let queuedMessages = 20_000
  /// How long an agent may take to answer a log query.
  static let logQueryPatience: Duration = .seconds(10)
  /// Log queries in flight to one agent.
  static let logQueriesInFlight = 256
  /// Bytes asked for in one log query.
  static let logChunk = 64 << 10
  /// How often a followed log is looked at.
  static let logPollInterval: Duration = .milliseconds(100)

  // MARK: API

  /// The largest body of a REST request.
  static let bodyBytes = 1 << 20
  /// The bytes of a REST request's headers, and how many there may be.
  static let headerBytes = 32 << 10
  static let headerFields = 100
  /// The longest reason of a cancellation and the longest note of a pause, bytes.
  static let noteBytes = 1_024
  /// Calendars in the cluster; every server keeps all of them.
  static let calendars = 10_000
  /// Objects of concurrency groups in the cluster; every server keeps all of them.
  static let groups = 10_000
  /// How many of the jobs that name a calendar are named where it cannot be deleted.
  static let namedJobs = 3
  /// Queues that have figures of their own in the metrics.
  static let queuesInMetrics = 100
  /// How often a compare-and-swap of a caller's is tried.
  static let casTries = 16
  /// Submissions of one client stream that are being written at a time, and their bytes.
  static let submitStreamInFlight = 256
  static let submitStreamBytes = 4 << 20
  /// How long a submission of a client stream waits while this server has too much to write, and how often it looks.
  static let submitStreamPatience: Duration = .seconds(30)
  static let submitStreamPause: Duration = .milliseconds(20)
  /// How long the leader may take to give tokens before this server goes by its own share of a rate.
  static let tokenPatience: Duration = .seconds(1)
  /// How long connecting to the leader may take before a forwarded call is refused.
  static let leaderConnectTimeout: Duration = .seconds(2)
  /// What a caller is told to wait before it tries again where the server is overloaded or not available; whole
  /// seconds.
  static let retryDelay: Duration = .seconds(1)
  /// The same where a namespace has used up its quota: something has to end first.
  static let quotaRetryDelay: Duration = .seconds(10)
  /// The same where etcd has no space left: it takes a while to heal.
  static let noSpaceRetryDelay: Duration = .seconds(10)
  /// The longest sentence and the longest path of a field in the status of a gRPC call. Together, twice and encoded,
  /// they have to fit in the 8 KiB of headers that clients accept.
  static let errorMessageBytes = 1_024
  static let errorFieldBytes = 256
  /// How many callers may watch the server's health.
  static let healthWatchers = 1_000
  /// How often the server's health is looked at, and how long after the last good look it is still good.
  static let healthInterval: Duration = .milliseconds(500)
  static let healthPatience: Duration = .seconds(3)
  /// How long a client may take for its TLS handshake, over gRPC for its HTTP/2 preface too.
  static let handshakeTimeout: Duration = .seconds(10)
  /// Times after which an idle REST connection is closed.
  static let httpIdleTimeout: Duration = .seconds(75)

  // MARK: Change streams

  /// Changes that are kept in memory for the streams, and about their bytes.
  static let ringEvents = 20_000
  static let ringBytes = 16 << 20
  /// Change streams open at a time.
  static let eventStreams = 500
  /// What a stream takes at a time: so many changes or bytes of records are enough for one step.
  static let eventPieceCount = 500
  static let eventPieceBytes = 512 << 10
  /// The largest step that is sent over gRPC, bytes, where it can be cut; a message may have 4 MiB.
  static let eventStepBytes = 3 << 20
  /// Records in one page of what stands.
  static let standingPage = 200
  /// How often an idle stream says how far it has come.
  static let eventMarkerInterval: Duration = .seconds(5)
  /// Streams that may read past changes from etcd at a time, and how long one piece may take.
  static let catchUps = 8
  static let catchUpPatience: Duration = .seconds(10)

  // MARK: Forecasts and backfills

  /// Forecasts that are computed at a time, and ranges of backfills that are looked through; others wait.
  static let forecasts = 2
  static let backfillLooks = 2
  /// Jobs that are copied out of the replica for a forecast at a time, and jobs that are passed to find them: together
  /// they hold it for a few milliseconds.
  static let forecastPage = 250
  static let forecastJobsPassed = 10_000

  // MARK: Alerts

  /// How long telling somebody of an alert may take, and how often it is looked whether a command has ended.
  static let alertPatience: Duration = .seconds(30)
  static let alertCommandPause: Duration = .milliseconds(50)
  /// What is read of the answer to a webhook, bytes.
  static let alertResponseBytes = 64 << 10
  /// How often it is looked whether a new leader has to be told of the alerts in etcd.
  static let alertLoadPause: Duration = .milliseconds(200)

  // MARK: Housekeeping

  /// How often history in etcd is compacted.
  static let compactionInterval: Duration = .seconds(60)
  /// How many revisions of history are kept, for watches that are behind; and while space is short.
  static let revisionsKept: Int64 = 20_000
  static let revisionsKeptInShortage: Int64 = 100
  /// How often it is looked whether etcd has refused a write for want of space; and how often, while space is short, how
  /// large its databases are.
  static let spaceCheckInterval: Duration = .milliseconds(500)
  static let shortageInterval: Duration = .seconds(10)
  /// How long the removal of history may take before etcd is compacted all the same, and how often that is looked at.
  static let removalPatience: Duration = .seconds(30)
  static let removalPause: Duration = .milliseconds(200)
  /// How long it takes until it is tried again to make space where that was not enough.
  static let healingPause: Duration = .seconds(5)
  /// How long a compaction or the defragmentation of one member may take.
  static let maintenancePatience: Duration = .seconds(120)
  /// The only member of an etcd is defragmented up to this size where there is no alarm: it stands still meanwhile.
  static let soloDefragmentationBytes: Int64 = 256 << 20
  /// While nobody leads, a server waits up to this long before it heals etcd: another may be faster.
  static let leaderlessPause: Duration = .seconds(10)
  /// How long an idempotency key is remembered, at least.
  static let idempotencyMemory: Duration = .seconds(24 * 3_600)
  /// How long one lease is given to new idempotency keys.
  static let idempotencyLeaseUse: Duration = .seconds(3_600)
}
