import Glibc

/// What changes when a file does: also when it is replaced, and when a link to it is turned elsewhere, as Kubernetes
/// does with the files of a secret.
struct FileStamp: Hashable, Sendable {
  private let device: UInt64
  private let inode: UInt64
  private let size: Int64
  private let seconds: Int64
  private let nanoseconds: Int64

  /// - Returns: nil where there is no such file.
  init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    seconds = Int64(status.st_mtim.tv_sec)
    nanoseconds = Int64(status.st_mtim.tv_nsec)
  }

  /// The stamps of several files.
  static func of(_ paths: [String]) -> [FileStamp?] { paths.map { FileStamp($0) } }
}
