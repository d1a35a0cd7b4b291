import Glibc
import SchedulerCore
import Testing

@testable import Agent

struct CheckpointFolderTests {
  let temporary: TemporaryFolder
  let folder: CheckpointFolder

  init() throws {
    temporary = try TemporaryFolder()
    folder = CheckpointFolder(path: temporary.path + "/checkpoint")
  }

  func refusal() -> String? {
    if case .refused(let mark) = folder.read() { mark.error } else { nil }
  }

  var data: [UInt8]? {
    if case .data(let bytes) = folder.read() { bytes } else { nil }
  }

  @Test func atTheStartItHoldsWhatIsDurable() throws {
    try folder.create(holding: [])
    #expect(!folder.hasData && folder.saved == nil && data == nil && refusal() == nil)
    try folder.create(holding: [0, 1, 255])
    #expect(folder.hasData && data == [0, 1, 255])
    #expect(folder.saved == CheckpointMark(of: [0, 1, 255]))
  }

  @Test func marksSpeakOfOneContent() throws {
    try folder.create(holding: [])
    // The digest of RFC 6234's first test.
    var mark = CheckpointMark(of: Array("abc".utf8))
    #expect(mark.line == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3\n")
    mark.error = "no\nroom"
    try folder.tell(mark)
    let error = try #require(try Files.read(folder.file + ".error"))
    let read = try #require(CheckpointMark(line: error))
    #expect(read.error == "no room" && read.isOfSameContent(as: CheckpointMark(of: Array("abc".utf8))))
    #expect(folder.saved == nil)
    mark.error = nil
    try folder.tell(mark)
    #expect(folder.saved == mark)
    #expect(try Files.read(folder.file + ".error") == nil, "a success takes the refusal away")
    #expect(CheckpointMark(line: Array("nonsense".utf8)) == nil)
    let unread = CheckpointMark(unread: 9, error: "too long")
    #expect(!unread.isOfSameContent(as: unread))
  }

  @Test func onlyPlainFilesThatAreNotTooLong() throws {
    try folder.create(holding: [])
    let limit = RunLimits.checkpointBytes
    try Files.write(folder.file, [UInt8](repeating: 7, count: limit))
    #expect(data?.count == limit)
    try Files.write(folder.file, [UInt8](repeating: 7, count: limit + 1))
    #expect(refusal()?.contains("\(limit + 1) bytes") == true)
    try Files.write(folder.file, [])
    #expect(data == nil && refusal() == nil, "an empty file is none")
    // Another name of a file is a way to read what is not one's own.
    let secret = temporary.path + "/secret"
    try Files.write(secret, [1, 2, 3])
    unlink(folder.file)
    #expect(link(secret, folder.file) == 0)
    #expect(refusal()?.contains("plain file") == true)
    unlink(folder.file)
    #expect(symlink(secret, folder.file) == 0)
    #expect(refusal() != nil && data == nil)
    unlink(folder.file)
    #expect(mkfifo(folder.file, 0o600) == 0)
    #expect(refusal()?.contains("plain file") == true, "and a pipe does not make it wait")
  }

  @Test func linksAreNotWrittenThrough() throws {
    try folder.create(holding: [])
    let victim = temporary.path + "/victim"
    try Files.write(victim, [9])
    for name in ["data.saved", ".data.saved"] { symlink(victim, folder.path + "/" + name) }
    try folder.tell(CheckpointMark(of: [1]))
    #expect(try Files.read(victim) == [9])
    #expect(folder.saved == CheckpointMark(of: [1]))
    FolderTree.delete(folder.path)
    let elsewhere = temporary.path + "/elsewhere"
    try Files.makeFolders(elsewhere)
    #expect(symlink(elsewhere, folder.path) == 0)
    #expect(throws: AgentError.self) { try folder.tell(CheckpointMark(of: [1])) }
    #expect(Files.names(in: elsewhere).isEmpty)
  }

  @Test func whatIsSavedIsTakenBackBeforeAnotherIsRead() throws {
    try folder.create(holding: [1])
    folder.takeBackSaved()
    #expect(folder.saved == nil && data == [1])
    folder.takeBackSaved()
    try folder.tell(CheckpointMark(of: [1]))
    #expect(folder.saved == CheckpointMark(of: [1]))
  }

  /// The agent's umask does not shut the task's user out, and all is that user's to change.
  @Test func aUsersFilesAreTheUsers() throws {
    guard geteuid() == 0 else { return }
    let account = UserAccount(uid: 4_242, groups: [4_343])
    try folder.create(holding: [1, 2], for: account)
    try folder.tell(CheckpointMark(unread: 9, error: "too long"))
    for name in ["", "/data", "/data.saved", "/data.error"] {
      let status = try #require(Files.status(folder.path + name))
      #expect(status.st_uid == 4_242 && status.st_gid == 4_343, "\(name)")
    }
    #expect(try #require(Files.status(folder.path)).st_mode & 0o7777 == 0o700)
    #expect(try #require(Files.status(folder.path + "/data.saved")).st_mode & 0o7777 == 0o644)
    #expect(data == [1, 2])
    // With one name, yet somebody else's: as a file whose other name was deleted.
    #expect(chown(folder.file, 0, 0) == 0)
    #expect(refusal()?.contains("does not belong to the task's user") == true)
  }

  /// What stands where the agent writes is replaced or left; nothing behind it is touched.
  @Test func whatIsInTheWayIsTheTasksOwnLoss() throws {
    try folder.create(holding: [])
    let victim = temporary.path + "/victim"
    try Files.write(victim, [9])
    #expect(link(victim, folder.path + "/.data.saved") == 0)
    #expect(link(victim, folder.path + "/data.saved") == 0)
    try folder.tell(CheckpointMark(of: [1]))
    #expect(try Files.read(victim) == [9] && folder.saved == CheckpointMark(of: [1]))
    #expect(mkfifo(folder.path + "/.data.error", 0o600) == 0)
    try folder.tell(CheckpointMark(unread: 1, error: "no"))
    for name in ["data.saved", ".data.saved"] {
      unlink(folder.path + "/" + name)
      try Files.makeFolders(folder.path + "/" + name)
      #expect(throws: AgentError.self) { try folder.tell(CheckpointMark(of: [1])) }
      #expect(folder.saved == nil)
      FolderTree.delete(folder.path + "/" + name)
    }
    unlink(folder.file)
    try Files.makeFolders(folder.file)
    #expect(refusal()?.contains("plain file") == true)
  }
}
