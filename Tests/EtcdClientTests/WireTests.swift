@testable import EtcdClient

import Foundation
import Testing

private func encode(_ bytes: [UInt8]) -> String {
  String(unsafeUninitializedCapacity: Base64.encodedLength(bytes.count)) { buffer in
    bytes.withUnsafeBytes { source in buffer.baseAddress.map { Base64.encode(source, to: $0) } ?? 0 }
  }
}

private func decode(_ text: String) -> [UInt8]? {
  let bytes = Array(text.utf8)
  var result = [UInt8](repeating: 0, count: Base64.decodedCapacity(bytes.count) + 1)
  let count = bytes.withUnsafeBytes { source in
    result.withUnsafeMutableBufferPointer { Base64.decode(source, to: $0.baseAddress!) }
  }
  return count.map { Array(result[..<$0]) }
}

@Suite struct Base64Tests {
  @Test func agreesWithFoundation() {
    var generator = SystemRandomNumberGenerator()
    for count in Array(0..<70) + [4095, 4096, 4097] {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      let text = Data(bytes).base64EncodedString()
      #expect(encode(bytes) == text)
      #expect(decode(text) == bytes)
      #expect(decode(String(text.prefix { $0 != "=" })) == bytes)
    }
  }

  @Test(arguments: [
    "A", "AAAAA", "A===", "AA=A", "====", "=", "AA==AA==", "A-A_", "A A=", "AAA\n", "AA\u{e9}=", "====",
  ])
  func refusesWhatIsNotBase64(text: String) { #expect(decode(text) == nil) }
}

@Suite struct CodecTests {
  private func range(_ json: String) throws -> RangeResponse {
    try ResponseDecoding.whole(Array(json.utf8), ResponseDecoding.range)
  }

  @Test func skipsUnknownFieldsAndTakesAnyOrder() throws {
    let response = try range(
      #" { "future":{"a":[1,-2.5e3,{"b":"\"}]"}],"c":null,"d":true},"more":true ,"#
        + #""kvs" : [ {"value":"Zm9v\/w==","x":[[]],"key":"a\u0032V5","mod_revision":7,"lease":"-3"} ],"count":"12","#
        + #""header":{"raft_term":"2","revision":"9223372036854775807"}} "#)
    #expect(response.revision == .max)
    #expect(response.more)
    #expect(response.count == 12)
    #expect(
      response.kvs == [KeyValue(key: "key", value: Array("foo".utf8) + [0xFF], modRevision: 7, lease: -3)])
  }

  @Test(arguments: [
    "", "{", "[", "null x", #"{"kvs":"#, #"{"kvs":[}"#, #"{"kvs":[{]}"#, #"{"count":"12x"}"#,
    #"{"count":""}"#,
    #"{"count":"9223372036854775808"}"#, #"{"count":"99999999999999999999999"}"#, #"{"count":1.5}"#,
    #"{"more":1}"#, #"{"more":truth}"#, #"{"kvs":[{"key":"***"}]}"#, #"{"kvs":[{"key":"\"#, #"{"a":"b"#,
    #"{"a" "b"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{"a":1}}"#, #"{"kvs":[{"key":"\u12"}]}"#, "{\"a\":\u{0}}",
    "{\"a\":" + String(repeating: "[", count: 100_000),
  ])
  func malformedIsAnErrorAndNothingWorse(json: String) {
    #expect(throws: WireError.self) { try range(json) }
  }

  @Test func truncationAnywhereIsAnError() throws {
    let json = #"{"header":{"revision":"3"},"kvs":[{"key":"YQ==","value":"Yg==","version":"1"}],"count":"1"}"#
    for count in 0..<json.utf8.count {
      #expect(throws: WireError.self) { try range(String(json.prefix(count))) }
    }
  }

  @Test func requestsAreWellFormed() throws {
    let request = TxnRequest(
      compares: [
        .absent("a\"b"), Compare("v", .notEqual, .value([0, 255])), Compare("l", .less, .lease(-5)),
        Compare("m", .greater, .modRevision(.max)), Compare("n", .equal, .version(.min)),
      ],
      success: [
        .put(key: "k", value: Array(repeating: 9, count: 10_000), lease: 4), .delete(.prefix("p")),
        .range(
          RangeRequest(
            .all, limit: 3, revision: 2, keysOnly: true, countOnly: true, serializable: true,
            sort: .init(by: .createRevision, descending: true))),
      ], failure: [.delete(.key("z"))])
    let object = try JSONSerialization.jsonObject(with: Data(RequestEncoding.txn(request)))
    let text = try String(
      decoding: JSONSerialization.data(withJSONObject: object, options: [.sortedKeys]), as: UTF8.self)
    #expect(text.contains(#"{"create_revision":"0","key":"YSJi","result":"EQUAL","target":"CREATE"}"#))
    #expect(
      text.contains(#"{"key":"bg==","result":"EQUAL","target":"VERSION","version":"-9223372036854775808"}"#))
    #expect(text.contains(#"{"request_delete_range":{"key":"cA==","range_end":"cQ=="}}"#))
    #expect(text.contains(#""sort_order":"DESCEND","sort_target":"CREATE""#))
    let login = RequestEncoding.authenticate(user: "a\"\\\n\u{1}é", password: "p")
    let parsed = try JSONSerialization.jsonObject(with: Data(login)) as? [String: String]
    #expect(parsed == ["name": "a\"\\\n\u{1}é", "password": "p"])
  }

  @Test func ranges() {
    #expect(KeyRange.prefix("a").end == Array("b".utf8))
    #expect(KeyRange(start: [0xFF], end: KeyRange.endOfPrefix([0xFF])).isUnbounded)
    #expect(KeyRange.endOfPrefix([1, 0xFF]) == [2])
    #expect(KeyRange.prefix("") == .all)
    #expect(KeyRange.prefix("a/").contains("a/b") && !KeyRange.prefix("a/").contains("a0"))
    #expect(KeyRange.key("a").contains("a") && !KeyRange.key("a").contains("ab"))
    #expect(KeyRange.covering([.key("m"), .prefix("b")]) == KeyRange(start: [98], end: [109, 0]))
    #expect(KeyRange.covering([.key("m"), .from("z")]) == .from("m"))
    #expect(KeyRange.covering([]) == nil)
    let keys = ["", "a", "ab", "abcdefgh", "abcdefghi", "abcdefgz", "b", "\u{e9}"]
    for a in keys {
      for b in keys {
        let order = Array(a.utf8).withUnsafeBytes { a in Array(b.utf8).withUnsafeBytes { compareBytes(a, $0) }
        }
        #expect((order < 0) == a.utf8.lexicographicallyPrecedes(b.utf8))
        #expect((order == 0) == (Array(a.utf8) == Array(b.utf8)))
      }
    }
  }
}

@Suite struct WatchDecoderTests {
  private let stream =
    #"{"result":{"header":{"revision":"4"},"watch_id":"1","created":true}}"# + "\n\n"
    + #"{"result":{"header":{"revision":"6"},"watch_id":"1","events":["#
    + #"{"kv":{"key":"YQ==","mod_revision":"5","value":"Yg=="}},{"type":"DELETE","kv":{"key":"Yg==","mod_revision":"6"}}]}}"#
    + "\r\n"
    + #"{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"x"}}"#
    + "\n"

  private func messages(_ chunks: [[UInt8]], filter: [KeyRange] = []) throws -> [WatchMessage] {
    var decoder = WatchStreamDecoder(filter: filter)
    var messages: [WatchMessage] = []
    for chunk in chunks { try decoder.feed(chunk) { messages.append($0) } }
    return messages
  }

  private func check(_ messages: [WatchMessage]) {
    #expect(messages.count == 3)
    guard messages.count == 3 else { return }
    #expect(messages[0].created && messages[0].revision == 4)
    #expect(messages[1].events.map(\.kind) == [.put, .delete])
    #expect(messages[1].events.map(\.kv.key) == ["a", "b"])
    #expect(messages[1].lastRevision == 6)
    #expect(messages[2].failure == ServerFailure(code: 14, message: "etcdserver: no leader"))
  }

  @Test func splitAtEveryByte() throws {
    let bytes = Array(stream.utf8)
    for split in 0...bytes.count { check(try messages([Array(bytes[..<split]), Array(bytes[split...])])) }
    check(try messages(bytes.map { [$0] }))
  }

  @Test func dropsUnwantedKeysButCountsThem() throws {
    let decoded = try messages([Array(stream.utf8)], filter: [.key("b")])
    #expect(decoded[1].events.map(\.kv.key) == ["b"])
    #expect(decoded[1].eventCount == 2)
  }

  @Test func endlessLineIsRefused() {
    var decoder = WatchStreamDecoder(filter: [])
    let chunk = [UInt8](repeating: 0x20, count: 1 << 20)
    #expect(throws: WireError.self) {
      for _ in 0...(EtcdLimits.maxWatchMessageBytes / chunk.count) { try decoder.feed(chunk) { _ in } }
    }
  }
}
