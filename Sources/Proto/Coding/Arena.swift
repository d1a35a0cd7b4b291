import CProtobufC

/// Memory for the C form of one message: bumped, never freed piece by piece, all freed with the arena.
///
/// Pointers into it live as long as the arena; users keep it alive with `withExtendedLifetime`.
final class Arena {
  /// What the allocation functions see. It has an address of its own, so that protobuf-c can carry it
  /// without a reference count.
  struct State {
    var next: UnsafeMutableRawPointer?
    var left = 0
    /// The newest chunk; each begins with the address of the one before.
    var chunk: UnsafeMutableRawPointer?
    var chunkSize: Int
    /// How much may still be taken from the system.
    var budget: Int
  }

  /// The alignment of every allocation: that of the largest C scalar.
  private static let alignment = 16
  private static let smallestChunk = 1_024
  private static let largestChunk = 1 << 20

  private let state: UnsafeMutablePointer<State>

  /// Makes an arena; nothing is allocated yet.
  ///
  /// - Parameters:
  ///   - expected: About how much will be needed, bytes; a hint.
  ///   - limit: The most that is taken from the system, bytes; past it allocation fails.
  init(expected: Int, limit: Int) {
    state = .allocate(capacity: 1)
    let size = min(max(expected, Arena.smallestChunk), Arena.largestChunk)
    state.initialize(to: State(chunkSize: size, budget: limit))
  }

  deinit {
    var chunk = state.pointee.chunk
    while let current = chunk {
      chunk = current.load(as: UnsafeMutableRawPointer?.self)
      current.deallocate()
    }
    state.deallocate()
  }

  /// Uninitialised memory, or nil past the limit.
  @inline(__always)
  func allocate(_ size: Int) -> UnsafeMutableRawPointer? { Arena.allocate(state, size) }

  /// Copies bytes.
  func copy(_ bytes: UnsafeRawBufferPointer) -> ProtobufCBinaryData {
    guard let source = bytes.baseAddress, !bytes.isEmpty else { return ProtobufCBinaryData() }
    let memory = reserve(bytes.count)
    memory.copyMemory(from: source, byteCount: bytes.count)
    return ProtobufCBinaryData(len: bytes.count, data: memory.assumingMemoryBound(to: UInt8.self))
  }

  /// Room for `count` values, uninitialised.
  func array<Element>(of type: Element.Type, count: Int) -> UnsafeMutablePointer<Element> {
    reserve(count * MemoryLayout<Element>.stride).bindMemory(to: type, capacity: count)
  }

  /// Memory in an arena for encoding, which has no limit but the system's.
  private func reserve(_ size: Int) -> UnsafeMutableRawPointer {
    guard let memory = allocate(size) else {
      // Encoders make arenas with a limit of Int.max, and Swift's allocate does not return on failure.
      preconditionFailure("the arena of an encoder has no limit")
    }
    return memory
  }

  /// protobuf-c's view of this arena; valid as long as the arena.
  var allocator: ProtobufCAllocator {
    ProtobufCAllocator(
      alloc: { state, size in
        guard let state else { return nil }
        return Arena.allocate(state.assumingMemoryBound(to: State.self), size)
      },
      free: { _, _ in },
      allocator_data: state)
  }

  @inline(__always)
  private static func allocate(_ state: UnsafeMutablePointer<State>, _ size: Int) -> UnsafeMutableRawPointer?
  {
    // An absurd size would overflow the rounding; nothing that large fits any budget.
    guard size >= 0, size <= Int.max - 2 * alignment else { return nil }
    let rounded = (size + alignment - 1) & ~(alignment - 1)
    if rounded > state.pointee.left {
      guard grow(state, rounded) else { return nil }
    }
    let memory = state.pointee.next
    state.pointee.next = memory?.advanced(by: rounded)
    state.pointee.left -= rounded
    return memory
  }

  private static func grow(_ state: UnsafeMutablePointer<State>, _ wanted: Int) -> Bool {
    let size = max(state.pointee.chunkSize, wanted + alignment)
    guard size <= state.pointee.budget else { return false }
    state.pointee.budget -= size
    state.pointee.chunkSize = min(state.pointee.chunkSize * 2, largestChunk)
    let chunk = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: alignment)
    chunk.storeBytes(of: state.pointee.chunk, as: UnsafeMutableRawPointer?.self)
    state.pointee.chunk = chunk
    state.pointee.next = chunk.advanced(by: alignment)
    state.pointee.left = size - alignment
    return true
  }
}
