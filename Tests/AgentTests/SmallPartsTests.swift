import Glibc
import SchedulerCore
import Testing

@testable import Agent

struct SmallPartsTests {
  @Test func onlyOneAgentUsesADataFolder() throws {
    let temporary = try TemporaryFolder()
    let first = try DataFolder(path: temporary.path + "/data")
    do {
      _ = try DataFolder(path: temporary.path + "/data")
      Issue.record("the folder was taken twice")
    } catch {
      #expect(error.code == .dataFolderInUse)
    }
    withExtendedLifetime(first) {}
  }

  @Test(arguments: [
    ("Web-01.Example", "web-01.example"), ("-x", "x"), ("a b", "a-b"), ("", "agent"), ("___", "agent"),
  ])
  func idsAreMadeOfHostNames(host: String, id: String) {
    #expect(AgentConfiguration.identifier(from: host) == id)
  }

  @Test func shimLines() throws {
    #expect(ShimReport(line: "S 12 345 678".utf8) == .started(pid: 12, startTicks: 345, boot: 678))
    #expect(
      ShimReport(line: "F 2 exec cannot execute x: no".utf8)
        == .failed(stage: "exec", message: "cannot execute x: no"))
    guard case .ended(let ending)? = ShimReport(line: "E exited 3 0 10 20 30 40 50 60".utf8) else {
      Issue.record("not an end")
      return
    }
    #expect(ending.exitCode == 3 && ending.usage.maxRSSKiB == 30 && ending.stderrBytes == 60)
    for line in ["", "X", "E exited", "E exited a b c d e f g h", "S 1"] {
      #expect(ShimReport(line: line.utf8) == nil)
    }
  }

  @Test func theLeaderIsLookedForOftenThenSeldom() {
    var poll = LeaderPoll(ttlMillis: 6_000)
    var waited: Int64 = 0
    while waited < 15_000 {
      let next = poll.next()
      #expect(next == 200)
      waited += next
    }
    #expect(
      [poll.next(), poll.next(), poll.next(), poll.next(), poll.next()] == [400, 800, 1_600, 2_000, 2_000])
  }

  @Test func cpuAndMemoryFigures() throws {
    let cpu = try #require(HealthSampler.cpu(of: "cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 1 2 3"))
    #expect(cpu.busy == 30 && cpu.total == 100)
    #expect(HealthSampler.kibibytes("MemTotal:", in: "MemTotal:   100 kB\nMemFree: 3 kB") == 100)
    var sampler = HealthSampler(dataFolder: "/")
    let health = sampler.sample()
    #expect(health.memoryTotal > 0 && health.diskTotal > 0 && (0...1).contains(health.cpu))
  }

  @Test func theJanitorRemovesTheOldTheManyAndTheLarge() {
    let found = (1...5).map { Janitor.Found(path: "\($0)", modified: Int64($0), bytes: 10) }
    func doomed(_ needed: Set<String> = [], old: Int64 = 0, bytes: Int64 = 1_000, count: Int = 100)
      -> [String]
    {
      Janitor.doomed(
        among: found.shuffled(), keeping: needed, olderThan: old, maxBytes: bytes, maxFolders: count)
    }
    #expect(doomed() == [])
    #expect(doomed(old: 3) == ["1", "2"])
    #expect(doomed(["1"], old: 3) == ["2"])
    #expect(doomed(bytes: 30) == ["1", "2"])
    #expect(doomed(["2"], count: 3) == ["1", "3"])
  }

  @Test func theJanitorLeavesNoEmptyFolders() throws {
    let temporary = try TemporaryFolder()
    let folder = try #require(AttemptFolder(ref: makeRef("a"), root: temporary.path))
    try folder.create()
    try Files.write(folder.work + "/file", [1])
    let janitor = Janitor(root: temporary.path, retentionMillis: 0, maxBytes: 1 << 40, maxFolders: 10)
    let later = Clocks.wall().adding(milliseconds: 10_000)
    #expect(janitor.sweep(keeping: [folder.path], now: later) == 0)
    #expect(janitor.sweep(keeping: [], now: later) == 1)
    #expect(Files.names(in: temporary.path).isEmpty)
  }

  @Test func aBadConfigurationIsNamed() {
    var configuration = AgentConfiguration(id: "Bad Id", dataFolder: "/tmp/x")
    #expect(throws: AgentError.self) { try configuration.validate() }
    configuration.id = "good"
    configuration.shimPath = "/no/such/shim"
    #expect(throws: AgentError.self) { try configuration.validate() }
  }
}
