/// One header or trailer field as HTTP/2 carries it.
struct HeaderField: Hashable, Sendable {
  var name: String
  var value: String

  init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension [HeaderField] {
  func value(of name: String) -> String? {
    first { $0.name == name }?.value
  }
}
