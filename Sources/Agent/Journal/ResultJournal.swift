import Glibc
import Proto
import SchedulerCore

/// What the agent has to remember over a restart of its process: which attempts it has started, and the ends that
/// the leader has not acknowledged.
///
/// An append-only file of records: 4 bytes length and 4 bytes checksum (little-endian) of a body, which is one
/// byte for the kind and a message of `rota.v1`. A batch is one write. A torn tail, the mark of a crash in the
/// middle of a write, is cut off at the next start. Nothing is synced: see `DataFolder`.
///
/// When most of the file is of no interest any more it is written anew with what is.
struct ResultJournal {
  /// What a record says of the attempts in it.
  private enum Kind: UInt8 {
    /// They are about to be started; an `AgentHello` with their names.
    case begun = 1
    /// They have ended; an `AgentStatus`.
    case ended = 2
    /// Nobody needs to remember them; an `AgentHello` with their names.
    case forgotten = 3
    /// Its task runs; a `RunningTask` as JSON.
    case running = 4
  }

  /// What an earlier life left behind.
  struct Recovered {
    /// Attempts that may have been started and whose end is not in the journal.
    var begun: [AttemptRef] = []
    /// How the tasks of some of them can be found.
    var running: [AttemptRef: RunningTask] = [:]
    /// Ends that were not acknowledged.
    var ended: [AttemptUpdate] = []
    /// Bytes at the end of the file that made no sense.
    var tornBytes = 0
  }

  private let path: String
  private var descriptor: Int32
  /// The length of the sound part of the file.
  private(set) var size: Int
  private var compactAt = AgentLimits.journalCompactBytes

  /// Opens the journal, or begins one, and says what is in it.
  static func open(_ path: String) throws(AgentError) -> (journal: ResultJournal, recovered: Recovered) {
    let bytes = try Files.read(path, limit: Int.max) ?? []
    let (recovered, sound) = read(bytes)
    let descriptor = try openForAppend(path)
    guard ftruncate(descriptor, off_t(sound)) == 0 else {
      let error = Files.failure("cut", path)
      close(descriptor)
      throw error
    }
    return (ResultJournal(path: path, descriptor: descriptor, size: sound), recovered)
  }

  private init(path: String, descriptor: Int32, size: Int) {
    self.path = path
    self.descriptor = descriptor
    self.size = size
  }

  private static func openForAppend(_ path: String) throws(AgentError) -> Int32 {
    let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o640)
    guard descriptor >= 0 else { throw Files.failure("open", path) }
    return descriptor
  }

  /// Adds to the file, in one write.
  ///
  /// - Throws: `AgentError` when the disk does not take it; the file is then as it was before.
  mutating func append(
    begun: [AttemptRef] = [], running: [RunningTask] = [], ended: [AttemptUpdate] = [],
    forgotten: [AttemptRef] = []
  ) throws(AgentError) {
    let bytes = Self.records(begun: begun, running: running, ended: ended, forgotten: forgotten)
    guard !bytes.isEmpty else { return }
    do {
      try Files.writeAll(descriptor, bytes, path: path)
      size += bytes.count
    } catch {
      // Half a record would hide everything after it.
      ftruncate(descriptor, off_t(size))
      throw error
    }
  }

  /// Whether so much has been added that writing the file anew may be worth it.
  var wantsCompaction: Bool { size >= compactAt }

  /// Writes the file anew.
  mutating func compact(
    begun: [AttemptRef], running: [RunningTask], ended: [AttemptUpdate]
  ) throws(AgentError) {
    let bytes = Self.records(begun: begun, running: running, ended: ended, forgotten: [])
    try Files.replace(path, bytes)
    let fresh = try Self.openForAppend(path)
    close(descriptor)
    descriptor = fresh
    size = bytes.count
    compactAt = max(AgentLimits.journalCompactBytes, 2 * size)
  }

  /// Closes the file.
  mutating func finish() {
    close(descriptor)
    descriptor = -1
  }

  // MARK: Records

  private static func records(
    begun: [AttemptRef], running: [RunningTask], ended: [AttemptUpdate], forgotten: [AttemptRef]
  ) -> [UInt8] {
    var bytes: [UInt8] = []
    if !begun.isEmpty { add(.begun, names(begun), to: &bytes) }
    for task in running { add(.running, task.json, to: &bytes) }
    // So many at a time that a record stays well below what `read` believes.
    var rest = ended[...]
    while !rest.isEmpty {
      add(.ended, .status(AgentStatus(updates: Array(rest.prefix(1_000)))), to: &bytes)
      rest = rest.dropFirst(1_000)
    }
    if !forgotten.isEmpty { add(.forgotten, names(forgotten), to: &bytes) }
    return bytes
  }

  private static func names(_ refs: [AttemptRef]) -> AgentMessage {
    .hello(AgentHello(agentID: "", incarnation: 0, version: "", attempts: refs))
  }

  private static func add(_ kind: Kind, _ message: AgentMessage, to bytes: inout [UInt8]) {
    add(kind, message.wire(), to: &bytes)
  }

  private static func add(_ kind: Kind, _ content: [UInt8], to bytes: inout [UInt8]) {
    let body = [kind.rawValue] + content
    withUnsafeBytes(of: UInt32(body.count).littleEndian) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: checksum(body[...]).littleEndian) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: body)
  }

  /// Reads records up to the first that is not whole and sound.
  private static func read(_ bytes: [UInt8]) -> (Recovered, sound: Int) {
    var begun: [AttemptRef: Void] = [:]
    var running: [AttemptRef: RunningTask] = [:]
    var ended: [AttemptRef: AttemptUpdate] = [:]
    var at = 0
    while let (body, next) = body(in: bytes, at: at), let kind = body.first.flatMap(Kind.init(rawValue:)) {
      if kind == .running {
        guard let task = RunningTask(json: Array(body.dropFirst())) else { break }
        running[task.ref] = task
        at = next
        continue
      }
      guard let message = try? AgentMessage(wire: Array(body.dropFirst())) else { break }
      switch (kind, message) {
      case (.begun, .hello(let hello)): for ref in hello.attempts { begun[ref] = () }
      case (.forgotten, .hello(let hello)):
        for ref in hello.attempts {
          begun[ref] = nil
          ended[ref] = nil
        }
      case (.ended, .status(let status)):
        for update in status.updates {
          begun[update.ref] = nil
          ended[update.ref] = update
        }
      default: break
      }
      at = next
    }
    // Those that have ended are of no interest.
    running = running.filter { begun[$0.key] != nil }
    let recovered = Recovered(
      begun: Array(begun.keys), running: running, ended: Array(ended.values), tornBytes: bytes.count - at)
    return (recovered, at)
  }

  private static func body(in bytes: [UInt8], at start: Int) -> (ArraySlice<UInt8>, next: Int)? {
    guard start + 8 <= bytes.count else { return nil }
    let length = Int(number(bytes, start))
    let end = start + 8 + length
    guard length > 0, length <= AgentLimits.journalRecordBytes, end <= bytes.count else { return nil }
    let body = bytes[(start + 8)..<end]
    return checksum(body) == number(bytes, start + 4) ? (body, end) : nil
  }

  private static func number(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
  }

  /// FNV-1a, folded to 32 bits: it finds torn writes; nobody attacks this file.
  private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return UInt32(truncatingIfNeeded: hash ^ (hash >> 32))
  }
}
