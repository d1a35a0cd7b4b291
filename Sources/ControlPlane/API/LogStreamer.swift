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
    guard let record = await replica.run(run) else {
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

  /// What came of asking for a piece.
  private enum Piece {
    case reply(LogReply)
    /// Nothing yet, but the attempt is not over.
    case notYet
    /// The agent that holds the log is not to be had, or has it no longer.
    case gone(AttemptRecord)
  }

  private func stream(_ attempt: AttemptRecord) async throws {
    var open = request.stream.map { [$0] } ?? [.stdout, .stderr]
    var offsets = Dictionary(uniqueKeysWithValues: open.map { ($0, -(request.tailBytes ?? 0)) })
    while !open.isEmpty {
      var progressed = false
      for stream in open {
        switch try await piece(of: attempt.attempt, stream, from: offsets[stream] ?? 0) {
        case .gone(let attempt): return try await sendKeptTail(attempt)
        case .notYet: continue
        case .reply(let reply):
          if !reply.data.isEmpty {
            progressed = true
            try await send(
              LogChunk(stream: stream, offset: reply.offset, data: reply.data, attempt: attempt.attempt))
          }
          offsets[stream] = reply.offset + Int64(reply.data.count)
          if reply.end || (!request.follow && reply.data.isEmpty) { open.removeAll { $0 == stream } }
        }
      }
      if !progressed && !open.isEmpty { try await Task.sleep(for: ServerLimits.logPollInterval) }
    }
  }

  /// Asks the agent for a piece. The record is looked at first, so that `end` is not believed too early.
  private func piece(of number: Int, _ stream: LogStream, from offset: Int64) async throws -> Piece {
    let record = try await current()
    guard let attempt = record.attempts.first(where: { $0.attempt == number }) else {
      throw ServiceError.notFound("run '\(run.runID)' keeps attempt \(number) no longer")
    }
    let isOver = attempt.endedAt != nil || record.state.isTerminal
    guard let reply = await ask(attempt, stream, from: offset) else {
      return isOver || !request.follow ? .gone(attempt) : .notYet
    }
    guard reply.error != nil else { return .reply(reply) }
    if isOver { return .gone(attempt) }
    // It has been assigned, and the agent has not begun with it.
    return request.follow ? .notYet : .reply(LogReply(request: 0, end: true))
  }

  /// The agent's answer; nil when it is not to be had.
  private func ask(_ attempt: AttemptRecord, _ stream: LogStream, from offset: Int64) async -> LogReply? {
    guard let channel = logs.channel(of: attempt.agent.agentID) else { return nil }
    // An attempt's fencing token is its number: both rise by one with each assignment.
    let ref = AttemptRef(
      run: run, attempt: attempt.attempt, fence: Int64(attempt.attempt),
      incarnation: attempt.agent.createRevision)
    return try? await channel.ask(ref, stream, offset: offset, limit: ServerLimits.logChunk)
  }

  /// The files are not to be had: what the result kept of the output has to do. An attempt that wrote
  /// nothing, such as a no-op, has nothing to show.
  private func sendKeptTail(_ attempt: AttemptRecord) async throws {
    let record = try await current()
    let isLast = record.attempts.last?.attempt == attempt.attempt
    if isLast && !record.outputTail.isEmpty {
      try await send(
        LogChunk(stream: .stdout, offset: 0, data: record.outputTail, attempt: attempt.attempt))
    } else if attempt.endReason == .agentLost || attempt.endedAt == nil {
      // While it is followed, another attempt elsewhere will have the output.
      if request.follow { return }
      throw ServiceError.unavailable(
        "agent '\(attempt.agent.agentID)', which holds the log, is not connected")
    }
  }
}
