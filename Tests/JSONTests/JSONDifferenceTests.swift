import Testing

@testable import JSON

struct JSONDifferenceTests {
  private func between(_ old: String, _ new: String) throws -> [JSONDifference] {
    JSONDifference.between(
      try JSONValue(parsing: Array(old.utf8)), try JSONValue(parsing: Array(new.utf8)))
  }

  @Test func nothingDiffersFromItself() throws {
    #expect(try between(#"{"a":1,"b":[1,{"c":null}]}"#, #"{"b":[1,{"c":null}],"a":1}"#).isEmpty)
  }

  @Test func eachFieldIsNamed() throws {
    let found = try between(
      #"{"a":1,"gone":"x","s":[{"cron":"1"},{"cron":"2"}],"env":{"A B":"1"}}"#,
      #"{"a":2,"new":true,"s":[{"cron":"1"}],"env":{"A B":"2"}}"#)
    #expect(
      found == [
        JSONDifference(path: "a", old: .int(1), new: .int(2)),
        JSONDifference(path: "env[\"A B\"]", old: .string("1"), new: .string("2")),
        JSONDifference(path: "gone", old: .string("x"), new: nil),
        JSONDifference(path: "new", old: nil, new: .bool(true)),
        JSONDifference(path: "s[1]", old: .object([.init("cron", .string("2"))]), new: nil),
      ])
  }

  @Test func anotherKindDiffersAsAWhole() throws {
    #expect(try between(#"{"a":{"b":1}}"#, #"{"a":[1]}"#).map(\.path) == ["a"])
    #expect(try between("1", "2").map(\.path) == [""])
    #expect(try between(#"{"a":null}"#, "{}") == [JSONDifference(path: "a", old: .null, new: nil)])
  }
}
