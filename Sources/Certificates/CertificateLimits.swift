/// The bounds of this module.
public enum CertificateLimits {
  /// The largest file of certificates or of a key that is read, bytes.
  static let fileBytes = 1 << 20
  /// The longest name of a host among a certificate's alternative names, bytes (RFC 1035, section 2.3.4).
  static let hostBytes = 253
  /// The most hosts and addresses in one certificate.
  static let hosts = 100
  /// The longest life of an issued certificate, days.
  public static let days = 1...3_650
  /// The life of a cluster's authority, days.
  static let authorityDays = 3_650
  /// How far in the past an issued certificate begins to be valid, seconds: clocks differ.
  static let clockSkewSeconds: Int64 = 300
  /// How often files are looked at for a change. A change is used when two looks in a row have seen it.
  static let reloadInterval = Duration.seconds(1)
  /// How long before its end a certificate is complained about, seconds.
  static let expiryWarningSeconds: Int64 = 14 * 86_400
  /// How long the peer may take to confirm the end of a TLS connection, seconds.
  static let shutdownSeconds: Int64 = 1
}
