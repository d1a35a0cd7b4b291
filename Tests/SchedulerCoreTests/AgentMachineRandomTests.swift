import Testing

@testable import SchedulerCore

/// Random sequences of inputs against a model of the world; each seed repeats exactly.
struct AgentMachineRandomTests {
  struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  /// The executors, the journal and the leader, as far as the machine can tell.
  struct World {
    var machine = AgentMachine(limits: AgentMachine.Limits(slots: 4))
    var random: Seeded
    var clock: Int64 = 1
    var incarnation: Int64 = 1
    var trustedUntil: Int64 = 0
    var nextRun = 0
    var assigned: [Assignment] = []
    var started = Set<AttemptRef>()
    var running = Set<AttemptRef>()
    var killedNow = Set<AttemptRef>()
    var journal: [AttemptRef: AttemptEnd] = [:]
    var forgotten = Set<AttemptRef>()
    var durable = Set<AttemptRef>()
    var sent: [(sequence: UInt64, ends: [AttemptRef])] = []
    var hasSession = false
    var epoch: Int64 = 0
    /// What each task has saved last, and what of it is durable. One more with each save.
    var saved: [AttemptRef: Int] = [:]
    var durableSave: [AttemptRef: Int] = [:]
    var refusedSave: [AttemptRef: Int] = [:]
    /// Checkpoints on their way to the leader, in order: what was in the file when it was read.
    var savesSent: [(request: AgentMachine.CheckpointRequest, save: Int)] = []
    var lastSequence: [AttemptRef: UInt64] = [:]
    var restarts = 0

    var now: AgentTime { AgentTime(wall: Timestamp(microseconds: clock), boot: clock) }

    init(seed: UInt64) {
      random = Seeded(state: seed)
      machine.newIncarnation(incarnation)
      renew()
    }

    mutating func renew() {
      trustedUntil = clock + 50
      machine.leaseTrusted(until: trustedUntil, at: now)
    }

    mutating func settle() {
      let effects = machine.takeEffects(at: now)
      for update in effects.journal {
        #expect(update.end != nil && journal[update.ref] == nil, "an end is written once")
        #expect(!running.contains(update.ref), "what has ended does not run")
        journal[update.ref] = update.end
      }
      for ref in effects.unjournal {
        #expect(durable.contains(ref) || forgotten.contains(ref), "only what nobody needs is forgotten")
        journal[ref] = nil
      }
      for assignment in effects.start {
        #expect(started.insert(assignment.ref).inserted, "an attempt starts at most once")
        #expect(clock < trustedUntil, "nothing starts without trust")
        #expect(assignment.ref.incarnation == incarnation, "nothing of another incarnation starts")
        running.insert(assignment.ref)
      }
      for kill in effects.kill {
        #expect(started.contains(kill.ref), "only what was started is killed")
        if kill.mode == .now { killedNow.insert(kill.ref) }
      }
      for answer in effects.checkpoints {
        #expect(answer.error != nil || clock < trustedUntil || !running.contains(answer.ref))
      }
      sendCheckpoints()
      #expect(running.count <= 4)
      if clock >= trustedUntil { #expect(running.isSubset(of: killedNow), "past its trust all is killed") }
      if let status = machine.takeStatus(), hasSession {
        #expect(status.updates.count <= 1_000)
        for update in status.updates {
          #expect(!forgotten.contains(update.ref), "nothing forgotten is reported")
          if let end = update.end {
            #expect(journal[update.ref] == end, "an end is journaled before it is sent")
            #expect(isSaid(update.ref), "what was saved last goes before the end")
          }
        }
        let ends = status.updates.compactMap { $0.end == nil ? nil : $0.ref }
        if status.sequence > 0 { sent.append((status.sequence, ends)) }
      }
    }

    mutating func sendCheckpoints() {
      for request in machine.takeCheckpoints(at: now) {
        #expect(hasSession, "nothing is sent without a session")
        #expect(started.contains(request.ref) && !forgotten.contains(request.ref))
        #expect(request.sequence > lastSequence[request.ref] ?? 0, "numbers rise, over restarts too")
        lastSequence[request.ref] = request.sequence
        savesSent.append((request, saved[request.ref] ?? 0))
      }
    }

    /// Whether the newest checkpoint of an attempt is durable, refused, or before the present status on its way.
    func isSaid(_ ref: AttemptRef) -> Bool {
      guard let save = saved[ref] else { return true }
      let isOnItsWay = savesSent.contains { $0.request.ref == ref && $0.save == save }
      return isOnItsWay || durableSave[ref] == save || refusedSave[ref] == save
    }

    /// The leader answers the oldest checkpoint: with a refusal now and then.
    mutating func answerCheckpoint() {
      guard hasSession, !savesSent.isEmpty else { return }
      let (request, save) = savesSent.removeFirst()
      let isRefused = Int.random(in: 0..<5, using: &random) == 0
      if isRefused { refusedSave[request.ref] = save } else { durableSave[request.ref] = save }
      machine.checkpointAnswered(
        request.ref, sequence: request.sequence, error: isRefused ? "later" : nil, at: now)
    }

    mutating func end(_ ref: AttemptRef, _ reason: EndReason) {
      running.remove(ref)
      machine.taskEnded(ref, AttemptEnd(endedAt: now.wall, reason: reason, exitCode: 0))
    }

    mutating func step() {
      clock += Int64.random(in: 0...3, using: &random)
      switch Int.random(in: 0..<100, using: &random) {
      case 0..<30: assignNew()
      case 30..<35:
        if let old = assigned.randomElement(using: &random) { machine.assign([old], at: now) }
      case 35..<53:
        if let ref = pick(running) { end(ref, killedNow.contains(ref) ? .cancelled : .exited) }
      case 53..<55:
        if let ref = pick(running) {
          saved[ref, default: 0] += 1
          machine.checkpointChanged(ref)
        }
      case 55..<60:
        if let ref = pick(running) { machine.taskStarted(ref, at: now.wall) }
      case 60..<65: stop(forget: false)
      case 65..<68: stop(forget: true)
      case 68..<78: machine.statusWritten()
      case 78..<86: acknowledge()
      case 86..<89: reopen()
      case 89..<92: answerCheckpoint()
      case 92..<96: renew()
      case 96: restart()
      case 97: loseIncarnation()
      default: machine.tick(at: now)
      }
      machine.tick(at: now)
      settle()
    }

    func sorted(_ refs: Set<AttemptRef>) -> [AttemptRef] { refs.sorted { $0.run < $1.run } }

    mutating func pick(_ refs: Set<AttemptRef>) -> AttemptRef? { sorted(refs).randomElement(using: &random) }

    mutating func assignNew() {
      let batch = (0..<Int.random(in: 1...5, using: &random)).map { _ in
        nextRun += 1
        var work = AgentMachineTests.work("r\(nextRun)")
        work.ref = AgentMachineTests.ref("r\(nextRun)", incarnation: incarnation)
        return work
      }
      assigned += batch
      machine.assign(batch, at: now)
    }

    mutating func stop(forget: Bool) {
      guard let work = assigned.randomElement(using: &random) else { return }
      // A leader forgets what it has given to somebody else, or cancelled; never what it took as durable.
      if forget, !durable.contains(work.ref) { forgotten.insert(work.ref) }
      machine.stop([work.ref], forget: forget, reason: "test", at: now)
    }

    mutating func acknowledge() {
      guard hasSession, !sent.isEmpty else { return }
      let count = Int.random(in: 1...sent.count, using: &random)
      let last = sent[count - 1].sequence
      for status in sent.prefix(count) { durable.formUnion(status.ends) }
      sent.removeFirst(count)
      machine.acknowledged(last)
    }

    mutating func reopen() {
      machine.sessionClosed()
      sent = []
      savesSent = []
      hasSession = false
      if Bool.random(using: &random) {
        epoch += 1
        hasSession = machine.sessionOpened(leaderEpoch: epoch)
        #expect(hasSession)
      }
    }

    mutating func loseIncarnation() {
      trustedUntil = 0
      machine.incarnationLost(at: now)
      settle()
      for ref in sorted(running) { end(ref, .cancelled) }
      settle()
      #expect(machine.activeCount == 0)
      incarnation += 1
      machine.newIncarnation(incarnation)
      renew()
    }

    /// The agent's process is replaced. What runs goes on, except for some whose shims cannot be reached; of the rest only
    /// what is in the journal is known.
    mutating func restart() {
      restarts += 1
      machine = AgentMachine(limits: machine.limits)
      sent = []
      savesSent = []
      hasSession = false
      clock += Int64.random(in: 0...5, using: &random)
      let isTooLate = clock >= trustedUntil
      machine.leaseTrusted(until: trustedUntil, at: now)
      var found: [AttemptUpdate] = []
      for ref in sorted(running) {
        if isTooLate || Int.random(in: 0..<4, using: &random) == 0 {
          let end = AttemptEnd(endedAt: now.wall, reason: isTooLate ? .fenced : .agentStopped)
          running.remove(ref)
          journal[ref] = end
          found.append(AttemptUpdate(ref: ref, startedAt: now.wall, end: end))
        } else {
          let isNew = machine.adopted(ref, startedAt: now.wall)
          #expect(isNew)
        }
      }
      let known = journal.sorted { $0.key.run < $1.key.run }.filter { entry in
        !found.contains { $0.ref == entry.key }
      }
      machine.recovered(
        known.map { AttemptUpdate(ref: $0.key, startedAt: now.wall, end: $0.value) } + found,
        leaderEpoch: epoch)
      // What the leader had asked for it asks again.
      let forgottenOnes = (found.map(\.ref) + sorted(running)).filter { forgotten.contains($0) }
      machine.stop(forgottenOnes, forget: true, reason: "again", at: now)
      for ref in sorted(Set(saved.keys)) { machine.checkpointChanged(ref) }
      machine.newIncarnation(incarnation)
      renew()
      settle()
      // A waiting assignment died with the process: the leader gives it again, and nothing else.
      assigned.removeAll { !started.contains($0.ref) || !running.contains($0.ref) }
    }

    /// The leader comes back for good: everything gets acknowledged.
    mutating func finish() {
      for ref in sorted(running) { end(ref, .exited) }
      settle()
      renew()
      while machine.activeCount + machine.waitingCount > 0 {
        settle()
        for ref in sorted(running) { end(ref, .exited) }
      }
      hasSession = machine.sessionOpened(leaderEpoch: epoch + 1)
      sent = []
      for _ in 0..<1_000 where machine.unacknowledgedCount > 0 {
        settle()
        machine.statusWritten()
        if !sent.isEmpty { acknowledge() }
      }
      settle()
      #expect(machine.unacknowledgedCount == 0)
      #expect(journal.isEmpty)
      #expect(machine.known.isEmpty)
      for ref in started.subtracting(forgotten) {
        #expect(durable.contains(ref), "every end arrives: \(ref)")
      }
    }
  }

  @Test(arguments: 0..<60) func invariantsHold(seed: Int) {
    var world = World(seed: UInt64(seed))
    for _ in 0..<600 { world.step() }
    world.finish()
  }
}
