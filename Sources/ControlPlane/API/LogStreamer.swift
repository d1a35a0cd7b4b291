import Proto
import SchedulerCore

/// Reads a run's logs from the agents that hold them, attempt by attempt.
struct LogStreamer {
  let replica: Replica
  let logs: LogRelay
  let request: LogsRequest
  let run: RunKey
  let send: (LogChunk) async throws -> Void

  /// Sends everything that was asked for. With `follow`, waits for attempts that are still to come.
  func run() async throws {
    guard request.follow else {
      let record = try await current()
      guard let attempt = wanted(in: record) else { throw missing(record) }
      return try await stream(attempt)
    }
    var done = 0
    for await _ in await replica.changes(of: run.job) {
      var record = try await current()
      while let next = self.next(in: record, after: done) {
        try await stream(next)
        done = next.attempt
        record = try await current()
      }
      if record.state.isTerminal || request.attempt == done { return }
    }
  }

  private func current() async throws -> RunRecord {
    guard let record = await replica.cache.runs[run]?.record else {
      throw ServiceError.notFound("the run was removed")
    }
    return record
  }

  private func wanted(in record: RunRecord) -> AttemptRecord? {
    guard let number = request.attempt else { return record.attempts.last }
    return record.attempts.first { $0.attempt == number }
  }

  private func missing(_ record: RunRecord) -> ServiceError {
    request.attempt.map { .notFound("run '\(run.runID)' has no attempt \($0), or keeps it no longer") }
      ?? .notFound("run '\(run.runID)' has not started yet: it is \(record.state.rawValue)")
  }

  private func next(in record: RunRecord, after done: Int) -> AttemptRecord? {
    if let number = request.attempt { return number > done ? wanted(in: record) : nil }
    // Whoever begins to follow is shown the last attempt, then every later one.
    if done == 0 { return record.attempts.last }
    return record.attempts.first { $0.attempt > done }
  }

  // MARK: One attempt

  private func stream(_ attempt: AttemptRecord) async throws {
    let streams = request.stream.map { [$0] } ?? [.stdout, .stderr]
    var offsets = Dictionary(uniqueKeysWithValues: streams.map { ($0, request.tailBytes.map { -$0 } ?? 0) })
    var open = streams
    while !open.isEmpty {
      var progressed = false
      for stream in open {
        guard let reply = try await read(attempt, stream, from: offsets[stream] ?? 0) else {
          return try await sendKeptTail(attempt)
        }
        if !reply.data.isEmpty {
          progressed = true
          try await send(
            LogChunk(stream: stream, offset: reply.offset, data: reply.data, attempt: attempt.attempt))
        }
        offsets[stream] = reply.offset + Int64(reply.data.count)
        let isOver = reply.end || (!request.follow && reply.data.isEmpty)
        if isOver { open.removeAll { $0 == stream } }
      }
      if !progressed && !open.isEmpty { try await Task.sleep(for: ServerLimits.logPollInterval) }
    }
  }

  /// A piece of a log; nil when the agent that holds it is not to be had.
  private func read(_ attempt: AttemptRecord, _ stream: LogStream, from offset: Int64) async throws -> LogReply? {
    guard let channel = logs.channel(of: attempt.agent.agentID) else { return nil }
    let record = try await current()
    let ref = AttemptRef(
      run: run, attempt: attempt.attempt, fence: record.fence, incarnation: attempt.agent.createRevision)
    let reply: LogReply
    do {
      reply = try await channel.ask(ref, stream, offset: offset, limit: ServerLimits.logChunk)
    } catch let error as ServiceError where error.kind == .unavailable {
      return nil
    }
    if let error = reply.error {
      if let last = record.attempts.last, last.attempt == attempt.attempt, !record.outputTail.isEmpty {
        return nil
      }
      // A no-op, an attempt that never started, or one whose files are gone: there is nothing to show.
      if attempt.endedAt != nil || record.state.isTerminal {
        return LogReply(request: 0, offset: offset, end: true)
      }
      throw ServiceError.unavailable("agent '\(attempt.agent.agentID)': \(error)")
    }
    return reply
  }

  /// The agent cannot be asked: what the result kept of the output has to do.
  private func sendKeptTail(_ attempt: AttemptRecord) async throws {
    let record = try await current()
    if record.attempts.last?.attempt == attempt.attempt, !record.outputTail.isEmpty {
      try await send(
        LogChunk(stream: .stdout, offset: 0, data: record.outputTail, attempt: attempt.attempt))
      return
    }
    // While it is followed, another attempt elsewhere will have the output.
    if request.follow && (attempt.endReason?.isAgentsFault ?? true) { return try await waitBriefly() }
    throw ServiceError.unavailable(
      "agent '\(attempt.agent.agentID)', which holds the log, is not connected")
  }

  private func waitBriefly() async throws { try await Task.sleep(for: ServerLimits.logPollInterval) }
}
