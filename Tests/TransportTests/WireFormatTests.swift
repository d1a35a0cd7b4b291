import NIOCore
import Testing

@testable import Transport

private func frame(_ payload: String, flag: UInt8 = 0) -> ByteBuffer {
  var buffer = ByteBuffer()
  buffer.writeInteger(flag)
  buffer.writeInteger(UInt32(payload.utf8.count))
  buffer.writeString(payload)
  return buffer
}

@Suite struct LengthPrefixedReaderTests {
  @Test func messagesSplitAtEveryByte() throws {
    var wire = frame("first")
    for part in ["", "a longer second message"] {
      var next = frame(part)
      wire.writeBuffer(&next)
    }
    let expected = ["first", "", "a longer second message"]
    for first in 0...wire.readableBytes {
      for second in first...wire.readableBytes {
        var reader = LengthPrefixedReader(maxMessageBytes: 100)
        var messages: [String] = []
        let all = wire.readableBytesView
        for range in [0..<first, first..<second, second..<all.count] {
          reader.append(
            ByteBuffer(bytes: all[all.startIndex + range.lowerBound..<all.startIndex + range.upperBound]))
          for message in try reader.takeMessages() { messages.append(String(buffer: message.bytes)) }
        }
        #expect(messages == expected)
        #expect(reader.pendingBytes == 0)
      }
    }
  }

  @Test func aLongStreamHoldsNoMoreThanWhatIsNotRead() throws {
    // 1,000 messages of 105 bytes, in pieces that never end with one.
    var wire = ByteBuffer()
    for _ in 0..<1_000 { wire.writeImmutableBuffer(frame(String(repeating: "x", count: 100))) }
    wire.moveReaderIndex(to: 0)
    var reader = LengthPrefixedReader(maxMessageBytes: 100)
    var kept: [ByteBuffer] = []
    while let piece = wire.readSlice(length: min(256, wire.readableBytes)), piece.readableBytes > 0 {
      reader.append(ByteBuffer(bytes: piece.readableBytesView))
      kept += try reader.takeMessages().map(\.bytes)
      #expect(reader.heldBytes <= 1_024)
    }
    #expect(kept.count == 1_000)
    #expect((kept.map(\.storageCapacity).max() ?? 0) <= 1_024, "what a kept message keeps besides itself")
  }

  @Test func oversizeIsRefusedByItsPrefixAlone() throws {
    var reader = LengthPrefixedReader(maxMessageBytes: 100)
    reader.append(ByteBuffer(bytes: [0, 0xff, 0xff, 0xff, 0xff]))
    let error = #expect(throws: RPCError.self) { () throws in _ = try reader.next() }
    #expect(error?.code == .resourceExhausted)
    #expect(error?.message.contains("4294967295") == true)
  }

  @Test func messageAtTheLimitIsTaken() throws {
    var reader = LengthPrefixedReader(maxMessageBytes: 4)
    reader.append(frame("four"))
    let message = try reader.next()
    #expect(message == WireMessage(bytes: ByteBuffer(string: "four")))
  }

  @Test func compressionFlags() throws {
    var reader = LengthPrefixedReader(maxMessageBytes: 100, encoding: .gzip)
    var wire = frame("compressed", flag: 1)
    wire.writeImmutableBuffer(frame("plain"))
    reader.append(wire)
    let messages = try reader.takeMessages()
    #expect(messages.map(\.isCompressed) == [true, false])
    for (flag, encoding) in [(1, MessageEncoding.identity), (2, .gzip), (2, .identity)] {
      var reader = LengthPrefixedReader(maxMessageBytes: 100, encoding: encoding)
      reader.append(frame("x", flag: UInt8(flag)))
      let error = #expect(throws: RPCError.self) { () throws in _ = try reader.next() }
      #expect(error?.code == .internalError)
    }
  }

  @Test func truncatedMessageStaysPending() throws {
    var reader = LengthPrefixedReader(maxMessageBytes: 100)
    reader.append(frame("hello").getSlice(at: 0, length: 7)!)
    let message = try reader.next()
    #expect(message == nil)
    #expect(reader.pendingBytes == 7)
  }
}

@Suite struct TextFormTests {
  @Test(arguments: [
    ("plain", "plain"), ("50%", "50%25"),
    ("\t\ntest with whitespace\r\n", "%09%0Atest with whitespace%0D%0A"),
    ("ü", "%C3%BC"), ("", ""),
  ])
  func percentEncoding(text: String, wire: String) {
    #expect(PercentEncoding.encode(text) == wire)
    #expect(PercentEncoding.decode(wire) == text)
  }

  @Test func brokenPercentEncodingStaysReadable() {
    #expect(PercentEncoding.decode("100% %zz %4") == "100% %zz %4")
    #expect(PercentEncoding.decode("%41%") == "A%")
    #expect(PercentEncoding.decode("a%41") == "aA")
  }

  @Test func base64RoundTrip() {
    for count in 0..<70 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
      let text = Base64.encode(bytes)
      #expect(!text.contains("="))
      #expect(Base64.decode(text.utf8[...]) == bytes)
      let padded = text + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
      #expect(Base64.decode(padded.utf8[...]) == bytes)
    }
    #expect(Base64.encode(Array("foobar".utf8)) == "Zm9vYmFy")
    for bad in ["A", "AA=", "A===", "A*BC", "====", "AAAA="] { #expect(Base64.decode(bad.utf8[...]) == nil) }
  }

  @Test(arguments: [
    (Int64(1), "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"), (100_000_000_001, "100001m"),
    (0, "0n"), (-5, "0n"), (Int64.max, "2562048H"),
  ])
  func timeoutEncoding(nanoseconds: Int64, text: String) {
    #expect(GRPCTimeout.encode(nanoseconds: nanoseconds) == text)
  }

  @Test func timeoutDecoding() {
    #expect(GRPCTimeout.decode("5S") == 5_000_000_000)
    #expect(GRPCTimeout.decode("12m") == 12_000_000)
    #expect(GRPCTimeout.decode("99999999H") == Int64.max)
    #expect(GRPCTimeout.decode("0n") == 0)
    for bad in ["", "S", "5", "5s", "-5S", "+5S", "123456789S", "1.5S", " 5S", "5 S", "٣S"] {
      #expect(GRPCTimeout.decode(bad) == nil, "\(bad)")
    }
  }

  @Test func contentTypes() {
    for good in [
      "application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8", "Application/gRPC",
    ] {
      #expect(RequestHead.isGRPC(good))
    }
    for bad in ["application/json", "application/grpc-web", "application/grpcx", ""] {
      #expect(!RequestHead.isGRPC(bad))
    }
  }
}

@Suite struct MetadataTests {
  @Test func wireRoundTrip() throws {
    var metadata: Metadata = ["X-Trace": "abc"]
    metadata.add("x-trace", "def")
    metadata.add("blob-bin", binary: [0, 255, 7])
    var fields: [HeaderField] = []
    try metadata.append(to: &fields)
    #expect(
      fields == [
        HeaderField("x-trace", "abc"), HeaderField("x-trace", "def"), HeaderField("blob-bin", "AP8H"),
      ])
    let back = Metadata(receivedFields: fields)
    #expect(back.values("x-trace") == [.text("abc"), .text("def")])
    #expect(back.firstBinary("blob-bin") == [0, 255, 7])
  }

  @Test func joinedBinaryValuesAndReservedFields() {
    let metadata = Metadata(receivedFields: [
      HeaderField(":path", "/x"), HeaderField("te", "trailers"), HeaderField("grpc-timeout", "1S"),
      HeaderField("content-type", "application/grpc"), HeaderField("k-bin", "AP8H,AP8=, AP8"),
      HeaderField("bad-bin", "*"),
    ])
    #expect(metadata.values("k-bin") == [.binary([0, 255, 7]), .binary([0, 255]), .binary([0, 255])])
    #expect(metadata.entries.count == 3)
  }

  @Test func whatCannotBeSentIsRefusedByName() {
    for metadata: Metadata in [
      ["a": "line\nbreak"], ["grpc-status": "0"], ["bad name": "x"], [":path": "x"], ["": "x"],
    ] {
      var fields: [HeaderField] = []
      let error = #expect(throws: RPCError.self) { () throws in try metadata.append(to: &fields) }
      #expect(error?.code == .internalError)
    }
    var binary = Metadata()
    binary.add("text", binary: [1])
    var fields: [HeaderField] = []
    #expect(throws: RPCError.self) { () throws in try binary.append(to: &fields) }
  }

  @Test func descriptionKeepsValuesSecret() {
    #expect(!"\(["authorization": "secret"] as Metadata)".contains("secret"))
  }
}

@Suite struct RequestHeadTests {
  private let good = [
    HeaderField(":method", "POST"), HeaderField(":path", "/s/m"),
    HeaderField("content-type", "application/grpc"),
  ]

  @Test func rejections() {
    #expect(throws: RequestHead.Rejection.http(status: 415)) {
      _ = try RequestHead(fields: Array(good.dropLast()))
    }
    #expect(throws: RequestHead.Rejection.http(status: 405)) {
      _ = try RequestHead(fields: [HeaderField(":method", "GET")] + good.dropFirst())
    }
    for (field, code) in [
      (HeaderField("grpc-encoding", "snappy"), StatusCode.unimplemented),
      (HeaderField("grpc-timeout", "soon"), .internalError),
    ] {
      let rejection = #expect(throws: RequestHead.Rejection.self) {
        _ = try RequestHead(fields: good + [field])
      }
      guard case .grpc(code, _) = rejection else {
        Issue.record("\(field): \(String(describing: rejection))")
        continue
      }
    }
  }

  @Test func unknownEncodingNamesWhatIsAccepted() {
    let fields = GRPCHeaders.rejection(.grpc(code: .unimplemented, message: "no"))
    #expect(fields.value(of: "grpc-accept-encoding") == "identity,gzip")
    let rejection = #expect(throws: RequestHead.Rejection.self) {
      _ = try RequestHead(fields: good + [HeaderField("grpc-encoding", "snappy")])
    }
    guard case .grpc(_, let message) = rejection else { return }
    #expect(message.contains("'snappy'") && message.contains("identity,gzip"))
  }

  @Test func encodings() throws {
    let plain = try RequestHead(fields: good)
    #expect(plain.encoding == .identity && !plain.acceptsGZip)
    let compressed = try RequestHead(
      fields: good + [HeaderField("grpc-encoding", "gzip"), HeaderField("grpc-accept-encoding", "gzip")])
    #expect(compressed.encoding == .gzip && compressed.acceptsGZip && compressed.metadata.isEmpty)
  }

  @Test func longStatusMessagesAreCut() throws {
    let fields = try GRPCHeaders.trailers(RPCStatus(.unknown, String(repeating: "x", count: 100_000)))
    #expect(fields.value(of: "grpc-message")!.utf8.count < 2_000)
  }
}
