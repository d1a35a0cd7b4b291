import CCurl

/// What runs on the engine's thread: the multi handle, the running transfers and those that wait their turn.
///
/// Created by the starting thread, handed over whole to the new one, and never shared.
final class EngineLoop {
  /// One scheme, host and port.
  private struct Host {
    var active = 0
    var urgentWaiting = TransferQueue()
    var waiting = TransferQueue()
    var isIdle: Bool { active == 0 && urgentWaiting.isEmpty && waiting.isEmpty }
  }

  private let core: EngineCore
  private let multi: UnsafeMutableRawPointer
  private let configuration: CurlEngine.Configuration
  private var running: [UnsafeMutableRawPointer: Transfer] = [:]
  private var hosts: [String: Host] = [:]
  /// Hosts at which a transfer has ended since the queues were last looked at.
  private var freedHosts: Set<String> = []
  private var queuedCount = 0
  private var idle: [ObjectIdentifier: Transfer] = [:]
  private var nextIdleCheck: ContinuousClock.Instant?
  private var nextQueueCheck: ContinuousClock.Instant?
  private var pool: [EasyHandle] = []
  private var spareCommands: [EngineCore.Command] = []

  init(core: EngineCore, multi: UnsafeMutableRawPointer) {
    self.core = core
    self.multi = multi
    configuration = core.configuration
  }

  func run() {
    _ = rota_multi_set_long(multi, CURLMOPT_MAXCONNECTS, configuration.maxIdleConnections)
    _ = rota_multi_set_long(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_NOTHING))
    while true {
      let (commands, stop) = core.takeCommands(reusing: spareCommands)
      for command in commands { handle(command) }
      startWaiting()
      spareCommands = commands
      spareCommands.removeAll(keepingCapacity: commands.count <= configuration.maxQueuedRequests)
      if stop { break }
      var count: Int32 = 0
      curl_multi_perform(multi, &count)
      collectFinished()
      startWaiting()
      let timeout = checkDeadlines()
      curl_multi_poll(multi, nil, 0, timeout, nil)
    }
    failEverything()
    pool.removeAll()
    core.didStop()
    curl_multi_cleanup(multi)
  }

  // MARK: Commands

  private func handle(_ command: EngineCore.Command) {
    switch command {
    case .start(let transfer):
      if transfer.phase == .submitted {
        enqueue(transfer)
      } else {
        core.didBegin(transfer)  // Cancelled before it came to us.
        if transfer.stream != nil { core.didEndStream() }
        transfer.complete(.failure(cancelledError(transfer)))
      }
    case .cancel(let transfer): cancel(transfer)
    case .resume(let transfer):
      guard transfer.phase == .running, let easy = transfer.easy else { return }
      transfer.didResume()
      scheduleIdleCheck(transfer)
      // May call the write callback at once; an error surfaces as the transfer's result.
      curl_easy_pause(easy.pointer, CURLPAUSE_CONT)
    }
  }

  private func cancel(_ transfer: Transfer) {
    switch transfer.phase {
    case .finished: break
    case .submitted: transfer.phase = .finished  // Its start command follows and completes it.
    case .queued:
      leaveQueue(transfer)
      transfer.complete(.failure(cancelledError(transfer)))
    case .running: finish(transfer, .failure(cancelledError(transfer)))
    }
  }

  private func cancelledError(_ transfer: Transfer) -> CurlError {
    CurlError(code: .cancelled, message: transfer.cancelledError.message, certainty: transfer.certainty)
  }

  // MARK: Queue

  private func enqueue(_ transfer: Transfer) {
    if transfer.stream != nil {
      begin(transfer)
      return
    }
    let host = hosts[transfer.hostKey, default: Host()]
    if host.active < limit(for: transfer), transfer.request.urgent || host.waiting.isEmpty {
      begin(transfer)
      return
    }
    transfer.phase = .queued
    queuedCount += 1
    if transfer.request.urgent {
      hosts[transfer.hostKey, default: Host()].urgentWaiting.append(transfer)
    } else {
      hosts[transfer.hostKey, default: Host()].waiting.append(transfer)
    }
    if nextQueueCheck == nil { nextQueueCheck = .now.advanced(by: CurlLimits.queueCheckInterval) }
  }

  private func limit(for transfer: Transfer) -> Int {
    let reserve = transfer.request.urgent ? configuration.urgentConnectionsPerHost : 0
    return max(1, configuration.maxConnectionsPerHost) + max(0, reserve)
  }

  /// A queued transfer is done for; the queue's entry is dropped when it is next looked at.
  private func leaveQueue(_ transfer: Transfer) {
    queuedCount -= 1
    core.didBegin(transfer)
  }

  /// Starts whatever may run now that connections have become free. Not from `finish`, which this calls for
  /// requests that are overdue: a long queue must not become a deep recursion.
  private func startWaiting() {
    while let key = freedHosts.popFirst() {
      while let next = nextWaiting(hostKey: key) {
        queuedCount -= 1
        begin(next)
      }
      if let host = hosts[key], host.isIdle { hosts[key] = nil }
    }
  }

  private func nextWaiting(hostKey: String) -> Transfer? {
    guard var host = hosts.removeValue(forKey: hostKey) else { return nil }
    defer { hosts[hostKey] = host }
    let ordinary = max(1, configuration.maxConnectionsPerHost)
    if host.active < ordinary + max(0, configuration.urgentConnectionsPerHost),
      let urgent = host.urgentWaiting.popQueued()
    {
      return urgent
    }
    guard host.active < ordinary else { return nil }
    return host.waiting.popQueued()
  }

  // MARK: Transfers

  private func begin(_ transfer: Transfer) {
    core.didBegin(transfer)
    transfer.phase = .running
    if transfer.stream == nil { hosts[transfer.hostKey, default: Host()].active += 1 }
    let remaining = transfer.deadline.map { ContinuousClock.now.duration(to: $0) }
    if let remaining, remaining <= .zero {
      finish(transfer, .failure(queueTimeout(transfer)))
      return
    }
    guard let easy = pool.popLast() ?? EasyHandle() else {
      finish(transfer, .failure(transfer.error(.other, "libcurl is out of memory")))
      return
    }
    transfer.easy = easy
    transfer.lastActivity = .now
    let code = easy.configure(for: transfer, remaining: remaining)
    guard code == CURLE_OK else {
      finish(transfer, transfer.outcome(of: code, detail: ""))
      return
    }
    let added = curl_multi_add_handle(multi, easy.pointer)
    guard added == CURLM_OK else {
      let text = String(cString: curl_multi_strerror(added))
      finish(transfer, .failure(transfer.error(.other, text)))
      return
    }
    running[easy.pointer] = transfer
    scheduleIdleCheck(transfer)
  }

  /// Ends a running transfer, whatever stage it reached, and lets the next one start.
  private func finish(_ transfer: Transfer, _ outcome: Result<Void, CurlError>) {
    if let easy = transfer.easy {
      if running.removeValue(forKey: easy.pointer) != nil { curl_multi_remove_handle(multi, easy.pointer) }
      transfer.easy = nil
      easy.reset()
      if pool.count < CurlLimits.pooledHandles { pool.append(easy) }
    }
    if transfer.stream != nil {
      idle[ObjectIdentifier(transfer)] = nil
      core.didEndStream()
      transfer.complete(outcome)
    } else {
      hosts[transfer.hostKey]?.active -= 1
      freedHosts.insert(transfer.hostKey)
      transfer.complete(outcome)
    }
  }

  private func collectFinished() {
    var left: Int32 = 0
    while let message = curl_multi_info_read(multi, &left) {
      guard message.pointee.msg == CURLMSG_DONE, let pointer = message.pointee.easy_handle,
        let transfer = running[pointer]
      else { continue }
      let code = rota_message_result(message)
      finish(transfer, transfer.outcome(of: code, detail: transfer.easy?.errorText ?? ""))
    }
  }

  // MARK: Deadlines

  /// Fails what is overdue; returns how long the thread may sleep, in milliseconds.
  private func checkDeadlines() -> Int32 {
    guard nextQueueCheck != nil || nextIdleCheck != nil else { return CurlLimits.maxPollMilliseconds }
    let now = ContinuousClock.now
    if let due = nextQueueCheck, now >= due {
      expireQueued(now)
      nextQueueCheck = queuedCount > 0 ? now.advanced(by: CurlLimits.queueCheckInterval) : nil
    }
    if let due = nextIdleCheck, now >= due { expireIdle(now) }
    let next = [nextQueueCheck, nextIdleCheck].compactMap { $0 }.min()
    guard let next else { return CurlLimits.maxPollMilliseconds }
    return Int32(min(Int(CurlLimits.maxPollMilliseconds), milliseconds(now.duration(to: next))))
  }

  private func expireQueued(_ now: ContinuousClock.Instant) {
    for key in Array(hosts.keys) {
      let overdue =
        (hosts[key]?.urgentWaiting.removeOverdue(now) ?? [])
        + (hosts[key]?.waiting.removeOverdue(now) ?? [])
      for transfer in overdue {
        leaveQueue(transfer)
        transfer.complete(.failure(queueTimeout(transfer)))
      }
    }
  }

  private func queueTimeout(_ transfer: Transfer) -> CurlError {
    transfer.error(.timeout, "no connection became free within \(transfer.request.timeout)")
  }

  private func scheduleIdleCheck(_ transfer: Transfer) {
    guard let deadline = transfer.idleDeadline else { return }
    idle[ObjectIdentifier(transfer)] = transfer
    nextIdleCheck = min(nextIdleCheck ?? deadline, deadline)
  }

  private func expireIdle(_ now: ContinuousClock.Instant) {
    nextIdleCheck = nil
    for transfer in Array(idle.values) {
      guard let deadline = transfer.idleDeadline else {
        continue  // Paused: resuming schedules the next check.
      }
      if now >= deadline {
        let text = "nothing was received for \(now - transfer.lastActivity)"
        finish(transfer, .failure(transfer.error(.timeout, text)))
      } else {
        nextIdleCheck = min(nextIdleCheck ?? deadline, deadline)
      }
    }
  }

  // MARK: End

  private func failEverything() {
    var unfinished = Array(running.values)
    for key in Array(hosts.keys) {
      unfinished += hosts[key]?.urgentWaiting.removeAll() ?? []
      unfinished += hosts[key]?.waiting.removeAll() ?? []
    }
    for transfer in unfinished where transfer.phase != .finished {
      let error = transfer.error(.shutdown, "the HTTP engine was shut down")
      if transfer.phase == .queued {
        leaveQueue(transfer)
        transfer.complete(.failure(error))
      } else {
        finish(transfer, .failure(error))
      }
    }
  }
}

/// First in, first out, with entries that may have been finished while they waited.
private struct TransferQueue {
  private var items: [Transfer] = []
  private var head = 0

  var isEmpty: Bool { head == items.count }

  mutating func append(_ transfer: Transfer) { items.append(transfer) }

  /// The first that still waits.
  mutating func popQueued() -> Transfer? {
    while head < items.count {
      let transfer = items[head]
      head += 1
      if head == items.count {
        items.removeAll(keepingCapacity: true)
        head = 0
      } else if head >= 1024 && head * 2 >= items.count {
        items.removeFirst(head)
        head = 0
      }
      if transfer.phase == .queued { return transfer }
    }
    return nil
  }

  /// Takes out those whose time is over, and forgets finished ones.
  mutating func removeOverdue(_ now: ContinuousClock.Instant) -> [Transfer] {
    var overdue: [Transfer] = []
    var kept: [Transfer] = []
    for transfer in items[head...] where transfer.phase == .queued {
      if let deadline = transfer.deadline, now >= deadline {
        overdue.append(transfer)
      } else {
        kept.append(transfer)
      }
    }
    items = kept
    head = 0
    return overdue
  }

  mutating func removeAll() -> [Transfer] {
    let all = items[head...].filter { $0.phase == .queued }
    items = []
    head = 0
    return all
  }
}
