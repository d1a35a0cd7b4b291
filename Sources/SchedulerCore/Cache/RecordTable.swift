/// Decoded records by key, each with the generation of the listing that brought it last.
///
/// Reads like a dictionary. For what there are thousands of, not millions: see `JobTable` for those.
public struct RecordTable<Key: Hashable & Sendable, Record: Sendable>: Sendable {
  private struct Entry: Sendable {
    var value: Versioned<Record>
    var generation: Generation
  }

  private var entries: [Key: Entry] = [:]

  /// How many records there are.
  public var count: Int { entries.count }
  /// Whether there are none.
  public var isEmpty: Bool { entries.isEmpty }
  /// The keys, in no order.
  public var keys: some Collection<Key> { entries.keys }
  /// The record of a key.
  public subscript(key: Key) -> Versioned<Record>? { entries[key]?.value }
  /// The records, in no order.
  public var values: some Collection<Versioned<Record>> { entries.values.lazy.map(\.value) }

  /// What `transform` makes of each record, by key.
  public func mapValues<Value>(_ transform: (Versioned<Record>) -> Value) -> [Key: Value] {
    entries.mapValues { transform($0.value) }
  }

  /// The records that `isIncluded` holds for, by key.
  public func filter(
    _ isIncluded: ((key: Key, value: Versioned<Record>)) -> Bool
  ) -> [Key: Versioned<Record>] {
    entries.filter { isIncluded((key: $0.key, value: $0.value.value)) }.mapValues(\.value)
  }

  /// Puts a record in, or takes it out where nil.
  mutating func set(_ key: Key, _ value: Versioned<Record>?, _ generation: Generation) {
    entries[key] = value.map { Entry(value: $0, generation: generation) }
  }

  /// Notes that a listing has brought the record, if it is held. Returns the revision that is held.
  @discardableResult
  mutating func mark(_ key: Key, _ generation: Generation) -> Int64? {
    entries[key]?.generation = generation
    return entries[key]?.value.modRevision
  }

  /// The keys that the listing of that generation has not brought.
  func unmarked(_ generation: Generation) -> [Key] {
    entries.compactMap { $0.value.generation == generation ? nil : $0.key }
  }
}

extension RecordTable: Sequence {
  /// Goes through keys and records, in no order.
  public func makeIterator() -> some IteratorProtocol<(key: Key, value: Versioned<Record>)> {
    entries.lazy.map { (key: $0.key, value: $0.value.value) }.makeIterator()
  }
}

/// Numbers the listings, to tell what the one that is under way has brought: it wraps around after 256, when what
/// 256 listings that broke off have missed may stay until the next.
typealias Generation = UInt8
