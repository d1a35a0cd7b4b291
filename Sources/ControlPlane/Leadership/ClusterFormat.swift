import EtcdClient
import SchedulerCore

/// Checks that this program understands the data in etcd, and marks an empty etcd as its own.
enum ClusterFormat {
  /// Returns the cluster's key space.
  /// - Throws: `EtcdError`, or `IncompatibleData` where another version wrote the data.
  static func check(_ store: any EtcdStore, prefix: String) async throws -> Keyspace {
    let meta = Keyspace(prefix: prefix).meta
    let own = MetaRecord.current
    // Read before anything is written: an etcd without space takes no writes, and a server has to be there to heal it.
    if let pair = try await store.get(meta) { return try keyspace(prefix, of: pair) }
    let response = try await store.txn(
      TxnRequest(
        compares: [.absent(meta)], success: [.put(key: meta, value: own.encoded())],
        failure: [.range(RangeRequest(.key(meta)))]))
    if response.succeeded { return Keyspace(prefix: prefix, segmentCount: own.segmentCount) }
    guard case .range(let range)? = response.responses.first, let pair = range.kvs.first else {
      throw IncompatibleData(message: "\(meta) exists but could not be read")
    }
    return try keyspace(prefix, of: pair)
  }

  private static func keyspace(_ prefix: String, of pair: KeyValue) throws -> Keyspace {
    let (meta, own) = (pair.key, MetaRecord.current)
    let found: MetaRecord
    do {
      found = try MetaRecord(decoding: pair.value)
    } catch {
      throw IncompatibleData(
        message: "\(meta) is not what Rota writes there (\(error)); choose another --prefix")
    }
    guard found.formatVersion == own.formatVersion else {
      throw IncompatibleData(
        message: "the data under \(prefix) has format \(found.formatVersion), this program reads format "
          + "\(own.formatVersion); use the version of Rota that wrote it")
    }
    return Keyspace(prefix: prefix, segmentCount: found.segmentCount)
  }
}

/// The data in etcd is not this program's.
struct IncompatibleData: Error, CustomStringConvertible {
  var message: String
  var description: String { message }
}
