import Glibc
import SchedulerCore
import Testing

@testable import Agent

struct LogReaderTests {
  let temporary: TemporaryFolder
  let folder: AttemptFolder

  init() throws {
    temporary = try TemporaryFolder()
    folder = try #require(AttemptFolder(ref: makeRef("a"), root: temporary.path))
    try folder.create()
  }

  func write(_ text: String, to path: String) throws { try Files.write(path, Array(text.utf8)) }

  func ask(
    _ reader: inout LogReader, _ offset: Int64, limit: Int = 100, ref: AttemptRef = makeRef("a"),
    isLive: Bool = true
  ) -> LogReply {
    let query = LogQuery(request: 1, ref: ref, stream: .stdout, offset: offset, limit: limit)
    return reader.answer(query, isLive: isLive)
  }

  @Test func readsFromAnOffset() throws {
    try write("hello world", to: folder.log(.stdout))
    var reader = LogReader(root: temporary.path)
    let first = ask(&reader, 0, limit: 5)
    #expect(first.data == Array("hello".utf8) && first.offset == 0 && !first.end)
    let live = ask(&reader, 5)
    #expect(live.data == Array(" world".utf8) && live.offset == 5 && !live.end)
    let over = ask(&reader, 5, isLive: false)
    #expect(over.end)
    let nothing = ask(&reader, 11, isLive: false)
    #expect(nothing.data.isEmpty && nothing.end && nothing.offset == 11)
  }

  @Test func aNegativeOffsetCountsFromTheEnd() throws {
    try write("hello world", to: folder.log(.stdout))
    var reader = LogReader(root: temporary.path)
    let tail = ask(&reader, -5, isLive: false)
    #expect(tail.data == Array("world".utf8) && tail.offset == 6 && tail.end)
    let all = ask(&reader, -100, isLive: false)
    #expect(all.data == Array("hello world".utf8) && all.offset == 0)
  }

  @Test func aFollowedRotationLosesNothing() throws {
    let log = folder.log(.stdout)
    try write("0123456789", to: log)
    var reader = LogReader(root: temporary.path)
    #expect(ask(&reader, 0, limit: 4).data == Array("0123".utf8))
    rename(log, log + ".1")
    try write("abc", to: log)
    let rest = ask(&reader, 4)
    #expect(rest.data == Array("456789".utf8))
    let next = ask(&reader, 10)
    #expect(next.data == Array("abc".utf8) && next.offset == 10)
    // Two rotations on, the oldest is gone; offsets go on.
    rename(log, log + ".1")
    try write("XY", to: log)
    let last = ask(&reader, 13)
    #expect(last.data == Array("XY".utf8) && last.offset == 13)
    let skipped = ask(&reader, 2)
    #expect(skipped.offset == 10 && skipped.data == Array("abc".utf8))
  }

  @Test func theResultSaysHowMuchWasRemoved() throws {
    let log = folder.log(.stdout)
    try write("older", to: log + ".1")
    try write("new", to: log)
    try write("E exited 0 0 1 2 3 4 108 0\n", to: folder.result)
    var reader = LogReader(root: temporary.path)
    let reply = ask(&reader, 0, isLive: false)
    #expect(reply.offset == 100 && reply.data == Array("older".utf8) && !reply.end)
    let last = ask(&reader, 105, isLive: false)
    #expect(last.data == Array("new".utf8) && last.end)
  }

  @Test(arguments: ["../../etc", "..", "a/b", "a%2fb", "", ".hidden", "ä"])
  func namesThatAreNoIdentifiersAreRefused(name: String) {
    let ref = AttemptRef(
      run: RunKey(job: JobKey(namespace: "default", jobID: "job"), runID: name), attempt: 1, fence: 1,
      incarnation: 1)
    var reader = LogReader(root: temporary.path)
    let reply = ask(&reader, 0, ref: ref, isLive: false)
    #expect(reply.error?.contains("identifier") == true && reply.data.isEmpty)
  }

  @Test func linksAreNotFollowed() throws {
    let log = folder.log(.stdout)
    symlink("/etc/passwd", log)
    var reader = LogReader(root: temporary.path)
    let reply = ask(&reader, 0, isLive: false)
    #expect(reply.data.isEmpty && reply.end)
  }

  @Test func senselessQuestionsAreRefused() {
    var reader = LogReader(root: temporary.path)
    #expect(ask(&reader, 0, limit: 0).error != nil)
    #expect(ask(&reader, 0, ref: makeRef("unknown"), isLive: false).error != nil)
    // One that waits has no folder yet.
    #expect(ask(&reader, 0, ref: makeRef("unknown"), isLive: true).error == nil)
  }
}
