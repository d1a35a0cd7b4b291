import Glibc
import SchedulerCore

/// Removes folders of attempts that ended long ago, or are too many or too large together.
struct Janitor: Sendable {
  let root: String
  let retentionMillis: Int64
  let maxBytes: Int64
  let maxFolders: Int

  /// An attempt's folder as found on disk.
  struct Found: Sendable {
    var path: String
    var modified: Int64
    var bytes: Int64
  }

  /// Sweeps once.
  ///
  /// - Parameters:
  ///   - needed: folders that stay, whatever their age: of attempts that run or are not acknowledged.
  ///   - now: the wall clock.
  /// - Returns: how many were removed.
  @discardableResult
  func sweep(keeping needed: Set<String>, now: Timestamp) -> Int {
    let doomed = Self.doomed(
      among: attempts(), keeping: needed, olderThan: now.milliseconds - retentionMillis, maxBytes: maxBytes,
      maxFolders: maxFolders)
    for path in doomed {
      FolderTree.delete(path)
      removeEmptyParents(of: path)
    }
    return doomed.count
  }

  /// Which folders go: the too old, then the oldest until the rest is within the bounds.
  static func doomed(
    among found: [Found], keeping needed: Set<String>, olderThan limit: Int64, maxBytes: Int64,
    maxFolders: Int
  ) -> [String] {
    var bytes = found.reduce(0) { $0 + $1.bytes }
    var count = found.count
    var doomed: [String] = []
    for folder in found.sorted(by: { $0.modified < $1.modified }) {
      guard folder.modified < limit || bytes > maxBytes || count > maxFolders else { break }
      guard !needed.contains(folder.path) else { continue }
      doomed.append(folder.path)
      bytes -= folder.bytes
      count -= 1
    }
    return doomed
  }

  private func attempts() -> [Found] {
    var found: [Found] = []
    walk(root, depth: 0, into: &found)
    return found
  }

  /// root / namespace / job / run / attempt
  private func walk(_ path: String, depth: Int, into found: inout [Found]) {
    for name in Files.names(in: path) {
      let child = path + "/" + name
      guard let status = Files.status(child), status.st_mode & S_IFMT == S_IFDIR else { continue }
      if depth < 3 {
        walk(child, depth: depth + 1, into: &found)
      } else {
        let modified = Int64(status.st_mtim.tv_sec) * 1_000
        found.append(Found(path: child, modified: modified, bytes: FolderTree.bytes(in: child)))
      }
    }
  }

  /// Removes the folders of run, job and namespace where they have become empty.
  private func removeEmptyParents(of path: String) {
    var path = path
    while let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      path = String(path[..<slash])
      guard path.count > root.count, rmdir(path) == 0 else { return }
    }
  }
}
