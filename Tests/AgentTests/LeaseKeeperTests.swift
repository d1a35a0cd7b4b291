import EtcdClient
import Logging
import SchedulerCore
import Synchronization
import Testing

@testable import Agent

/// The lease keeper against a store in memory, on a clock that only moves when somebody waits.
struct LeaseKeeperTests {
  /// Time, moved by sleeps; after the last planned sleep the keeper is cancelled.
  final class World: Sendable {
    let etcd = FakeEtcd()
    private let state = Mutex((now: Int64(1_000_000_000_000), sleeps: 0))
    private let lastSleep: Int
    private let onSleep: @Sendable (Int, World) async -> Void

    init(sleeps: Int, onSleep: @escaping @Sendable (Int, World) async -> Void = { _, _ in }) {
      lastSleep = sleeps
      self.onSleep = onSleep
    }

    var now: Int64 { state.withLock { $0.now } }

    func advance(_ duration: Duration) {
      state.withLock { $0.now += duration.nanoseconds }
      etcd.advance(by: duration)
    }

    func sleep(_ duration: Duration) async throws {
      advance(duration)
      let count = state.withLock { state in
        state.sleeps += 1
        return state.sleeps
      }
      if count > lastSleep { throw CancellationError() }
      await onSleep(count, self)
    }
  }

  enum Event: Hashable, Sendable { case began(Int64, Int64), trusted(Int64), ended(String) }

  actor Owner: LeaseOwner {
    private(set) var events: [Event] = []
    func incarnationBegan(_ createRevision: Int64, trustedUntil: Int64) {
      events.append(.began(createRevision, trustedUntil))
    }
    func leaseTrusted(until: Int64) { events.append(.trusted(until)) }
    func incarnationEnded(_ why: String) { events.append(.ended(why)) }
  }

  static let key = "/rota/agents/agent-1"
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs a keeper until its sleeps are used up; with the store of an earlier world, if need be.
  func run(_ world: World, with etcd: FakeEtcd? = nil, slots: Int = 4) async -> [Event] {
    let record = AgentRecord(
      agentID: "agent-1", host: "here", labels: [:], slots: slots, version: "test",
      startedAt: Timestamp(milliseconds: 0))
    var keeper = LeaseKeeper(
      store: etcd ?? world.etcd, key: Self.key, record: record, ttlSeconds: 6, marginMillis: 1_000,
      savedPath: folder.path + "/incarnation.json", logger: Logger(label: "test"))
    keeper.clock = { world.now }
    keeper.sleep = { try await world.sleep($0) }
    let owner = Owner()
    await #expect(throws: CancellationError.self) { try await keeper.run(owner) }
    return await owner.events
  }

  @Test func trustCountsFromTheMomentOfSending() async throws {
    let world = World(sleeps: 3)
    let start = world.now
    // Every request takes 100 ms.
    world.etcd.setGate { _ in world.advance(.milliseconds(100)) }
    let events = await run(world)
    let revision = try #require(try await world.etcd.get(Self.key)).createRevision
    // The key was read first, then the lease was asked for.
    let granted = start + 100_000_000
    #expect(events.first == .began(revision, granted + 5_000_000_000))
    let trusted = events.compactMap { if case .trusted(let until) = $0 { until } else { nil } }
    // Register takes three requests; then one renewal every 2 s.
    let firstRenewal = start + 300_000_000 + 2_000_000_000
    #expect(trusted == (0..<3).map { firstRenewal + $0 * 2_000_000_000 + 5_000_000_000 })
  }

  @Test func theKeyHangsOnTheLease() async throws {
    let world = World(sleeps: 2)
    _ = await run(world)
    let found = try #require(try await world.etcd.get(Self.key))
    let saved = try #require(SavedIncarnation.load(folder.path + "/incarnation.json"))
    #expect(found.lease == saved.lease && found.createRevision == saved.createRevision)
    #expect(try AgentRecord(decoding: found.value, key: "agent-1").host == "here")
  }

  @Test func aRestartGoesOnAsTheSameIncarnation() async throws {
    let first = World(sleeps: 2)
    guard case .began(let revision, _)? = await run(first).first else { return #expect(Bool(false)) }
    let second = World(sleeps: 0)
    // The same store, with its clock where it was; other slots than before.
    let events = await run(second, with: first.etcd, slots: 5)
    guard case .began(revision, _)? = events.first else { return #expect(Bool(false), "\(events)") }
    let found = try #require(try await first.etcd.get(Self.key))
    #expect(try AgentRecord(decoding: found.value, key: "agent-1").slots == 5)
    #expect(found.createRevision == revision)
  }

  @Test func aRestartAfterTheLeaseLapsedIsANewIncarnation() async throws {
    let first = World(sleeps: 2)
    guard case .began(let revision, _)? = await run(first).first else { return #expect(Bool(false)) }
    first.etcd.advance(by: .seconds(60))
    // What goes on of the first has to be dead before the second begins.
    let events = await run(World(sleeps: 0), with: first.etcd)
    guard case .ended? = events.first, case .began(let later, _)? = events.dropFirst().first else {
      return #expect(Bool(false), "\(events)")
    }
    #expect(later > revision && events.count == 2)
  }

  @Test func aRestartAfterTheKeyWasReplacedIsANewIncarnation() async throws {
    let first = World(sleeps: 2)
    guard case .began(let revision, _)? = await run(first).first else { return #expect(Bool(false)) }
    let saved = try #require(SavedIncarnation.load(folder.path + "/incarnation.json"))
    _ = try await first.etcd.delete(.key(Self.key))
    let events = await run(World(sleeps: 0), with: first.etcd)
    guard case .ended? = events.first, case .began(let later, _)? = events.dropFirst().first else {
      return #expect(Bool(false), "\(events)")
    }
    #expect(later > revision)
    // The old lease must not linger.
    #expect(try await first.etcd.leaseKeepAlive(saved.lease) == 0)
  }

  @Test func aHeldKeyIsWaitedFor() async throws {
    let world = World(sleeps: 30)
    let other = try await world.etcd.leaseGrant(ttlSeconds: 5)
    let value = AgentRecord(
      agentID: "agent-1", host: "there", labels: [:], slots: 1, version: "test",
      startedAt: Timestamp(milliseconds: 0)
    ).encoded()
    let held = try await world.etcd.put(Self.key, value, lease: other.id)
    let events = await run(world)
    guard case .began(let revision, _)? = events.first else { return #expect(Bool(false)) }
    #expect(revision > held)
    #expect(try await world.etcd.get(Self.key)?.createRevision == revision)
  }

  @Test func aLapsedLeaseEndsTheIncarnationBeforeTheNext() async throws {
    let world = World(sleeps: 120) { count, world in
      if count == 2 { world.etcd.setUnavailable(true) }
      // Retries come every half second or so: long past the six seconds of the lease.
      if count == 40 { world.etcd.setUnavailable(false) }
    }
    let events = await run(world)
    let interesting = events.filter { if case .trusted = $0 { false } else { true } }
    guard case .began(let first, _)? = interesting.first, case .ended? = interesting.dropFirst().first,
      case .began(let second, _)? = interesting.dropFirst(2).first
    else { return #expect(Bool(false), "\(interesting)") }
    #expect(second > first)
    #expect(interesting.count == 3)
  }

  @Test func aRenewalThatIsNotAnsweredExtendsNothing() async throws {
    let world = World(sleeps: 2)
    world.etcd.inject(.loseResponse, on: [.leaseKeepAlive], count: 10)
    let events = await run(world)
    #expect(events.count == 1)
  }

  @Test func anUnknownOutcomeOfRegisteringLeavesNothingBehind() async throws {
    let world = World(sleeps: 3)
    world.etcd.inject(.loseResponse, on: [.txn])
    let events = await run(world)
    guard case .began(let revision, _)? = events.first else { return #expect(Bool(false)) }
    #expect(try await world.etcd.get(Self.key)?.createRevision == revision)
  }

  @Test func aKeyThatSomebodyDeletedEndsTheIncarnation() async throws {
    let world = World(sleeps: 30) { count, world in
      if count == 4 { _ = try? await world.etcd.delete(.key(Self.key)) }
    }
    let ended = await run(world).filter { if case .ended = $0 { true } else { false } }
    #expect(ended.count == 1)
  }
}
