/// Request bodies of the gateway, by etcd's `rpc.proto`: absent fields mean zero.
enum RequestEncoding {
  static func range(_ request: RangeRequest) -> [UInt8] {
    var writer = BodyWriter(capacity: 256 + (request.range.start.count + request.range.end.count) * 2)
    append(request, to: &writer)
    return writer.finish()
  }

  static func put(_ key: String, _ value: [UInt8], lease: Int64) -> [UInt8] {
    var writer = BodyWriter(capacity: putSize(key, value))
    appendPut(key, value, lease, to: &writer)
    return writer.finish()
  }

  static func delete(_ range: KeyRange) -> [UInt8] {
    var writer = BodyWriter(capacity: 256)
    append(range, to: &writer)
    writer.raw("}")
    return writer.finish()
  }

  static func txn(_ request: TxnRequest) -> [UInt8] {
    var size = 64
    for compare in request.compares { size += compareSize(compare) }
    for operation in request.success { size += operationSize(operation) }
    for operation in request.failure { size += operationSize(operation) }
    var writer = BodyWriter(capacity: size)
    writer.raw("{\"compare\":[")
    for (index, compare) in request.compares.enumerated() {
      if index > 0 { writer.raw(",") }
      append(compare, to: &writer)
    }
    writer.raw("],\"success\":[")
    append(request.success, to: &writer)
    writer.raw("],\"failure\":[")
    append(request.failure, to: &writer)
    writer.raw("]}")
    return writer.finish()
  }

  static func leaseGrant(ttlSeconds: Int64, id: Int64) -> [UInt8] {
    var writer = BodyWriter(capacity: 96)
    writer.raw("{\"TTL\":")
    writer.quoted(ttlSeconds)
    writer.raw(",\"ID\":")
    writer.quoted(id)
    writer.raw("}")
    return writer.finish()
  }

  static func lease(_ id: Int64, keys: Bool = false) -> [UInt8] {
    var writer = BodyWriter(capacity: 64)
    writer.raw("{\"ID\":")
    writer.quoted(id)
    if keys { writer.raw(",\"keys\":true") }
    writer.raw("}")
    return writer.finish()
  }

  static func compact(revision: Int64, physical: Bool) -> [UInt8] {
    var writer = BodyWriter(capacity: 96)
    writer.raw("{\"revision\":")
    writer.quoted(revision)
    if physical { writer.raw(",\"physical\":true") }
    writer.raw("}")
    return writer.finish()
  }

  static func alarm(disarm alarm: Alarm?) -> [UInt8] {
    var writer = BodyWriter(capacity: 128)
    guard let alarm else {
      writer.raw("{\"action\":\"GET\"}")
      return writer.finish()
    }
    writer.raw("{\"action\":\"DEACTIVATE\",\"memberID\":")
    writer.string(String(alarm.memberID))
    writer.raw(",\"alarm\":")
    writer.string(alarm.kind.description)
    writer.raw("}")
    return writer.finish()
  }

  static func authenticate(user: String, password: String) -> [UInt8] {
    var writer = BodyWriter(capacity: 256)
    writer.raw("{\"name\":")
    writer.string(user)
    writer.raw(",\"password\":")
    writer.string(password)
    writer.raw("}")
    return writer.finish()
  }

  /// One create request per watcher, as a sequence of JSON objects: the gateway reads them one by one.
  static func watch(_ watchers: [(id: Int64, range: KeyRange, start: Int64)], progress: Bool) -> [UInt8] {
    var writer = BodyWriter(capacity: watchers.count * 256)
    for watcher in watchers {
      writer.raw("{\"create_request\":")
      append(watcher.range, to: &writer)
      writer.raw(",\"watch_id\":")
      writer.quoted(watcher.id)
      writer.raw(",\"start_revision\":")
      writer.quoted(watcher.start)
      writer.raw(",\"fragment\":true")
      if progress { writer.raw(",\"progress_notify\":true") }
      writer.raw("}}\n")
    }
    return writer.finish()
  }

  // MARK: Parts

  /// Opens an object with the range's fields; the caller closes it.
  private static func append(_ range: KeyRange, to writer: inout BodyWriter) {
    writer.raw("{\"key\":")
    writer.base64(range.start)
    if !range.end.isEmpty {
      writer.raw(",\"range_end\":")
      writer.base64(range.end)
    }
  }

  private static func append(_ request: RangeRequest, to writer: inout BodyWriter) {
    append(request.range, to: &writer)
    if request.limit > 0 {
      writer.raw(",\"limit\":")
      writer.quoted(request.limit)
    }
    if request.revision != 0 {
      writer.raw(",\"revision\":")
      writer.quoted(request.revision)
    }
    if let sort = request.sort {
      writer.raw(",\"sort_order\":")
      if sort.descending { writer.raw("\"DESCEND\"") } else { writer.raw("\"ASCEND\"") }
      writer.raw(",\"sort_target\":")
      switch sort.target {
      case .key: writer.raw("\"KEY\"")
      case .version: writer.raw("\"VERSION\"")
      case .createRevision: writer.raw("\"CREATE\"")
      case .modRevision: writer.raw("\"MOD\"")
      case .value: writer.raw("\"VALUE\"")
      }
    }
    if request.serializable { writer.raw(",\"serializable\":true") }
    if request.keysOnly { writer.raw(",\"keys_only\":true") }
    if request.countOnly { writer.raw(",\"count_only\":true") }
    writer.raw("}")
  }

  private static func appendPut(
    _ key: String, _ value: [UInt8], _ lease: Int64, to writer: inout BodyWriter
  ) {
    writer.raw("{\"key\":")
    writer.base64(key)
    writer.raw(",\"value\":")
    writer.base64(value)
    if lease != 0 {
      writer.raw(",\"lease\":")
      writer.quoted(lease)
    }
    writer.raw("}")
  }

  private static func append(_ operations: [TxnOperation], to writer: inout BodyWriter) {
    for (index, operation) in operations.enumerated() {
      if index > 0 { writer.raw(",") }
      switch operation {
      case .put(let key, let value, let lease):
        writer.raw("{\"request_put\":")
        appendPut(key, value, lease, to: &writer)
      case .delete(let range):
        writer.raw("{\"request_delete_range\":")
        append(range, to: &writer)
        writer.raw("}")
      case .range(let request):
        writer.raw("{\"request_range\":")
        append(request, to: &writer)
      }
      writer.raw("}")
    }
  }

  private static func append(_ compare: Compare, to writer: inout BodyWriter) {
    writer.raw("{\"key\":")
    writer.base64(compare.key)
    switch compare.relation {
    case .equal: writer.raw(",\"result\":\"EQUAL\"")
    case .greater: writer.raw(",\"result\":\"GREATER\"")
    case .less: writer.raw(",\"result\":\"LESS\"")
    case .notEqual: writer.raw(",\"result\":\"NOT_EQUAL\"")
    }
    switch compare.target {
    case .createRevision(let revision):
      writer.raw(",\"target\":\"CREATE\",\"create_revision\":")
      writer.quoted(revision)
    case .modRevision(let revision):
      writer.raw(",\"target\":\"MOD\",\"mod_revision\":")
      writer.quoted(revision)
    case .version(let version):
      writer.raw(",\"target\":\"VERSION\",\"version\":")
      writer.quoted(version)
    case .value(let value):
      writer.raw(",\"target\":\"VALUE\",\"value\":")
      writer.base64(value)
    case .lease(let lease):
      writer.raw(",\"target\":\"LEASE\",\"lease\":")
      writer.quoted(lease)
    }
    writer.raw("}")
  }

  // MARK: Estimates

  private static func putSize(_ key: String, _ value: [UInt8]) -> Int {
    Base64.encodedLength(key.utf8.count) + Base64.encodedLength(value.count) + 80
  }

  private static func operationSize(_ operation: TxnOperation) -> Int {
    if case .put(let key, let value, _) = operation { return putSize(key, value) + 24 }
    return 320
  }

  private static func compareSize(_ compare: Compare) -> Int {
    var size = Base64.encodedLength(compare.key.utf8.count) + 128
    if case .value(let value) = compare.target { size += Base64.encodedLength(value.count) }
    return size
  }
}
