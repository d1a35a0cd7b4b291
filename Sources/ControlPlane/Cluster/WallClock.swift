import Glibc
import SchedulerCore

extension Timestamp {
  /// The wall clock, for schedules and records only; deadlines use `ContinuousClock`.
  public static func now() -> Timestamp {
    // The members of `timespec` are read by their place: which module declares them for Swift depends on what
    // else of the program is built with it, and only some of those could be imported here.
    withUnsafeTemporaryAllocation(of: timespec.self, capacity: 1) { buffer in
      // Cannot fail: the buffer has an address, the clock exists.
      guard let time = buffer.baseAddress else { return Timestamp(microseconds: 0) }
      clock_gettime(CLOCK_REALTIME, time)
      let words = UnsafeRawBufferPointer(buffer)
      let seconds = words.load(as: Int.self)
      let nanoseconds = words.load(fromByteOffset: MemoryLayout<Int>.size, as: Int.self)
      return Timestamp(microseconds: Int64(seconds) * 1_000_000 + Int64(nanoseconds / 1_000))
    }
  }
}
