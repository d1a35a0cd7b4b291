import Glibc
import SchedulerCore
import Testing

@testable import Agent

struct ResultJournalTests {
  let folder: TemporaryFolder
  var path: String { folder.path + "/journal" }

  init() throws { folder = try TemporaryFolder() }

  static func update(_ run: String) -> AttemptUpdate {
    AttemptUpdate(
      ref: makeRef(run), startedAt: Timestamp(milliseconds: 1),
      end: AttemptEnd(
        endedAt: Timestamp(milliseconds: 2), reason: .exited, exitCode: 3, error: "no",
        outputTail: [1, 0, 255],
        usage: ResourceUsage(userCPUMicros: 1, systemCPUMicros: 2, maxRSSKiB: 3)))
  }

  @Test func remembersWhatIsNotForgotten() throws {
    var (journal, first) = try ResultJournal.open(path)
    #expect(first.begun.isEmpty && first.ended.isEmpty)
    try journal.append(begun: [makeRef("a"), makeRef("b"), makeRef("c")])
    try journal.append(begun: [], ended: [Self.update("a"), Self.update("b")])
    try journal.append(forgotten: [makeRef("a")])
    journal.finish()
    let (_, recovered) = try ResultJournal.open(path)
    #expect(recovered.begun == [makeRef("c")])
    #expect(recovered.ended == [Self.update("b")])
    #expect(recovered.tornBytes == 0)
  }

  static func running(_ run: String, timeout: Int64? = 5) -> RunningTask {
    RunningTask(
      ref: makeRef(run), shimPID: 10, taskPID: 11, startTicks: UInt64(Int64.max) + 1, startedBoot: 12,
      startedAt: Timestamp(microseconds: 13), timeoutMillis: timeout)
  }

  @Test func remembersHowTasksAreFound() throws {
    var (journal, _) = try ResultJournal.open(path)
    try journal.append(begun: [makeRef("a"), makeRef("b"), makeRef("c")])
    try journal.append(running: [Self.running("a"), Self.running("b"), Self.running("c", timeout: nil)])
    try journal.append(ended: [Self.update("a")])
    try journal.append(forgotten: [makeRef("b")])
    journal.finish()
    var (again, recovered) = try ResultJournal.open(path)
    #expect(recovered.begun == [makeRef("c")])
    #expect(recovered.running == [makeRef("c"): Self.running("c", timeout: nil)])
    try again.compact(begun: [makeRef("c")], running: [Self.running("c")], ended: [])
    again.finish()
    #expect(try ResultJournal.open(path).recovered.running == [makeRef("c"): Self.running("c")])
  }

  @Test func aTornTailIsCutOffAtEveryByte() throws {
    var (journal, _) = try ResultJournal.open(path)
    try journal.append(ended: [Self.update("a")])
    let sound = journal.size
    try journal.append(ended: [Self.update("b")])
    let whole = try #require(try Files.read(path))
    journal.finish()
    for length in sound..<whole.count {
      try Files.write(path, Array(whole[..<length]))
      var (journal, recovered) = try ResultJournal.open(path)
      #expect(recovered.ended == [Self.update("a")])
      #expect(recovered.tornBytes == length - sound)
      #expect(journal.size == sound)
      journal.finish()
    }
    // What is added after a cut is found again.
    var (again, _) = try ResultJournal.open(path)
    try again.append(ended: [Self.update("c")])
    again.finish()
    let (_, recovered) = try ResultJournal.open(path)
    #expect(Set(recovered.ended.map(\.ref.run.runID)) == ["a", "c"])
  }

  @Test func aFlippedBitEndsTheSoundPart() throws {
    var (journal, _) = try ResultJournal.open(path)
    try journal.append(ended: [Self.update("a")])
    let sound = journal.size
    try journal.append(ended: [Self.update("b")])
    journal.finish()
    var bytes = try #require(try Files.read(path))
    bytes[sound + 20] ^= 1
    try Files.write(path, bytes)
    let (_, recovered) = try ResultJournal.open(path)
    #expect(recovered.ended == [Self.update("a")])
  }

  @Test func compactionKeepsWhatLives() throws {
    var (journal, _) = try ResultJournal.open(path)
    for index in 0..<1_000 {
      try journal.append(ended: [Self.update("r\(index)")])
      try journal.append(forgotten: [makeRef("r\(index)")])
    }
    let before = journal.size
    try journal.compact(begun: [makeRef("x")], running: [], ended: [Self.update("y")])
    #expect(journal.size < before / 100)
    try journal.append(ended: [Self.update("z")])
    journal.finish()
    let (_, recovered) = try ResultJournal.open(path)
    #expect(recovered.begun == [makeRef("x")])
    #expect(Set(recovered.ended.map(\.ref.run.runID)) == ["y", "z"])
  }
}
