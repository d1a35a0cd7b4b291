import Glibc
import Logging
import SchedulerCore
import Testing

@testable import Agent

/// Which hierarchies of control groups there are, from the texts of the kernel.
@Suite struct CgroupMountTests {
  @Test func versionOneInPieces() {
    let mounts = CgroupMount.all(
      mountinfo: """
        23 1 8:1 / / rw - ext4 /dev/sda1 rw
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
        """, groups: "9:name=systemd:/\n4:memory:/a:b\n1:cpu,cpuacct:/system.slice\n0::/x\n")
    #expect(mounts.map(\.version) == [.v1, .v1, .v1, .v2])
    #expect(mounts.map(\.controllers) == [[.cpu], [.memory], [], []])
    #expect(mounts[0].own == "/sys/fs/cgroup/cpu,cpuacct/system.slice")
    #expect(mounts[1].own == "/sys/fs/cgroup/memory/a:b")
    #expect(mounts[3].own == "/sys/fs/cgroup/unified/x")
  }

  /// A container sees the part of the hierarchy that is its own.
  @Test(arguments: [
    ("/", "/", "/cg"), ("/", "/a/b", "/cg/a/b"), ("/docker/1", "/docker/1", "/cg"),
    ("/docker/1", "/docker/1/in", "/cg/in"), ("/docker/1", "/docker/12", "/cg"), ("/docker/1", "/", "/cg"),
    ("/", "/../other", "/cg"),
  ])
  func aPartOfAHierarchy(root: String, group: String, own: String) {
    let mounts = CgroupMount.all(
      mountinfo: "41 31 0:38 \(root) /cg rw - cgroup2 cgroup2 rw", groups: "0::\(group)")
    #expect(mounts.map(\.own) == [own])
  }

  @Test func oddTexts() {
    #expect(CgroupMount.all(mountinfo: "", groups: "").isEmpty)
    #expect(CgroupMount.all(mountinfo: "a b\n41 31 0:38 / - cgroup2\n - \n", groups: "x\n:").isEmpty)
    let mounts = CgroupMount.all(
      mountinfo: #"41 31 0:38 / /a\040b\134c rw - cgroup2 cgroup2 rw"#, groups: "0::/")
    #expect(mounts.first?.path == #"/a b\c"#)
  }
}

/// Version 2, with a folder that plays the kernel.
@Suite struct CgroupTreeTests {
  let temporary: TemporaryFolder
  let root: String

  init() throws {
    temporary = try TemporaryFolder()
    root = temporary.path + "/cg"
  }

  private func open(
    _ files: FakeCgroups, own: String, parent: String? = nil
  ) -> (tree: CgroupTree?, notes: [String]) {
    var notes: [String] = []
    let mount = CgroupMount(version: .v2, controllers: [], path: root, own: own)
    let tree = CgroupTree.open(
      .v2, parent: parent, name: "rota-a-1", mounts: [mount], files: files, notes: &notes)
    return (tree, notes)
  }

  @Test func theAgentMakesRoomForItself() throws {
    let own = root + "/service"
    let files = FakeCgroups(home: own)
    try files.fill(root, [.memory, .pids, .cpu])
    try files.fill(own, [.memory, .pids, .cpu], processes: [getpid()])
    let tree = try #require(open(files, own: own).tree)
    #expect(tree.controllers == [.memory, .pids, .cpu])
    #expect(files.processes(in: own + "/rota-a-1-agent") == [getpid()] && files.processes(in: own).isEmpty)

    let made = try tree.make("x", TaskLimits(memoryBytes: 64 << 20, pids: 7, cpus: 0.25))
    #expect(made == [own + "/rota-a-1/x"])
    #expect(
      files.text(made[0] + "/memory.max") == "67108864" && files.text(made[0] + "/memory.swap.max") == "0")
    #expect(files.text(made[0] + "/pids.max") == "7" && files.text(made[0] + "/cpu.max") == "25000 100000")
    #expect(tree.names() == ["x"])

    try Files.write(made[0] + "/memory.events", Array("low 0\nmax 9\noom 1\noom_kill 2\n".utf8))
    try Files.write(made[0] + "/memory.peak", Array("67104768\n".utf8))
    try Files.write(made[0] + "/pids.events", Array("max 3\n".utf8))
    let findings = try #require(tree.findings("x"))
    #expect(findings.outOfMemoryKills == 2 && findings.memoryPeak == 67_104_768 && findings.refusedForks == 3)
    #expect(findings.memoryLimit == 64 << 20)

    // Those with processes in them stay.
    try Files.write(made[0] + "/cgroup.procs", Array("99999999\n".utf8))
    #expect(!tree.remove("x") && !tree.kill("x") && files.text(made[0] + "/cgroup.kill") == "1")
    try Files.write(made[0] + "/cgroup.procs", [])
    #expect(tree.kill("x") && tree.remove("x") && tree.findings("x") == nil && tree.names().isEmpty)
  }

  @Test func withOthersInItsGroupThereIsNoRoom() throws {
    let own = root + "/session"
    let files = FakeCgroups(home: own)
    try files.fill(root, [.memory, .pids], processes: [1])
    try files.fill(own, [.memory, .pids], processes: [getpid(), 1])
    let (tree, notes) = open(files, own: own)
    #expect(tree == nil && notes.contains { $0.contains("subtree_control") }, "\(notes)")
    #expect(files.processes(in: own) == [getpid(), 1], "nobody was moved")
  }

  /// What systemd's DelegateSubgroup= makes.
  @Test func theGroupAboveMayBeTheDelegatedOne() throws {
    let own = root + "/service/agent"
    let files = FakeCgroups(home: own)
    try files.fill(root + "/service", [.memory, .pids])
    try files.fill(own, [], processes: [getpid()])
    let tree = try #require(open(files, own: own).tree)
    #expect(tree.controllers == [.memory, .pids] && tree.folders[.pids] == root + "/service/rota-a-1")
    #expect(files.processes(in: own) == [getpid()])
  }

  @Test func aGivenParentIsMade() throws {
    let files = FakeCgroups()
    try files.fill(root, [.pids, .cpu])
    let tree = try #require(open(files, own: root, parent: "rota/tasks").tree)
    #expect(tree.controllers == [.pids, .cpu] && tree.folders[.pids] == root + "/rota/tasks/rota-a-1")
  }

  @Test func whatTheKernelRefusesIsNotPromised() throws {
    let files = FakeCgroups(refused: ["probe/cpu.max"])
    try files.fill(root, [.memory, .pids, .cpu])
    let (tree, notes) = open(files, own: root)
    #expect(tree?.controllers == [.memory, .pids] && notes.contains { $0.contains("cpu.max") }, "\(notes)")
    #expect(try tree?.make("x", TaskLimits(cpus: 1)) == [])
  }

  @Test func aLimitThatCannotBeSetLeavesNothingBehind() throws {
    let files = FakeCgroups(refused: ["x/pids.max"])
    try files.fill(root, [.memory, .pids])
    let tree = try #require(open(files, own: root).tree)
    #expect(throws: AgentError.self) { try tree.make("x", TaskLimits(memoryBytes: 1 << 30, pids: 5)) }
    #expect(tree.names().isEmpty)
  }

  @Test func withoutControllersThereIsNothing() throws {
    let files = FakeCgroups()
    try files.fill(root, [])
    let (tree, notes) = open(files, own: root)
    #expect(tree == nil && notes.contains { $0.contains("none of the controllers") }, "\(notes)")
    var more: [String] = []
    #expect(CgroupTree.open(.v1, parent: nil, name: "x", mounts: [], files: files, notes: &more) == nil)
    #expect(more.count == 3)
  }
}

/// What an agent says of itself, and what it makes of ends.
@Suite struct IsolationTests {
  private func end(_ reason: EndReason = .exited, code: Int? = nil, signal: Int? = nil) -> AttemptEnd {
    AttemptEnd(
      endedAt: Timestamp(milliseconds: 0), reason: reason, exitCode: code, signal: signal,
      usage: ResourceUsage(userCPUMicros: 1, systemCPUMicros: 1, maxRSSKiB: 10))
  }

  private let killed = CgroupFindings(outOfMemoryKills: 1, memoryLimit: 64 << 20, memoryPeak: 64 << 20)

  @Test func outOfMemory() {
    let end = killed.explain(end(signal: 9))
    #expect(end.reason == .outOfMemory && end.signal == 9 && !end.succeeded)
    #expect(
      end.error == "out of memory: the kernel killed 1 of its processes at the limit of 64MiB (peak 64MiB)")
    #expect(end.usage?.maxRSSKiB == 65_536)
    // A shell whose child was killed.
    #expect(killed.explain(self.end(code: 137)).exitCode == 137)
    #expect(killed.explain(self.end(code: 137)).reason == .outOfMemory)
  }

  @Test func aTaskThatGoesOnHasSucceeded() {
    let end = killed.explain(end(code: 0))
    #expect(end.succeeded && end.error?.hasPrefix("out of memory") == true)
  }

  @Test func whatEndedItFirstStays() {
    for reason in [EndReason.timeout, .cancelled, .fenced, .agentStopped] {
      #expect(killed.explain(end(reason, signal: 15)).reason == reason)
    }
  }

  @Test func refusedForksAreTold() {
    var first = end(code: 1)
    first.error = "before"
    let end = CgroupFindings(refusedForks: 4).explain(first)
    #expect(
      end.reason == .exited && end.error == "the limit on processes refused it another one 4 times; before")
    #expect(CgroupFindings(refusedForks: 4).explain(self.end(code: 0)).error == nil)
    #expect(CgroupFindings(memoryPeak: 5 << 10).explain(self.end(code: 0)).usage?.maxRSSKiB == 5)
    #expect(CgroupFindings().explain(self.end(code: 0)).usage?.maxRSSKiB == 10)
  }

  private func isolation(_ change: (inout AgentConfiguration) -> Void) throws -> (Isolation, DataFolder) {
    let temporary = "/tmp/rota-agent-tests-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    let folder = try DataFolder(path: temporary)
    var configuration = AgentConfiguration(id: "a", dataFolder: temporary)
    change(&configuration)
    let isolation = try Isolation.open(
      configuration, dataFolder: folder.path, mounts: [], logger: Logger(label: "test"))
    return (isolation, folder)
  }

  private func attempt(_ folder: DataFolder) throws -> AttemptFolder {
    let attempt = try #require(folder.folder(of: makeRef("r")))
    try attempt.create()
    return attempt
  }

  private func spec(_ change: (inout JobSpec) -> Void) -> JobSpec {
    var spec = JobSpec(task: .exec(argv: ["true"]))
    change(&spec)
    return spec
  }

  @Test func withoutControlGroupsLimitsAreThoseOfProcesses() throws {
    let (isolation, folder) = try isolation { $0.defaultLimits.pids = 9 }
    defer { FolderTree.delete(folder.path) }
    #expect(isolation.description.hasPrefix("rlimits:memory"))
    let attempt = try attempt(folder)
    let limited = try isolation.prepare(
      spec { $0.limits = TaskLimits(memoryBytes: 1 << 30, cpus: 0.01) }, folder: attempt)
    #expect(limited == Confinement(addressSpaceBytes: 1 << 30, processes: 9, nice: 10))
    #expect(try isolation.prepare(spec { $0.limits.cpus = 4_096 }, folder: attempt).nice == nil)
    #expect(isolation.conclude(end(code: 1), folder: attempt) == end(code: 1))
    #expect(isolation.leftovers().isEmpty && isolation.kill(attempt))
  }

  /// The next process of an agent finds the control groups of the attempts that go on, and leaves them alone until they end.
  @Test func groupsOfTasksThatGoOnAreKept() throws {
    let temporary = try TemporaryFolder()
    let folder = try DataFolder(path: temporary.path + "/data")
    let kernel = FakeCgroups()
    let root = temporary.path + "/cgroup"
    try kernel.fill(root, [.memory, .pids])
    let mount = CgroupMount(version: .v2, controllers: [], path: root, own: root)
    func process() throws -> Isolation {
      try Isolation.open(
        AgentConfiguration(id: "a", dataFolder: folder.path), dataFolder: folder.path, files: kernel,
        mounts: [mount], logger: Logger(label: "test"))
    }
    let first = try process()
    func begin(_ run: String) throws -> (attempt: AttemptFolder, group: String) {
      let attempt = try #require(folder.folder(of: makeRef(run)))
      try attempt.create()
      let confinement = try first.prepare(
        spec { $0.limits = TaskLimits(memoryBytes: 64 << 20, pids: 9) }, folder: attempt)
      return (attempt, confinement.cgroups[0])
    }
    let (kept, dead, stray) = (try begin("kept"), try begin("dead"), try begin("stray"))
    // It has ended just now, and its end is not heard yet.
    for group in [kept.group, dead.group] {
      try Files.write(group + "/memory.events", Array("oom_kill 1\n".utf8))
    }
    // Nobody has a number like that.
    try Files.write(stray.group + "/cgroup.procs", Array("999999999\n".utf8))
    first.close()

    let second = try process()
    let spared: Set = [kept.attempt.path]
    #expect(second.leftovers(except: spared).count == 1 && second.leftovers().count == 1)
    #expect(second.leftovers(except: [stray.attempt.path]).isEmpty)
    second.killLeftovers(except: spared)
    #expect(try Files.read(stray.group + "/cgroup.kill") == Array("1".utf8))
    #expect(try Files.read(kept.group + "/cgroup.kill") == [])
    #expect(second.conclude(end(code: 137), folder: dead.attempt).reason == .outOfMemory)
    second.removeLeftovers(except: spared)
    #expect(Files.isFolder(kept.group) && Files.isFolder(stray.group) && !Files.isFolder(dead.group))
    // What could not be removed is tried again.
    try Files.write(stray.group + "/cgroup.procs", [])
    second.sweep()
    #expect(!Files.isFolder(stray.group))
    #expect(second.conclude(end(code: 137), folder: kept.attempt).reason == .outOfMemory)
    #expect(!Files.isFolder(kept.group))
  }

  @Test func whatIsNotThereIsNotPromised() throws {
    for mode in [IsolationMode.cgroupV1, .cgroupV2] {
      let error = #expect(throws: AgentError.self) { try isolation { $0.isolation = mode } }
      #expect(error?.code == .configuration && error?.message.contains(mode.rawValue) == true)
    }
    let (none, folder) = try isolation { $0.isolation = .none }
    defer { FolderTree.delete(folder.path) }
    #expect(none.description == "none")
    let attempt = try attempt(folder)
    #expect(try none.prepare(spec { _ in }, folder: attempt) == Confinement())
    #expect(throws: AgentError.self) { try none.prepare(spec { $0.limits.pids = 5 }, folder: attempt) }
  }

  @Test(arguments: [
    ([], "app", "lets jobs run as no other user"), (["nobody"], "root", "allows only nobody"),
    (["*"], "root", "allows only *"), (["*"], "0", "allows only *"),
    (["nobody"], "no-such-user", "there is no user"),
    (["nobody"], "nobody:root", "is not in the group root"),
    (["nobody"], "nobody:no-such-group", "there is no group"),
    (["4242"], "4242", "a group is needed"), (["4242"], "4242:0", "allows only 4242"),
  ])
  func usersAreRefused(allowed: [String], user: String, why: String) {
    let error = #expect(throws: AgentError.self) { try RunAsPolicy(allowed: allowed).account(for: user) }
    #expect(error?.message.contains(why) == true, "\(String(describing: error))")
  }

  @Test func usersAreFound() throws {
    let nobody = try UserAccount.find(try RunAs("nobody"))
    #expect(nobody.name == "nobody" && nobody.uid == 65_534 && nobody.groups.count >= 1)
    #expect(try UserAccount.find(try RunAs("65534")) == nobody)
    #expect(try UserAccount.find(try RunAs("4242:17")) == UserAccount(uid: 4_242, groups: [17]))
    guard geteuid() == 0 else { return }
    for allowed in [["nobody"], ["65534"], ["*"], ["x", "nobody"]] {
      #expect(try RunAsPolicy(allowed: allowed).account(for: "nobody") == nobody)
    }
    #expect(try RunAsPolicy(allowed: ["4242:17"]).account(for: "4242:17").groups == [17])
    // A pair in the list is as good as membership; root's group is 0.
    #expect(try RunAsPolicy(allowed: ["nobody:root"]).account(for: "nobody:root").groups.first == 0)
  }

  @Test func badEntriesOfTheListAreNamed() {
    #expect(throws: AgentError.self) { try RunAsPolicy.validate(["a", "b c"]) }
    #expect(throws: Never.self) { try RunAsPolicy.validate(["a", "b:c", "*", "17"]) }
  }

  /// A task's user gets the work folder and nothing else.
  @Test func theWorkFolderIsHandedOver() throws {
    guard geteuid() == 0 else { return }
    let (isolation, folder) = try isolation { $0.allowRunAs = ["nobody"] }
    defer { FolderTree.delete(folder.path) }
    let attempt = try attempt(folder)
    let confinement = try isolation.prepare(spec { $0.runAs = "nobody" }, folder: attempt)
    #expect(confinement.account?.name == "nobody")
    let work = try #require(Files.status(attempt.work))
    #expect(work.st_uid == 65_534 && work.st_mode & 0o7777 == 0o700)
    let above = try #require(Files.status(attempt.path))
    #expect(above.st_uid == 0 && above.st_mode & 0o777 == 0o751)
    #expect(try #require(Files.status(folder.path)).st_mode & 0o001 == 1)
  }

  /// What a task put in its folder must not lead the agent's root out of it.
  @Test func linksAreNotFollowed() throws {
    let temporary = try TemporaryFolder()
    let outside = temporary.path + "/outside"
    try Files.makeFolders(outside + "/deep")
    try Files.write(outside + "/deep/file", Array("precious".utf8))
    let work = temporary.path + "/attempt/work"
    try Files.makeFolders(work + "/shut/in")
    symlink(outside, work + "/link")
    symlink(outside + "/deep/file", work + "/shut/in/file")
    mkfifo(work + "/fifo", 0o600)
    chmod(work + "/shut", 0)
    #expect(FolderTree.bytes(in: temporary.path + "/attempt") < 1 << 20)
    #expect(throws: AgentError.self) {
      try Files.give(work + "/link", to: UserAccount(uid: geteuid(), groups: [getegid()]))
    }
    FolderTree.delete(temporary.path + "/attempt")
    #expect(!Files.isFolder(temporary.path + "/attempt"))
    #expect(try Files.read(outside + "/deep/file").map { String(decoding: $0, as: UTF8.self) } == "precious")
    #expect(try #require(Files.status(outside)).st_mode & 0o777 == 0o750)
  }
}
