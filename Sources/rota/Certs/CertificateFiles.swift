import Certificates
import Glibc

/// Certificates and keys on disk.
enum CertificateFiles {
  /// Writes a key, which only its owner may read, then the certificate.
  /// - Parameter replacing: Without it, nothing is written where one of the files is there.
  static func write(
    _ pair: CertificateAuthority.Pair, certificate: String, key: String, replacing: Bool
  ) throws {
    if !replacing {
      for path in [key, certificate] where access(path, F_OK) == 0 { throw present(path) }
    }
    try write(pair.key, to: key, mode: 0o600, replacing: replacing)
    try write(pair.certificate, to: certificate, mode: 0o644, replacing: replacing)
  }

  /// Writes a file whole: others see the old content, or none, or the new one.
  static func write(_ text: String, to path: String, mode: mode_t, replacing: Bool) throws {
    let draft = "\(path).\(getpid()).new"
    let descriptor = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw failure(draft) }
    defer { unlink(draft) }
    do {
      defer { close(descriptor) }
      var rest = Array(text.utf8)[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { throw failure(draft) }
        rest = rest.dropFirst(count)
      }
      guard fchmod(descriptor, mode) == 0, fsync(descriptor) == 0 else { throw failure(draft) }
    }
    if replacing {
      guard rename(draft, path) == 0 else { throw failure(path) }
    } else if link(draft, path) != 0 {
      // A link never replaces what is there, however late that came.
      throw errno == EEXIST ? present(path) : failure(path)
    }
  }

  private static func present(_ path: String) -> CommandFailure {
    CommandFailure("\(path) is there already; --force replaces it")
  }

  private static func failure(_ path: String) -> CommandFailure {
    CommandFailure("\(path) cannot be written: \(String(cString: strerror(errno)))")
  }
}
