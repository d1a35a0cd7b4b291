/// What alerts may make a server do: what is not named here, no job can ask for.
public struct AlertPolicy: Sendable {
  /// The commands that rules may name, by their names: absolute paths of programs.
  public var commands: [String: String] = [:]
  /// The hosts that webhooks may be posted to: names or addresses, in lower case, with or without a port; `*` for all.
  public var webhookHosts: Set<String> = []

  /// Makes one that allows nothing.
  public init() {}

  /// Why a webhook is not allowed; nil where it is.
  func refusal(of url: String) -> String? {
    guard let (host, authority) = Self.host(of: url) else {
      return "a webhook needs an http or https URL with a plain host, without a user name"
    }
    guard webhookHosts.contains("*") || webhookHosts.contains(host) || webhookHosts.contains(authority) else {
      return "the servers do not allow webhooks to '\(authority)'; they are told by --alert-webhook-host"
    }
    return nil
  }

  /// The host of a URL, without and with its port. What one reader may take for another host than the next does is none.
  static func host(of url: String) -> (host: String, authority: String)? {
    let lowered = url.lowercased()
    guard let scheme = ["http://", "https://"].first(where: lowered.hasPrefix) else { return nil }
    let authority = lowered.dropFirst(scheme.count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let isPlain =
      !authority.isEmpty
      && authority.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: ".-_:[]".utf8.contains(byte)
        }
      }
    guard isPlain else { return nil }
    if authority.first == "[" {
      guard let end = authority.firstIndex(of: "]") else { return nil }
      let rest = authority[authority.index(after: end)...]
      guard rest.isEmpty || rest.first == ":" else { return nil }
      return (String(authority[...end]), String(authority))
    }
    let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let host = parts.first, !host.isEmpty else { return nil }
    return (String(host), String(authority))
  }
}
