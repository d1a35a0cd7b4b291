import JSON

/// Why a request or a record is refused, with the field that is to blame.
public struct FieldError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The path of the field as JSON spells it, such as `exec[2]` or `http.headers.X`.
  public var field: String
  /// What is wrong and what was expected. Never the value itself, which may be a secret.
  public var message: String

  /// Makes an error.
  public init(field: String, message: String) {
    self.field = field
    self.message = message
  }

  /// `field: message`.
  public var description: String { field.isEmpty ? message : "\(field): \(message)" }

  /// The same error, seen from the object or array that holds the field.
  func inside(_ outer: String) -> FieldError {
    let separator = field.isEmpty || field.utf8.first == UInt8(ascii: "[") ? "" : "."
    return FieldError(field: outer + separator + field, message: message)
  }

  /// Runs `body`, and says of its errors that the field `outer` is to blame.
  static func at<Value>(_ outer: @autoclosure () -> String, _ body: () throws -> Value) throws -> Value {
    do {
      return try body()
    } catch let error as FieldError {
      throw error.inside(outer())
    } catch let error as JSONError {
      throw FieldError(field: outer(), message: error.description)
    } catch let error as TextError {
      throw FieldError(field: outer(), message: error.message)
    }
  }

  /// Runs `body`, which reads a whole text; what is wrong with that as such is said of the field `body`.
  static func ofBody<Value>(_ body: () throws -> Value) throws(FieldError) -> Value {
    do {
      return try body()
    } catch let error as FieldError {
      throw error
    } catch {
      throw FieldError(field: "body", message: "\(error)")
    }
  }

  /// The error for a member that means nothing, with the known name that was probably meant.
  public static func unknownField(_ name: String, known: [String]) -> FieldError {
    let message: String
    if let nearest = nearestName(to: name, in: known) {
      message = "is not known; did you mean '\(nearest)'?"
    } else if known.isEmpty {
      message = "is not known; no field may be here"
    } else {
      message = "is not known; the fields here are \(known.sorted().joined(separator: ", "))"
    }
    return FieldError(field: shown(name), message: message)
  }

  /// The longest name from a request that is shown, in characters.
  static let shownNameLength = 64

  /// A name from a request, made safe to be printed in a terminal or a page.
  public static func shown(_ name: String) -> String {
    var text = ""
    for scalar in name.unicodeScalars.prefix(shownNameLength) {
      let isPlain = scalar.isASCII && scalar.value >= 0x20 && scalar.value != 0x7F
      text.unicodeScalars.append(isPlain ? scalar : "?")
    }
    return name.unicodeScalars.count > shownNameLength ? text + "..." : text
  }
}

/// The name that needs the fewest changes to become `name`, if it needs few; the first of several.
public func nearestName(to name: String, in known: [String]) -> String? {
  let wanted = Array(name.utf8)
  // A name that is much longer than all known ones is no typing mistake, and would cost time.
  guard !wanted.isEmpty, wanted.count <= 64 else { return nil }
  let allowed = max(1, wanted.count / 3)
  var best: (name: String, distance: Int)?
  for candidate in known {
    let distance = editDistance(wanted, Array(candidate.utf8))
    if distance <= allowed, distance < best?.distance ?? .max { best = (candidate, distance) }
  }
  return best?.name
}

/// Levenshtein's distance: the number of insertions, deletions and replacements.
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
  var previous = Array(0...right.count)
  for (row, a) in left.enumerated() {
    var current = [row + 1]
    current.reserveCapacity(right.count + 1)
    for (column, b) in right.enumerated() {
      let replaced = previous[column] + (a == b ? 0 : 1)
      current.append(min(replaced, previous[column + 1] + 1, current[column] + 1))
    }
    previous = current
  }
  return previous[right.count]
}
