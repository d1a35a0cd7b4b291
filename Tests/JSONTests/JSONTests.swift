import JSON
import Testing

private func parse(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8)) }

private func written(_ value: JSONValue) -> String {
  var writer = JSONWriter()
  value.write(to: &writer)
  return writer.text
}

@Suite struct JSONTests {
  @Test(arguments: [
    #"{"a":[1,-2,3.5,true,false,null,"x"],"b":{"c":{}}}"#, "[]", #""""#, "0", "-9223372036854775808",
    #"["\"\\\n\r\t\u0001é😀"]"#,
  ])
  func `what is read is written again`(text: String) throws {
    #expect(written(try parse(text)) == text)
  }

  @Test func `escapes and surrogate pairs are characters`() throws {
    #expect(try parse(#""\u0041\u00e9\ud83d\ude00\/""#) == .string("Aé😀/"))
  }

  @Test(arguments: [
    "", " ", "{", "[1,]", "{\"a\"}", "{a:1}", "01", "1.", ".5", "+1", "1e", "NaN", "1e400",
    "18446744073709551616",
    "\"\u{01}\"", #""\x""#, #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "\"abc", "[1] 2", "tru", "[1 2]",
    #"{"a":1,"a":2}"#, #"{"a":{"b":1,"b":1}}"#, "nul",
  ])
  func `what is no JSON is refused`(text: String) {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test func `invalid UTF-8 is refused`() {
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xC3, 0x28, 0x22]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
  }

  @Test func `depth is bounded`() throws {
    let deep = { (n: Int) in String(repeating: "[", count: n) + String(repeating: "]", count: n) }
    _ = try parse(deep(JSONLimits.depth))
    #expect(throws: JSONError.self) { try parse(deep(JSONLimits.depth + 1)) }
    #expect(throws: JSONError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
  }

  @Test func `the pull reader skips what nobody asks for`() throws {
    let text =
      #"{"skip":[{"x":"\u00e9"},1e3,null],"want":7,"list":["a","b"],"map":{"k":"v"},"raw": {"z": 1} }"#
    var want: Int64 = 0
    var list: [String] = []
    var map: [String: String] = [:]
    var raw: [UInt8] = []
    try JSONReader.read(Array(text.utf8)) { reader in
      try reader.object { name, reader in
        switch name {
        case "want": want = try reader.int()
        case "list": list = try reader.strings()
        case "map": map = try reader.stringMap()
        case "raw": raw = try reader.rawValue()
        default: try reader.skip()
        }
      }
    }
    #expect(want == 7 && list == ["a", "b"] && map == ["k": "v"])
    #expect(String(decoding: raw, as: UTF8.self) == #"{"z": 1}"#)
  }

  @Test func `errors say where`() {
    #expect(throws: JSONError("a value was expected", offset: 6)) { try parse(#"{"a": x}"#) }
  }

  @Test func `whole numbers are whole`() throws {
    for text in ["1.0", "1e3", "9223372036854775808", "\"1\""] {
      #expect(throws: JSONError.self) { try JSONReader.read(Array(text.utf8)) { try $0.int() } }
    }
  }
}
