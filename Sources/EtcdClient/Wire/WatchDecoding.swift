/// One message of a watch stream.
struct WatchMessage: Sendable {
  var watchID: Int64 = 0
  var revision: Int64 = 0
  var created = false
  var canceled = false
  var cancelReason = ""
  var compactRevision: Int64 = 0
  /// More of the same response follows.
  var fragment = false
  /// The events inside the wanted ranges.
  var events: [WatchEvent] = []
  /// How many events there were, and the highest revision among them, unwanted ones included.
  var eventCount = 0
  var lastRevision: Int64 = 0
  /// The stream as a whole has failed.
  var failure: ServerFailure?
}

/// Cuts a watch stream into messages: the gateway sends one JSON object per line, in chunks of any size.
struct WatchStreamDecoder {
  private let filter: [KeyRange]
  private var buffer: [UInt8] = []
  /// Bytes of `buffer` known to hold no line end.
  private var scanned = 0

  /// - Parameter filter: events outside of these ranges are dropped; empty keeps all.
  init(filter: [KeyRange]) { self.filter = filter }

  /// Takes a chunk and hands out every message that it completes.
  mutating func feed(_ chunk: [UInt8], _ body: (WatchMessage) -> Void) throws(WireError) {
    // Mostly chunks are whole lines: then nothing is copied.
    if buffer.isEmpty { buffer = chunk } else { buffer.append(contentsOf: chunk) }
    let consumed = try Self.decodeLines(buffer, from: scanned, filter, body).get()
    if consumed == buffer.count {
      buffer = []
    } else if consumed > 0 {
      buffer.removeFirst(consumed)
    }
    scanned = buffer.count
    guard buffer.count <= EtcdLimits.maxWatchMessageBytes else {
      throw WireError(
        offset: buffer.count,
        reason: "a watch message exceeds \(EtcdLimits.maxWatchMessageBytes) bytes")
    }
  }

  /// Decodes all whole lines; returns how many bytes they take.
  private static func decodeLines(
    _ buffer: [UInt8], from scanned: Int, _ filter: [KeyRange], _ body: (WatchMessage) -> Void
  ) -> Result<Int, WireError> {
    buffer.withUnsafeBytes { bytes in
      do throws(WireError) {
        var lineStart = 0
        var position = scanned
        while let end = lineEnd(bytes, from: position) {
          let line = UnsafeRawBufferPointer(rebasing: bytes[lineStart..<end])
          if let message = try decode(line, filter) { body(message) }
          lineStart = end + 1
          position = lineStart
        }
        return .success(lineStart)
      } catch {
        return .failure(error)
      }
    }
  }

  private static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
    var index = start
    while index + 8 <= bytes.count {
      // Eight bytes at a time: a byte equal to LF becomes zero, and the classic test finds a zero byte.
      let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ 0x0A0A_0A0A_0A0A_0A0A
      if (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080 != 0 { break }
      index += 8
    }
    while index < bytes.count {
      if bytes[index] == 0x0A { return index }
      index += 1
    }
    return nil
  }

  /// Nil for an empty line.
  private static func decode(
    _ line: UnsafeRawBufferPointer, _ filter: [KeyRange]
  ) throws(WireError) -> WatchMessage? {
    guard line.contains(where: { $0 > 0x20 }) else { return nil }
    var message = WatchMessage()
    var scanner = GatewayScanner(line)
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "result": try result(&scanner, filter, into: &message)
      case "error": message.failure = try ResponseDecoding.failure(&scanner)
      default: try scanner.skip()
      }
    }
    try scanner.end()
    return message
  }

  private static func result(
    _ scanner: inout GatewayScanner, _ filter: [KeyRange], into message: inout WatchMessage
  ) throws(WireError) {
    var result = message
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "header": result.revision = try ResponseDecoding.headerRevision(&scanner)
      case "watch_id": result.watchID = try scanner.int64()
      case "created": result.created = try scanner.bool()
      case "canceled": result.canceled = try scanner.bool()
      case "compact_revision": result.compactRevision = try scanner.int64()
      case "cancel_reason": result.cancelReason = try scanner.string()
      case "fragment": result.fragment = try scanner.bool()
      case "events":
        try scanner.array { (scanner) throws(WireError) in try event(&scanner, filter, into: &result) }
      default: try scanner.skip()
      }
    }
    message = result
  }

  private static func event(
    _ scanner: inout GatewayScanner, _ filter: [KeyRange], into message: inout WatchMessage
  ) throws(WireError) {
    var event = WatchEvent(kind: .put, kv: KeyValue(key: ""))
    var wanted = true
    try scanner.object { (scanner, name) throws(WireError) in
      switch name {
      case "type": event.kind = try scanner.string() == "DELETE" ? .delete : .put
      case "kv": (event.kv, wanted) = try ResponseDecoding.keyValue(&scanner, filter: filter)
      default: try scanner.skip()
      }
    }
    message.eventCount += 1
    message.lastRevision = max(message.lastRevision, event.kv.modRevision)
    if wanted { message.events.append(event) }
  }
}
