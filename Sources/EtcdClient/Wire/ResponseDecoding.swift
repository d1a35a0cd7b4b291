/// Response bodies of the gateway, by etcd's `rpc.proto`: absent fields mean zero, unknown ones are skipped.
enum ResponseDecoding {
  /// Runs a decoder over a whole body.
  static func whole<Value>(
    _ body: [UInt8], _ decode: (inout GatewayScanner) throws(WireError) -> Value
  ) throws(WireError) -> Value {
    let result: Result<Value, WireError> = body.withUnsafeBytes { bytes in
      do throws(WireError) {
        var scanner = GatewayScanner(bytes)
        let value = try decode(&scanner)
        try scanner.end()
        return .success(value)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// The revision in a response's `header`.
  static func headerRevision(_ scanner: inout GatewayScanner) throws(WireError) -> Int64 {
    var revision: Int64 = 0
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "revision": revision = try scanner.int64()
      default: try scanner.skip()
      }
    }
    return revision
  }

  /// For responses of which only the header counts.
  static func headerOnly(_ scanner: inout GatewayScanner) throws(WireError) -> Int64 {
    var revision: Int64 = 0
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header": revision = try headerRevision(&scanner)
      default: try scanner.skip()
      }
    }
    return revision
  }

  static func range(_ scanner: inout GatewayScanner) throws(WireError) -> RangeResponse {
    var response = RangeResponse()
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header": response.revision = try headerRevision(&scanner)
      case "kvs":
        try scanner.array { (scanner) throws(WireError) in
          response.kvs.append(try keyValue(&scanner, filter: []).kv)
        }
      case "count": response.count = try scanner.int64()
      case "more": response.more = try scanner.bool()
      default: try scanner.skip()
      }
    }
    return response
  }

  /// A pair, and whether its key is in one of the ranges (all keys are, without ranges). The value of an unwanted
  /// pair is not decoded.
  static func keyValue(
    _ scanner: inout GatewayScanner, filter: [KeyRange]
  ) throws(WireError) -> (kv: KeyValue, wanted: Bool) {
    var kv = KeyValue(key: "")
    var wanted = true
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "key":
        kv.key = try scanner.base64String()
        wanted = filter.isEmpty || filter.contains { $0.contains(kv.key) }
      case "value": if wanted { kv.value = try scanner.base64Bytes() } else { try scanner.skip() }
      case "create_revision": kv.createRevision = try scanner.int64()
      case "mod_revision": kv.modRevision = try scanner.int64()
      case "version": kv.version = try scanner.int64()
      case "lease": kv.lease = try scanner.int64()
      default: try scanner.skip()
      }
    }
    return (kv, wanted)
  }

  static func delete(_ scanner: inout GatewayScanner) throws(WireError) -> DeleteResponse {
    var response = DeleteResponse(deleted: 0, revision: 0)
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header": response.revision = try headerRevision(&scanner)
      case "deleted": response.deleted = try scanner.int64()
      default: try scanner.skip()
      }
    }
    return response
  }

  static func txn(_ scanner: inout GatewayScanner) throws(WireError) -> TxnResponse {
    var response = TxnResponse(succeeded: false, revision: 0)
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header": response.revision = try headerRevision(&scanner)
      case "succeeded": response.succeeded = try scanner.bool()
      case "responses":
        try scanner.array { (scanner) throws(WireError) in
          response.responses.append(try operation(&scanner))
        }
      default: try scanner.skip()
      }
    }
    let revision = response.revision
    for index in response.responses.indices {
      guard case .range(var range) = response.responses[index] else { continue }
      range.revision = revision
      response.responses[index] = .range(range)
    }
    return response
  }

  private static func operation(
    _ scanner: inout GatewayScanner
  ) throws(WireError) -> TxnResponse.Operation {
    var operation = TxnResponse.Operation.put
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "response_range": operation = .range(try range(&scanner))
      case "response_delete_range": operation = .delete(deleted: try delete(&scanner).deleted)
      default: try scanner.skip()
      }
    }
    return operation
  }

  static func leaseGrant(_ scanner: inout GatewayScanner) throws(WireError) -> LeaseGrant {
    var grant = LeaseGrant(id: 0, ttlSeconds: 0)
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header": grant.revision = try headerRevision(&scanner)
      case "ID": grant.id = try scanner.int64()
      case "TTL": grant.ttlSeconds = try scanner.int64()
      default: try scanner.skip()
      }
    }
    return grant
  }

  static func leaseStatus(_ scanner: inout GatewayScanner) throws(WireError) -> LeaseStatus {
    var status = LeaseStatus(id: 0, ttlSeconds: 0, grantedTTLSeconds: 0)
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "ID": status.id = try scanner.int64()
      case "TTL": status.ttlSeconds = try scanner.int64()
      case "grantedTTL": status.grantedTTLSeconds = try scanner.int64()
      case "keys":
        try scanner.array { (scanner) throws(WireError) in status.keys.append(try scanner.base64String()) }
      default: try scanner.skip()
      }
    }
    return status
  }

  static func memberStatus(_ scanner: inout GatewayScanner) throws(WireError) -> MemberStatus {
    var status = MemberStatus()
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header":
        try scanner.object { (scanner, name) throws(WireError) in
          switch name {
          case "member_id": status.memberID = try scanner.uint64()
          case "revision": status.revision = try scanner.int64()
          default: try scanner.skip()
          }
        }
      case "version": status.version = try scanner.string()
      case "dbSize": status.dbSize = try scanner.int64()
      case "dbSizeInUse": status.dbSizeInUse = try scanner.int64()
      case "leader": status.leader = try scanner.uint64()
      case "raftIndex": status.raftIndex = try scanner.int64()
      case "raftTerm": status.raftTerm = try scanner.int64()
      default: try scanner.skip()
      }
    }
    return status
  }

  static func members(_ scanner: inout GatewayScanner) throws(WireError) -> [Member] {
    var members: [Member] = []
    try scanner.object { (scanner, name) throws(WireError) in
      guard case "members" = name else { return try scanner.skip() }
      try scanner.array { (scanner) throws(WireError) in
        var member = Member()
        try scanner.object { (scanner, name) throws(WireError) in
          switch name {
          case "ID": member.id = try scanner.uint64()
          case "name": member.name = try scanner.string()
          case "peerURLs": member.peerURLs = try strings(&scanner)
          case "clientURLs": member.clientURLs = try strings(&scanner)
          case "isLearner": member.isLearner = try scanner.bool()
          default: try scanner.skip()
          }
        }
        members.append(member)
      }
    }
    return members
  }

  private static func strings(_ scanner: inout GatewayScanner) throws(WireError) -> [String] {
    var strings: [String] = []
    try scanner.array { (scanner) throws(WireError) in strings.append(try scanner.string()) }
    return strings
  }

  static func alarms(_ scanner: inout GatewayScanner) throws(WireError) -> [Alarm] {
    var alarms: [Alarm] = []
    try scanner.object { (scanner, name) throws(WireError) in
      guard case "alarms" = name else { return try scanner.skip() }
      try scanner.array { (scanner) throws(WireError) in
        var alarm = Alarm(memberID: 0, kind: Alarm.Kind("NONE"))
        try scanner.object { (scanner, name) throws(WireError) in
          switch name {
          case "memberID": alarm.memberID = try scanner.uint64()
          case "alarm": alarm.kind = Alarm.Kind(try scanner.string())
          default: try scanner.skip()
          }
        }
        alarms.append(alarm)
      }
    }
    return alarms
  }

  static func token(_ scanner: inout GatewayScanner) throws(WireError) -> String {
    var token = ""
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "token": token = try scanner.string()
      default: try scanner.skip()
      }
    }
    return token
  }

  /// `{"error": "...", "code": n, "message": "..."}`, of which older and newer gateways leave out different parts;
  /// in streams the object is nested in `error`, and its numbers have other names.
  static func failure(_ scanner: inout GatewayScanner) throws(WireError) -> ServerFailure {
    var failure = ServerFailure(code: 2, message: "")
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "code", "grpc_code": failure.code = Int(try scanner.int64())
      case "message": failure.message = try scanner.string()
      case "error":
        if failure.message.isEmpty { failure.message = try scanner.string() } else { try scanner.skip() }
      default: try scanner.skip()
      }
    }
    return failure
  }
}

/// An error as the gateway words it.
struct ServerFailure: Sendable, Hashable {
  /// google.rpc.Code; 2 (unknown) when absent.
  var code: Int
  var message: String
}
