import Glibc

/// The end of trust in the lease, shared with the shims: 8 bytes, little-endian, nanoseconds of CLOCK_BOOTTIME,
/// in a file that all of them have mapped.
///
/// `@unchecked Sendable`: the only mutable state is the mapped word. It is aligned and 8 bytes long, so each load
/// and store is a single instruction and cannot tear; a reader may see the older value, which only ends trust
/// sooner. It is written by the core alone.
final class TrustFile: @unchecked Sendable {
  /// For the shims.
  let descriptor: Int32
  private let word: UnsafeMutablePointer<UInt64>

  /// Opens the file. What an earlier process wrote stays in force, for the shims that count on it: it is the same file, never
  /// a new one. Whoever takes none of them over has to set it to 0, above all after a restart of the machine, when the
  /// clock begins anew.
  init(path: String) throws(AgentError) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
    guard descriptor >= 0 else { throw Files.failure("open", path) }
    guard ftruncate(descriptor, 8) == 0 else {
      let error = Files.failure("size", path)
      close(descriptor)
      throw error
    }
    let mapping = mmap(nil, 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
    guard let mapping, mapping != MAP_FAILED else {
      let error = Files.failure("map", path)
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
    word = mapping.bindMemory(to: UInt64.self, capacity: 1)
  }

  deinit {
    munmap(word, 8)
    close(descriptor)
  }

  /// Trust ends then, nanoseconds of CLOCK_BOOTTIME; 0 when there is no lease.
  var trustedUntil: Int64 {
    get { Int64(UInt64(littleEndian: word.pointee)) }
    set { word.pointee = UInt64(newValue).littleEndian }
  }
}
