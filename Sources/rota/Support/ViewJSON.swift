import JSON
import Proto

/// Results as JSON on one line, as REST writes them.
enum ViewJSON {
  /// Prints one value.
  static func print(_ write: (inout JSONWriter) -> Void) {
    var json = JSONWriter()
    write(&json)
    Terminal.print(json.text)
  }

  /// Prints an object with a list in it.
  static func print<Element>(
    _ name: String, _ elements: [Element], _ write: (Element, inout JSONWriter) -> Void
  ) {
    print { json in
      json.object { json in
        json.key(name)
        json.array { json in for element in elements { write(element, &json) } }
      }
    }
  }
}
