extension HTTPTask {
  /// Checks the request's bounds, and that nothing in it can break out of its place in the HTTP message.
  func validate() throws(FieldError) {
    guard SpecLimits.methods.contains(method) else {
      throw FieldError(
        field: "method", message: "one of \(SpecLimits.methods.joined(separator: ", ")) was expected")
    }
    try validateURL()
    try validateHeaders()
    try TextCheck(field: "body").length(body, atMost: SpecLimits.bodyBytes)
  }

  private func validateURL() throws(FieldError) {
    let check = TextCheck(field: "url")
    guard !url.isEmpty else { throw check.error("is required") }
    try check.length(url, atMost: SpecLimits.urlBytes)
    // RFC 3986 section 2: a URL has visible ASCII characters only. CR and LF would end the request line.
    guard url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw check.error("spaces, line ends, control and non-ASCII characters must be percent-encoded")
    }
    let lowered = url.lowercased()
    guard let scheme = ["http://", "https://"].first(where: { lowered.hasPrefix($0) }) else {
      throw check.error("an absolute URL with http:// or https:// was expected")
    }
    let authority = url.utf8.dropFirst(scheme.utf8.count).prefix {
      $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#")
    }
    let userEnd = authority.lastIndex(of: UInt8(ascii: "@")).map { authority.index(after: $0) }
    let hostAndPort = authority[(userEnd ?? authority.startIndex)...]
    guard let first = hostAndPort.first, first != UInt8(ascii: ":") else { throw check.error("has no host") }
  }

  /// How the names of the headers begin that tell a request's receiver of the run, in lower case.
  public static let reservedHeaderPrefix = "rota-"

  private func validateHeaders() throws(FieldError) {
    guard headers.count <= SpecLimits.headers else {
      throw FieldError(
        field: "headers", message: "there are \(headers.count); at most \(SpecLimits.headers)")
    }
    var total = 0
    for (name, value) in headers {
      let check = TextCheck(field: "headers.\(FieldError.shown(name))")
      guard !name.isEmpty, name.utf8.allSatisfy(Self.isTokenByte) else {
        throw check.error("a header's name has letters, digits and !#$%&'*+-.^_`|~ only")
      }
      guard !name.lowercased().hasPrefix(Self.reservedHeaderPrefix) else {
        throw check.error("headers that begin with Rota- are set by the agent")
      }
      // RFC 9110 section 5.5: a value may have tabs, but no other control character.
      guard value.utf8.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7F) }) else {
        throw check.error("a header's value cannot have line ends or other control characters")
      }
      total += name.utf8.count + value.utf8.count + 4
    }
    guard total <= SpecLimits.headerBytes else {
      throw FieldError(
        field: "headers", message: "have \(total) bytes; at most \(SpecLimits.headerBytes) are allowed")
    }
  }

  /// A `tchar` of RFC 9110 section 5.6.2.
  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}
