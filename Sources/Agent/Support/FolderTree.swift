import Glibc

/// Walks folders that somebody else may change at the same time: a task's user owns what is in its work folder. Each
/// folder is opened from the one above it and never through a link, so that nothing outside can be put in the way.
enum FolderTree {
  /// A task may have nested its folders as deep as it liked; each level takes a descriptor.
  private static let maxDepth = 64
  /// O_PATH of Linux, which Glibc's headers show to GNU programs only.
  private static let pathOnly: Int32 = 0o10_000_000

  /// Deletes a file, or a folder with all that is in it. What cannot be deleted stays.
  ///
  /// - Parameter path: the last part must not be a link, or that is deleted; those before it are the agent's own.
  static func delete(_ path: String) {
    guard let slash = path.lastIndex(of: "/") else { return }
    let parent = open(
      path[..<slash].isEmpty ? "/" : String(path[..<slash]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard parent >= 0 else { return }
    defer { close(parent) }
    delete(String(path[path.index(after: slash)...]), in: parent, depth: 0)
  }

  private static func delete(_ name: String, in parent: Int32, depth: Int) {
    // EISDIR is Linux's answer for a folder, EPERM that of POSIX.
    if unlinkat(parent, name, 0) == 0 || (errno != EISDIR && errno != EPERM) { return }
    guard depth < maxDepth, let folder = openFolder(name, in: parent) else { return }
    defer { close(folder) }
    for name in names(in: folder) { delete(name, in: folder, depth: depth + 1) }
    unlinkat(parent, name, AT_REMOVEDIR)
  }

  /// Opens a folder, making it accessible if its owner is this user and has shut it.
  private static func openFolder(_ name: String, in parent: Int32) -> Int32? {
    let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
    var folder = openat(parent, name, flags)
    if folder < 0, errno == EACCES {
      // A descriptor that only names it cannot be exchanged for another folder's; its modes are changed through /proc.
      let pinned = openat(parent, name, pathOnly | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard pinned >= 0 else { return nil }
      defer { close(pinned) }
      chmod("/proc/self/fd/\(pinned)", 0o700)
      folder = openat(parent, name, flags)
    }
    guard folder >= 0 else { return nil }
    // To be allowed to remove names from it. Fails where it is another's, and then root needs no permission.
    fchmod(folder, 0o700)
    return folder
  }

  /// The names in a folder, without `.` and `..`.
  private static func names(in folder: Int32) -> [String] {
    let copy = fcntl(folder, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { return [] }
    guard let stream = fdopendir(copy) else {
      close(copy)
      return []
    }
    defer { closedir(stream) }
    return Files.names(from: stream)
  }

  /// What a folder takes on the disk, bytes.
  static func bytes(in path: String) -> Int64 {
    let folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard folder >= 0 else { return 0 }
    defer { close(folder) }
    return bytes(in: folder, depth: 0)
  }

  private static func bytes(in folder: Int32, depth: Int) -> Int64 {
    var sum: Int64 = 0
    for name in names(in: folder) {
      var status = stat()
      guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
      sum += Int64(status.st_blocks) * 512
      guard status.st_mode & S_IFMT == S_IFDIR, depth < maxDepth else { continue }
      let below = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
      guard below >= 0 else { continue }
      defer { close(below) }
      sum += bytes(in: below, depth: depth + 1)
    }
    return sum
  }
}
