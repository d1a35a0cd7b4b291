/// The address of a service: `host:port`, or `[v6 address]:port`.
public struct HostPort: Hashable, Sendable, CustomStringConvertible {
  /// A name or address, without brackets.
  public var host: String
  /// 0 to 65535; 0 asks for a free port where one is to be bound.
  public var port: Int

  /// Makes an address from its parts.
  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads a text; nil where it is no address. An IPv6 address needs its brackets (RFC 3986 section 3.2.2).
  public init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (0...65_535).contains(port)
    else { return nil }
    var host = text[..<colon]
    if host.first == "[", host.last == "]" {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      return nil
    }
    guard !host.isEmpty, !host.contains(where: { $0 == "/" || $0 == " " }) else { return nil }
    self.init(host: String(host), port: port)
  }

  /// The text that `init` reads.
  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
