/// One place where two JSON values differ.
public struct JSONDifference: Hashable, Sendable {
  /// Where: member names with dots between them, elements of arrays in brackets: `schedules[0].cron`; empty for the whole.
  /// A name that has other characters than letters, digits, `_` and `-` stands in brackets and quotes.
  public var path: String
  /// What the first of the two has there; nil for nothing.
  public var old: JSONValue?
  /// What the second has there; nil for nothing.
  public var new: JSONValue?

  /// Makes a difference.
  public init(path: String, old: JSONValue?, new: JSONValue?) {
    self.path = path
    self.old = old
    self.new = new
  }

  /// All places where two values differ, members in the order of their names, each as deep inside as it can be told. The
  /// order of an object's members says nothing; elements of arrays are compared one by one.
  public static func between(_ old: JSONValue, _ new: JSONValue) -> [JSONDifference] {
    var found: [JSONDifference] = []
    compare(old, new, at: "", &found)
    return found
  }

  private static func compare(
    _ old: JSONValue?, _ new: JSONValue?, at path: String, _ found: inout [JSONDifference]
  ) {
    switch (old, new) {
    case (.object(let left)?, .object(let right)?):
      let olds = Dictionary(left.map { ($0.name, $0.value) }) { $1 }
      let news = Dictionary(right.map { ($0.name, $0.value) }) { $1 }
      for name in Set(olds.keys).union(news.keys).sorted() {
        compare(olds[name], news[name], at: path + member(name, isFirst: path.isEmpty), &found)
      }
    case (.array(let left)?, .array(let right)?):
      for index in 0..<max(left.count, right.count) {
        compare(
          index < left.count ? left[index] : nil, index < right.count ? right[index] : nil,
          at: "\(path)[\(index)]", &found)
      }
    default:
      if old != new { found.append(JSONDifference(path: path, old: old, new: new)) }
    }
  }

  private static func member(_ name: String, isFirst: Bool) -> String {
    let isPlain =
      !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
          true
        default: false
        }
      }
    guard isPlain else {
      var quoted = JSONWriter()
      quoted.string(name)
      return "[" + quoted.text + "]"
    }
    return isFirst ? name : "." + name
  }
}
