/// What decisions about a job need to know of its record, without decoding it.
public struct JobFacts: Hashable, Sendable {
  /// When the next run is due; nil when none is.
  public var nextRunTime: Timestamp?
  /// Whether somebody asked for the job to be cancelled: it starts nothing from then on.
  public var isCancelled = false
  /// Whether the job is paused: it is never due.
  public var isPaused = false
  /// Whether somebody asked for the job to be deleted.
  public var isDeleteRequested = false
  /// Whether a run was ever created.
  public var hasFired = false
  /// Whether there is no next run time yet because the end of a run has to tell it: of a fixed delay that has runs left.
  public var awaitsRun = false
  /// Whether all that was due was left out, and nothing is due any more: it never ran, and will not.
  public var isLeftOut = false

  /// The facts of a record.
  public init(_ record: JobRecord) {
    nextRunTime = record.nextRunTime
    isCancelled = record.cancelRequestedAt != nil
    isPaused = record.pausedAt != nil
    isDeleteRequested = record.deleteRequestedAt != nil
    hasFired = record.lastRunTime != nil
    awaitsRun = record.nextRunTime == nil && !isCancelled && record.hasFixedDelayLeft
    isLeftOut = !hasFired && nextRunTime == nil && !awaitsRun && record.skips.count > 0
  }

  init() {}

  /// When the next run has to be created; nil for never.
  public var due: Timestamp? { isCancelled || isPaused ? nil : nextRunTime }
}

extension JobRecord {
  /// Why a job that nobody cancelled never ran and will not, for people; nil of any other job.
  public var leftOutReason: String? {
    guard cancelRequestedAt == nil, JobFacts(self).isLeftOut else { return nil }
    let cause =
      switch skips.lastReason {
      case .misfire, nil: "it was missed, and its misfire policy left it out"
      case .overlap, .queueFull: "its overlap policy left it out"
      case .requested: "it was skipped on request"
      }
    return "nothing of it ran: \(cause); nothing more is due"
  }
}

/// A job's record as one small block of bytes, for a cache that holds a million of them, and what has to be
/// known without unpacking it.
///
/// The block is the record's own text, made smaller by `RecordText`: whatever members a record has are kept.
public struct PackedJob: Hashable, Sendable {
  /// What is known without unpacking.
  public let facts: JobFacts
  /// Who asked for the job.
  public let userID: String
  /// Its labels.
  public let labels: [String: String]
  let block: JobBlock

  /// Packs a record.
  public init(_ record: JobRecord) {
    facts = JobFacts(record)
    userID = record.spec.userID
    labels = record.spec.labels
    block = JobBlock(record.key, text: record.encoded())
  }

  /// Packs the record that a value in etcd holds.
  /// - Throws: `JSONError` or `FieldError` for a value that is no job record.
  public init(decoding bytes: [UInt8], key: JobKey) throws {
    // The whole of it is decoded once, so that all that is held can be read.
    let record = try JobRecord(decoding: bytes, key: key)
    facts = JobFacts(record)
    userID = record.spec.userID
    labels = record.spec.labels
    block = JobBlock(key, text: bytes)
  }
}

/// A job's key and, after it, the packed text of its record, or nothing.
struct JobBlock: Hashable, Sendable {
  /// The lengths of the two names, each in as few bytes as it needs; the names; the packed text.
  private let bytes: [UInt8]

  /// A block of nothing.
  static let none = JobBlock(bytes: [])

  private init(bytes: [UInt8]) { self.bytes = bytes }

  /// A key and the text of its record; without one a key alone.
  init(_ key: JobKey, text: [UInt8] = []) {
    let names = key.namespace.utf8.count + key.jobID.utf8.count
    let capacity = 2 * Self.longestLength + names + RecordText.capacity(text.count)
    bytes = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { buffer in
      var count = 0
      for name in [key.namespace, key.jobID] {
        var length = name.utf8.count
        while length >= 0x80 {
          buffer[count] = UInt8(truncatingIfNeeded: length) | 0x80
          length >>= 7
          count += 1
        }
        buffer[count] = UInt8(length)
        count += 1
      }
      for name in [key.namespace, key.jobID] {
        for byte in name.utf8 {
          buffer[count] = byte
          count += 1
        }
      }
      count += text.withUnsafeBufferPointer { text in
        RecordText.pack(
          text, of: key, into: UnsafeMutableBufferPointer(rebasing: buffer[count...]))
      }
      // Exactly as long as it needs to be.
      return Array(UnsafeBufferPointer(rebasing: buffer[..<count]))
    }
  }

  /// Bytes that a length takes at most.
  private static let longestLength = 10

  /// The key's names within `bytes`.
  private var names: (namespace: Range<Int>, jobID: Range<Int>) {
    var position = 0
    func length() -> Int {
      var value = 0
      var shift = 0
      while bytes[position] >= 0x80 {
        value |= Int(bytes[position] & 0x7F) << shift
        shift += 7
        position += 1
      }
      value |= Int(bytes[position]) << shift
      position += 1
      return value
    }
    let namespace = length()
    let jobID = length()
    return (position..<position + namespace, position + namespace..<position + namespace + jobID)
  }

  /// The key.
  var key: JobKey {
    let names = names
    return JobKey(
      namespace: String(decoding: bytes[names.namespace], as: UTF8.self),
      jobID: String(decoding: bytes[names.jobID], as: UTF8.self))
  }

  /// The text of the record; empty for a key alone.
  var text: [UInt8] { RecordText.unpack(bytes[names.jobID.upperBound...], of: key) }

  /// Bytes, of which those of the key are a part.
  var count: Int { bytes.count }

  /// Whether it is the block of that key.
  func isOf(_ key: JobKey) -> Bool {
    let names = names
    return bytes[names.jobID].elementsEqual(key.jobID.utf8) && isIn(key.namespace, names.namespace)
  }

  /// Whether its job is in that namespace.
  func isIn(_ namespace: String) -> Bool { isIn(namespace, names.namespace) }

  private func isIn(_ namespace: String, _ range: Range<Int>) -> Bool {
    bytes[range].elementsEqual(namespace.utf8)
  }

  /// Whether its key comes before another's: by the bytes of the namespace, then of the id.
  func keyPrecedes(_ other: JobBlock) -> Bool {
    let names = names
    let others = other.names
    return Self.precedes(
      (bytes[names.namespace], bytes[names.jobID]),
      (other.bytes[others.namespace], other.bytes[others.jobID]))
  }

  /// Whether its key comes before that one.
  func precedes(_ key: JobKey) -> Bool {
    let names = names
    return Self.precedes(
      (bytes[names.namespace], bytes[names.jobID]),
      (Array(key.namespace.utf8)[...], Array(key.jobID.utf8)[...])
    )
  }

  private static func precedes(
    _ left: (ArraySlice<UInt8>, ArraySlice<UInt8>), _ right: (ArraySlice<UInt8>, ArraySlice<UInt8>)
  ) -> Bool {
    left.0.elementsEqual(right.0)
      ? left.1.lexicographicallyPrecedes(right.1) : left.0.lexicographicallyPrecedes(right.0)
  }

  /// A hash of the key, equal for equal keys within this process; seeded, so that nobody can choose ids that collide.
  static func hash(of key: JobKey) -> Int {
    var hasher = Hasher()
    hash(key.namespace, into: &hasher)
    hash(key.jobID, into: &hasher)
    return hasher.finalize()
  }

  private static func hash(_ name: String, into hasher: inout Hasher) {
    var name = name
    name.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    hasher.combine(UInt8(0xFF))
  }
}
