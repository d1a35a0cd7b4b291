import JSON
import Testing

@testable import ConfigFiles

/// YAML as JSON: what scalars mean, where things are, what is refused, and that what is written is read again.
struct YAMLTests {
  static func json(_ text: String) throws -> [String] {
    try YAMLTree.documents(of: text, file: "f").map { tree in
      var json = JSONWriter()
      tree.write(to: &json)
      return json.text
    }
  }

  @Test(arguments: [
    ("no", #""no""#), ("yes", #""yes""#), ("on", #""on""#), ("True", "true"), ("false", "false"),
    ("~", "null"), ("Null", "null"), ("", "null"), ("007", "7"), ("+12", "12"), ("-0", "-0"), ("0x1F", "31"),
    ("0o17", "15"), ("1_000", #""1_000""#), ("12:30", #""12:30""#), ("2026-12-24", #""2026-12-24""#),
    ("1.", "1"), (".5", "0.5"), ("-1.50e+3", "-1.50e+3"), ("1e", #""1e""#), ("30m", #""30m""#),
    ("\"7\"", #""7""#), ("'7'", #""7""#), ("!!str 7", #""7""#), ("-", #"[null]"#), ("/bin/sh", #""/bin/sh""#),
    ("123456789012345678901234567890", "123456789012345678901234567890"), ("=", #""=""#),
    ("*/5 * * * *x", ""),
  ])
  func scalarsMeanWhatTheCoreSchemaSays(text: String, json: String) throws {
    guard !json.isEmpty else {
      #expect(throws: ConfigError.self) { try Self.json("a: " + text) }
      return
    }
    if text == "-" {
      #expect(try Self.json(text) == [json])
    } else {
      #expect(try Self.json("a: \(text)") == ["{\"a\":\(json)}"])
    }
  }

  @Test func documentsListsMapsAndScripts() throws {
    let text = """
      # A comment.
      a: [1, two, {b: c}]
      script: |
        one
          two
      ---
      ---
      x: y
      """
    #expect(
      try Self.json(text) == [#"{"a":[1,"two",{"b":"c"}],"script":"one\n  two\n"}"#, #"{"x":"y"}"#])
    #expect(try Self.json(#"{"a": {"b": [1.5, null, "\u00e4"]}}"#) == [#"{"a":{"b":[1.5,null,"ä"]}}"#])
  }

  @Test func aliasesAndMergesAreFollowed() throws {
    #expect(
      try Self.json("base: &b {a: 1, b: 2}\nuse: {<<: *b, b: 3}\nlist: *b")
        == [#"{"base":{"a":1,"b":2},"use":{"b":3,"a":1},"list":{"a":1,"b":2}}"#])
    #expect(try Self.json("x: {<<: [{a: 1}, {a: 2, b: 2}]}") == [#"{"x":{"a":1,"b":2}}"#])
  }

  /// What is wrong, and on which line.
  @Test(arguments: [
    ("a: 1\nb: 2\na: 3", 1), ("a: [1, 2", 2), ("\n\nx: !!binary aGk=", 3), ("a: *nothing", 1),
    ("x: {<<: 1}", 1), ("\na: .inf", 2), ("a: b: c", 1), ("a:\n\t- b", 2), ("? [a]\n: b", 1),
    ("a: !foo {}", 1),
  ])
  func whatIsNoneOrIsNotTakenHasItsLine(text: String, line: Int) {
    do {
      _ = try Self.json(text)
      Issue.record("it was read")
    } catch let error as ConfigError {
      #expect(error.place.line == line && error.place.file == "f", "\(error)")
      #expect(!error.message.contains("\n"))
    } catch {
      Issue.record("\(error)")
    }
  }

  /// Nine lines that stand for a billion values.
  @Test func aliasesAreBounded() {
    var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in 1...9 {
      let aliases = Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
      text += "a\(level): &a\(level) [\(aliases)]\n"
    }
    #expect(throws: ConfigError.self) { try Self.json(text) }
  }

  @Test func deepNestingIsRefusedOrRead() {
    for depth in [50, 900, 5_000] {
      let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      _ = try? Self.json(text)
    }
  }

  /// Pieces of YAML in any order: it is read, or it is an error of one line.
  @Test(arguments: 0..<50) func anyTextIsReadOrRefused(seed: Int) throws {
    let pieces = [
      "---\n", "...\n", "a: ", "- ", "\n", "  ", "[", "]", "{", "}", "&x ", "*x", "<<: ", "!!str ", "!t ",
      "|\n", ">-\n", "'",
      "\"", "#", "%YAML 1.1\n", "%TAG ! x\n", "? ", ": ", ",", "\t", "\r\n", "\u{0}", "\u{FEFF}", "é", "1",
      "null", "\\x",
      "kind: Job\n", "job_id: a\n", "@", "`", "\u{85}",
    ]
    var random = SplitMix(seed: UInt64(seed))
    for _ in 0..<200 {
      let text = (0..<Int.random(in: 0..<25, using: &random)).map { _ in
        pieces[Int.random(in: 0..<pieces.count, using: &random)]
      }.joined()
      var reader = ConfigReader(namespace: "default", zones: nil)
      reader.read(text, file: "f")
      for error in reader.errors { #expect(!error.description.contains("\n"), "\(error)") }
    }
  }

  @Test func placesOfFields() throws {
    let text = """
      kind: Job
      schedules:
        - cron: "0 3 * * *"
        - cron: wrong
          calendars: [a, b]
      env:
        A.B: x
      """
    let tree = try #require(try YAMLTree.documents(of: text, file: "f").first)
    func place(_ field: String) -> String { tree.place(of: field).description }
    #expect(place("kind") == "f:1:1")
    #expect(place("schedules[1].cron") == "f:4:5")
    #expect(place("schedules[1].calendars[1]") == "f:5:20")
    #expect(place("schedules[7]") == "f:2:1")
    #expect(place("env.A.B") == "f:7:3")
    #expect(place("env.A") == "f:6:1")
    #expect(place("nothing") == "f:1:1")
  }

  // MARK: Writing

  static let texts = [
    "", " ", "plain", "two words", "no", "Yes", "null", "~", "7", "1.5", "1e3", "0x1F", "30m", "7d",
    "2026-12-24",
    "2026-12-24T18:00:00Z", "12:30", "a: b", "a #b", "#a", "- a", "-", "?", ":", "a:", "*a", "&a", "!a", "%a",
    "@a",
    "`a", "'a'", "\"a\"", "a\nb", "a\nb\n", "a\n\n", "\n", "\na", "  a\nb", "a \nb", "a\tb", "\ta\nb", "a\rb",
    "a\r\nb",
    "\u{7}", "\u{85}", "\u{2028}", "a\u{FEFF}", "é", "日本語", "😀", "a\u{0}b", "{a}", "[a]", "a, b", "<<", "=",
    "...", "---",
    "{{params.customer}}", "$HOME/x", "exit 3; echo \"$A\" | sed 's/a/b/'",
    String(repeating: "long words ", count: 50),
    "#!/bin/sh\nset -eu\nfor i in 1 2 3; do\n\techo \"$i\"\ndone\n", "a\n ", "+1", ".5", ".", "0", "00", "y",
    "Off",
  ]

  @Test(arguments: texts) func aTextIsReadAsItWasWritten(text: String) throws {
    let document = JSONValue.object([
      .init("kind", .string("Job")), .init("text", .string(text)),
      .init("list", .array([.string(text), .int(1)])),
      .init("maps", .array([.object([.init(text, .string(text))])])),
    ])
    let written = try YAMLText.write([document, document])
    let read = try Self.json(written).map { try JSONValue(parsing: Array($0.utf8)) }
    #expect(read == [document, document], "\(written)")
  }

  @Test(arguments: 0..<200) func whateverIsWrittenIsReadAgain(seed: Int) throws {
    var random = SplitMix(seed: UInt64(seed))
    let documents = (0..<3).map { _ in
      JSONValue.object((0..<4).map { .init("m\($0)", Self.value(depth: 0, &random)) })
    }
    let written = try YAMLText.write(documents)
    let read = try Self.json(written).map { try JSONValue(parsing: Array($0.utf8)) }
    #expect(read == documents, "\(written)")
  }

  private static func value(depth: Int, _ random: inout SplitMix) -> JSONValue {
    switch Int.random(in: 0..<(depth < 4 ? 8 : 5), using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .int(Int64.random(in: .min ... .max, using: &random))
    case 3: return .double(Double.random(in: -1e9...1e9, using: &random))
    case 4: return .string(texts[Int.random(in: 0..<texts.count, using: &random)])
    case 5, 6:
      return .array((0..<Int.random(in: 0..<4, using: &random)).map { _ in value(depth: depth + 1, &random) })
    default:
      return .object(
        (0..<Int.random(in: 0..<4, using: &random)).map {
          .init(
            "\(texts[Int.random(in: 0..<texts.count, using: &random)])\($0)", value(depth: depth + 1, &random)
          )
        })
    }
  }
}

/// Vigna's SplitMix64, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
