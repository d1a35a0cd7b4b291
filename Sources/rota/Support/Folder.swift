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
    var status = stat()
    guard stat(absolute, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
      throw CommandFailure("\(absolute) is not a folder")
    }
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
