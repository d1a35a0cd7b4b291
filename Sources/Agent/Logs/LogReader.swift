import Glibc
import SchedulerCore

/// Reads pieces of tasks' logs.
///
/// A log is `stdout.log` and, after the shim has rotated it, the older `stdout.log.1`. Offsets count from the
/// task's first byte. The shim does not write down how much it has removed, so the reader works it out: a file
/// that it has seen before (by inode) keeps its place; of a task that has ended, the result says how much it wrote;
/// failing both, the older file counts as the beginning. Offsets never go back, so a reader that follows a log
/// gets nothing twice, though behind a flood of output it may not be told how much it missed.
struct LogReader {
  /// A file of a log and where it begins.
  private struct Part {
    var inode: ino_t
    var base: Int64
    var size: Int64
  }

  private struct LogKey: Hashable {
    var folder: AttemptFolder
    var stream: LogStream
  }

  private let root: String
  private var places: [LogKey: [Part]] = [:]

  /// - Parameter root: the folder of all attempts.
  init(root: String) { self.root = root }

  /// Answers a query.
  ///
  /// - Parameter isLive: whether the task may still write; asked before the files are read, so that `end` is
  ///   never said too early.
  mutating func answer(_ query: LogQuery, isLive: Bool) -> LogReply {
    func refuse(_ error: String) -> LogReply { LogReply(request: query.request, end: !isLive, error: error) }
    guard query.limit > 0 else { return refuse("the limit must be positive") }
    guard let folder = AttemptFolder(ref: query.ref, root: root) else {
      return refuse("a name of the attempt is not an identifier (\(Identifier.rule))")
    }
    guard Files.isFolder(folder.path) else {
      if isLive { return LogReply(request: query.request, offset: max(query.offset, 0)) }
      return refuse("this agent has no output of that attempt: it never had any, or it was removed by age")
    }
    let limit = min(query.limit, AgentLimits.logReplyBytes)
    // A rotation between looking and reading is noticed by the inode; one more look is then enough.
    for _ in 0..<3 {
      let parts = locate(LogKey(folder: folder, stream: query.stream))
      if let reply = read(parts, folder.log(query.stream), query, limit, isLive: isLive) { return reply }
    }
    return LogReply(request: query.request, offset: max(query.offset, 0))
  }

  // MARK: Places

  /// The parts of a log, the oldest first.
  private mutating func locate(_ key: LogKey) -> [Part] {
    let path = key.folder.log(key.stream)
    let files = [path + ".1", path].compactMap { Files.status($0) }.filter { $0.st_mode & S_IFMT == S_IFREG }
    var parts = files.map { Part(inode: $0.st_ino, base: 0, size: Int64($0.st_size)) }
    let known = places[key] ?? []
    if let first = parts.first {
      parts[0].base = known.first { $0.inode == first.inode }?.base ?? base(key, parts, after: known)
    }
    for index in parts.indices.dropFirst() {
      parts[index].base = parts[index - 1].base + parts[index - 1].size
    }
    if places.count >= AgentLimits.trackedLogs, places[key] == nil { places.removeAll() }
    places[key] = parts
    return parts
  }

  /// Where a log begins whose oldest file was not seen before.
  private func base(_ key: LogKey, _ parts: [Part], after known: [Part]) -> Int64 {
    if let last = known.last { return last.base + last.size }
    guard parts.count > 1, case .ended(let ending)? = ShimReport.result(in: key.folder) else { return 0 }
    let written = key.stream == .stdout ? ending.stdoutBytes : ending.stderrBytes
    return max(0, written - parts.reduce(0) { $0 + $1.size })
  }

  // MARK: Reading

  /// Nil when the files have been rotated meanwhile.
  private func read(
    _ parts: [Part], _ path: String, _ query: LogQuery, _ limit: Int, isLive: Bool
  ) -> LogReply? {
    let end = parts.last.map { $0.base + $0.size } ?? 0
    let wanted = query.offset < 0 ? max(0, end + query.offset) : query.offset
    guard let part = parts.first(where: { wanted < $0.base + $0.size }) else {
      return LogReply(request: query.request, offset: wanted, end: !isLive)
    }
    let offset = max(wanted, part.base)
    let isNewest = part.inode == parts.last?.inode
    guard let data = bytes(of: isNewest ? path : path + ".1", part, at: offset - part.base, limit) else {
      return nil
    }
    return LogReply(
      request: query.request, offset: offset, data: data, end: !isLive && offset + Int64(data.count) >= end)
  }

  private func bytes(of path: String, _ part: Part, at offset: Int64, _ limit: Int) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_ino == part.inode else { return nil }
    var data = [UInt8](repeating: 0, count: min(limit, Int(max(0, part.size - offset))))
    let got = pread(descriptor, &data, data.count, off_t(offset))
    return got >= 0 ? Array(data.prefix(got)) : nil
  }
}
