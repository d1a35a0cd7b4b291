import Glibc
import SwiftASN1
import X509

/// Files in PEM (RFC 7468).
public enum PEM {
  /// Reads a file as it is.
  /// - Throws: `CertificateError` with code `unreadable` that names the file.
  public static func read(_ path: String) throws(CertificateError) -> String {
    guard let file = fopen(path, "re") else {
      throw CertificateError(.unreadable, "\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: CertificateLimits.fileBytes + 1)
    let count = fread(&bytes, 1, bytes.count, file)
    guard ferror(file) == 0 else {
      throw CertificateError(.unreadable, "\(path) cannot be read: \(String(cString: strerror(errno)))")
    }
    guard count <= CertificateLimits.fileBytes else {
      throw CertificateError(.unreadable, "\(path) is larger than \(CertificateLimits.fileBytes) bytes")
    }
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  /// The certificates in a text, in their order; other kinds of content are passed over.
  static func certificates(in text: String) throws(CertificateError) -> [Certificate] {
    let found: [Certificate]
    do {
      found = try PEMDocument.parseMultiple(pemString: text)
        .filter { $0.discriminator == Certificate.defaultPEMDiscriminator }
        .map { try Certificate(pemDocument: $0) }
    } catch {
      throw CertificateError(.malformed, "this is no certificate in PEM: \(error)")
    }
    guard !found.isEmpty else { throw CertificateError(.malformed, "there is no certificate in PEM in it") }
    return found
  }
}
