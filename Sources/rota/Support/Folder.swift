import Glibc

/// Folders that commands keep things in.
enum Folder {
  /// Makes a folder and those above it, where they are not there yet; returns its absolute path.
  static func make(_ path: String) throws -> String {
    let absolute = try absolutePath(path)
    var current = ""
    for part in absolute.split(separator: "/") {
      current += "/" + part
      if mkdir(current, 0o755) != 0 && errno != EEXIST {
        throw CommandFailure("cannot make the folder \(current): \(String(cString: strerror(errno)))")
      }
    }
    let descriptor = open(absolute, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw CommandFailure("cannot use the folder \(absolute): \(String(cString: strerror(errno)))")
    }
    close(descriptor)
    return absolute
  }

  private static func absolutePath(_ path: String) throws -> String {
    if path.hasPrefix("/") { return path }
    guard let current = getcwd(nil, 0) else {
      throw CommandFailure("the current folder cannot be found: \(String(cString: strerror(errno)))")
    }
    defer { free(current) }
    return String(cString: current) + "/" + path
  }

  /// The size of a file, bytes; 0 where there is none.
  static func fileSize(_ path: String) -> Int {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    return max(0, lseek(descriptor, 0, SEEK_END))
  }

  /// Takes a lock in a folder for as long as this process lives; nil where another process has it.
  static func lock(_ folder: String) throws -> Int32? {
    let path = folder + "/lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw CommandFailure("cannot open \(path): \(String(cString: strerror(errno)))")
    }
    if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return descriptor }
    close(descriptor)
    return nil
  }
}
