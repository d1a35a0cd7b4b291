import Glibc
import SchedulerCore

/// The end of what a task wrote, for its run's record.
enum OutputTail {
  /// The last bytes of stdout, then of stderr, together at most `RunLimits.outputTailBytes`: half for each when
  /// both are long, else what one leaves is the other's.
  static func read(_ folder: AttemptFolder, stdout: Int64, stderr: Int64) -> [UInt8] {
    let limit = Int64(RunLimits.outputTailBytes)
    let stderrShare = min(stderr, max(limit / 2, limit - stdout))
    let stdoutShare = min(stdout, limit - stderrShare)
    return end(of: folder.log(.stdout), Int(stdoutShare)) + end(of: folder.log(.stderr), Int(stderrShare))
  }

  /// The last bytes of a log, going back into its rotated file if need be; without the beginning of a UTF-8
  /// character that was cut off.
  static func end(of path: String, _ count: Int) -> [UInt8] {
    guard count > 0 else { return [] }
    var bytes = lastBytes(of: path, count)
    if bytes.count < count { bytes = lastBytes(of: path + ".1", count - bytes.count) + bytes }
    let continuation = bytes.prefix(3).prefix { $0 & 0xC0 == 0x80 }.count
    return continuation > 0 ? Array(bytes.dropFirst(continuation)) : bytes
  }

  private static func lastBytes(of path: String, _ count: Int) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    let size = Int(lseek(descriptor, 0, SEEK_END))
    guard size > 0 else { return [] }
    var bytes = [UInt8](repeating: 0, count: min(count, size))
    let got = pread(descriptor, &bytes, bytes.count, off_t(size - bytes.count))
    return Array(bytes.prefix(max(0, got)))
  }
}
