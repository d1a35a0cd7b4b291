import Glibc

/// A connection to a shim that has lost its agent, by the socket in its attempt's folder.
struct ShimSocket: Sendable {
  let descriptor: Int32
  /// The process that listens, by the kernel's word.
  let peer: pid_t

  /// Why there is none.
  enum Failure: Error {
    /// The shim may not have noticed yet that its agent is gone, or has ended.
    case notThere
    /// Something else, in words.
    case refused(String)
  }

  /// Connects; does not wait.
  static func connect(to folder: AttemptFolder) throws(Failure) -> ShimSocket {
    // An address holds at most 108 bytes, a path more.
    let directory = open(folder.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard directory >= 0 else { throw .notThere }
    defer { close(directory) }
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, type, 0)
    guard descriptor >= 0 else { throw .refused(Files.reason()) }
    do throws(Failure) {
      try connect(descriptor, "/proc/self/fd/\(directory)/\(AttemptFolder.socketName)")
      return ShimSocket(descriptor: descriptor, peer: try peer(of: descriptor))
    } catch {
      close(descriptor)
      throw error
    }
  }

  private static func connect(_ descriptor: Int32, _ path: String) throws(Failure) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { target in
      // Zeroed, and much longer than any path of this form.
      target.copyBytes(from: path.utf8.prefix(target.count - 1))
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let code = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(descriptor, $0, size) }
    }
    guard code != 0 else { return }
    switch errno {
    case ENOENT, ECONNREFUSED, EAGAIN, EINTR: throw .notThere
    default: throw .refused(Files.reason())
    }
  }

  /// SO_PEERCRED of unix(7): pid, user and group of the process that called listen(2).
  private static func peer(of descriptor: Int32) throws(Failure) -> pid_t {
    var credentials: (pid: pid_t, user: uid_t, group: gid_t) = (0, 0, 0)
    var size = socklen_t(MemoryLayout.size(ofValue: credentials))
    guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 else {
      throw .refused(Files.reason())
    }
    guard credentials.user == geteuid() else {
      throw .refused("it belongs to user \(credentials.user)")
    }
    return credentials.pid
  }

  /// Tells the shim to kill its task, and hangs up.
  func dismiss() {
    var command = UInt8(ascii: "K")
    // Fails only when the shim is gone.
    _ = Glibc.write(descriptor, &command, 1)
    close(descriptor)
  }
}
