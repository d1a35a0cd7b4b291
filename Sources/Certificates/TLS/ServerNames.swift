import SwiftASN1
import X509

/// The DNS names in a server's certificate.
struct ServerNames: CustomStringConvertible {
  private let names: [String]

  init(names: [String]) { self.names = names.map { $0.lowercased() } }

  /// - Parameter certificate: DER.
  init(certificate: [UInt8]) throws {
    let certificate = try Certificate(derEncoded: certificate)
    self.init(
      names: certificate.alternativeNames.compactMap { if case .dnsName(let name) = $0 { name } else { nil } }
    )
  }

  /// Whether one of them is this name, or is its pattern: `*` stands for the whole first label (RFC 9525, section 6.3).
  func cover(_ name: String) -> Bool {
    var name = name.lowercased()[...]
    if name.last == "." { name = name.dropLast() }
    let parent = name.firstIndex(of: ".").map { name[$0...] }
    return names.contains { candidate in
      if candidate == name { return true }
      guard let parent, candidate.hasPrefix("*.") else { return false }
      return candidate.dropFirst() == parent && !parent.dropFirst().isEmpty
    }
  }

  var description: String { names.isEmpty ? "no name" : names.joined(separator: ", ") }
}
