/// How the messages of one direction of a call may be compressed (grpc/doc/compression.md).
///
/// Each message has a flag of its own: within gzip a message may still travel as it is.
public enum MessageEncoding: String, Sendable {
  /// Not at all.
  case identity
  /// Each message by itself is a gzip file (RFC 1952).
  case gzip

  /// The value of `grpc-accept-encoding`: what this module can read.
  static let accepted = "identity,gzip"

  /// Reads `grpc-encoding`; nil when it names an encoding that is not known here.
  init?(header value: String?) {
    guard let value else {
      self = .identity
      return
    }
    self.init(rawValue: value.lowercased())
  }

  /// Whether a peer that sent this `grpc-accept-encoding` can read this encoding.
  func isAccepted(by header: String?) -> Bool {
    guard self != .identity else { return true }
    guard let header else { return false }
    return header.split(separator: ",").contains {
      $0.drop { $0 == " " }.prefix { $0 != " " }.lowercased() == rawValue
    }
  }
}
