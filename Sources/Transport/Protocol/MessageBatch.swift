import NIOCore

/// A message as it travels: its bytes, compressed or not.
struct WireMessage: Equatable, Sendable {
  var bytes: ByteBuffer
  /// The compression flag of its prefix.
  var isCompressed = false
}

/// Messages as they travel, in order. While none is compressed this is an array of buffers and nothing more.
struct MessageBatch: Sendable {
  private var buffers: [ByteBuffer] = []
  /// A flag for each buffer, or nothing while none is compressed.
  private var flags: [Bool] = []
  /// How many were taken from the front.
  private var taken = 0

  init() {}

  /// One message, which counts as one that may be compressed.
  init(_ message: WireMessage) {
    buffers = [message.bytes]
    flags = [message.isCompressed]
  }

  /// Uncompressed messages.
  init(_ messages: [ByteBuffer]) { buffers = messages }

  var count: Int { buffers.count - taken }
  var isEmpty: Bool { count == 0 }
  /// False: certainly none is compressed.
  var mayBeCompressed: Bool { !flags.isEmpty }

  /// The bytes of all messages.
  var bytes: [ByteBuffer] { taken == 0 ? buffers : Array(buffers[taken...]) }

  /// What all messages cost on the wire.
  var wireBytes: Int { buffers[taken...].reduce(0) { $0 + MessagePrefix.wireBytes($1) } }

  mutating func append(_ message: ByteBuffer, isCompressed: Bool = false) {
    if isCompressed || !flags.isEmpty {
      padFlags()
      flags.append(isCompressed)
    }
    buffers.append(message)
  }

  mutating func append(contentsOf other: MessageBatch) {
    if isEmpty {
      self = other
    } else if other.mayBeCompressed {
      for message in other { append(message.bytes, isCompressed: message.isCompressed) }
    } else {
      if !flags.isEmpty { flags.append(contentsOf: repeatElement(false, count: other.count)) }
      buffers.append(contentsOf: other.buffers[other.taken...])
    }
  }

  /// Takes the first message, in constant time.
  mutating func popFirst() -> WireMessage? {
    guard !isEmpty else { return nil }
    let first = WireMessage(bytes: buffers[taken], isCompressed: flags.isEmpty ? false : flags[taken])
    buffers[taken] = ByteBuffer()
    taken += 1
    if isEmpty { self = MessageBatch() }
    return first
  }

  private mutating func padFlags() {
    if flags.isEmpty { flags = Array(repeating: false, count: buffers.count) }
  }
}

extension MessageBatch: Sequence {
  struct Iterator: IteratorProtocol {
    fileprivate let batch: MessageBatch
    fileprivate var index: Int

    mutating func next() -> WireMessage? {
      guard index < batch.buffers.count else { return nil }
      defer { index += 1 }
      let isCompressed = batch.flags.isEmpty ? false : batch.flags[index]
      return WireMessage(bytes: batch.buffers[index], isCompressed: isCompressed)
    }
  }

  func makeIterator() -> Iterator { Iterator(batch: self, index: taken) }
}

extension MessageBatch: ExpressibleByArrayLiteral {
  init(arrayLiteral elements: ByteBuffer...) { self.init(elements) }
}
