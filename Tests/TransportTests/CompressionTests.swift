import NIOCore
import Testing

@testable import Transport

/// Something that gzip makes smaller, but not by much.
private func text(_ count: Int) -> ByteBuffer {
  let part = (0..<min(count, 1_000)).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }
  var text = ByteBuffer()
  while text.readableBytes < count { text.writeBytes(part.prefix(count - text.readableBytes)) }
  return text
}

private func status(of body: () throws(RPCError) -> ByteBuffer) -> StatusCode {
  do {
    _ = try body()
    return .ok
  } catch {
    return error.code
  }
}

@Suite struct GZipTests {
  @Test(arguments: [21, 1_000, 65_536, 200_000])
  func roundTrip(count: Int) throws {
    for message in [ByteBuffer(repeating: 0, count: count), text(count)] {
      guard let file = try GZip.compress(message) else { continue }
      #expect(file.readableBytes < count)
      #expect(try GZip.decompress(file, limit: count) == message)
    }
    #expect(try GZip.compress(ByteBuffer(repeating: 0, count: 1_000)) != nil)
  }

  @Test func whatDoesNotShrinkIsLeftAlone() throws {
    var generator = SystemRandomNumberGenerator()
    let noise = ByteBuffer(bytes: (0..<10_000).map { _ in UInt8.random(in: 0...255, using: &generator) })
    #expect(try GZip.compress(noise) == nil)
    #expect(try GZip.compress(ByteBuffer()) == nil)
    #expect(try WireMessage(compressing: noise) == WireMessage(bytes: noise))
  }

  @Test func theLimitIsExact() throws {
    let file = try #require(try GZip.compress(ByteBuffer(repeating: 7, count: 100_000)))
    #expect(try GZip.decompress(file, limit: 100_000).readableBytes == 100_000)
    #expect(status { () throws(RPCError) in try GZip.decompress(file, limit: 99_999) } == .resourceExhausted)
  }

  @Test func aFileThatUnderstatesItsSizeIsStoppedAtTheLimit() throws {
    var file = try #require(try GZip.compress(ByteBuffer(repeating: 7, count: 1_000_000)))
    file.setInteger(UInt32(10), at: file.writerIndex - 4, endianness: .little)
    #expect(status { () throws(RPCError) in try GZip.decompress(file, limit: 50_000) } == .resourceExhausted)
    // Within the limit the trailer is checked.
    #expect(status { () throws(RPCError) in try GZip.decompress(file, limit: 2_000_000) } == .internalError)
  }

  @Test func severalMembersAreOneMessageUnderOneLimit() throws {
    let member = try #require(try GZip.compress(ByteBuffer(repeating: 1, count: 1_000)))
    var file = ByteBuffer()
    for _ in 0..<10 { file.writeImmutableBuffer(member) }
    #expect(try GZip.decompress(file, limit: 10_000) == ByteBuffer(repeating: 1, count: 10_000))
    #expect(status { () throws(RPCError) in try GZip.decompress(file, limit: 9_999) } == .resourceExhausted)
  }

  @Test func everyTruncationAndEveryFlippedByteIsAnError() throws {
    let message = text(500)
    let file = try #require(try GZip.compress(message))
    for count in 0..<file.readableBytes {
      let part = try #require(file.getSlice(at: file.readerIndex, length: count))
      #expect(status { () throws(RPCError) in try GZip.decompress(part, limit: 1_000_000) } == .internalError)
    }
    for index in file.readerIndex..<file.writerIndex {
      var broken = file
      let byte = try #require(broken.getInteger(at: index, as: UInt8.self))
      broken.setInteger(byte ^ 0xff, at: index)
      // A few bytes of the header (time, system) carry nothing; all others have to be noticed.
      if let output = try? GZip.decompress(broken, limit: 1_000_000) {
        #expect(output == message)
        #expect((4...9).contains(index - file.readerIndex))
      }
    }
    var trailing = file
    trailing.writeString("more")
    #expect(
      status { () throws(RPCError) in try GZip.decompress(trailing, limit: 1_000_000) } == .internalError)
  }
}

@Suite struct MessageBatchTests {
  private func bytes(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

  @Test func flagsFollowTheirMessages() {
    var batch = MessageBatch()
    #expect(batch.isEmpty && !batch.mayBeCompressed)
    batch.append(bytes("a"))
    batch.append(bytes("b"), isCompressed: true)
    batch.append(contentsOf: [bytes("c")])
    var other: MessageBatch = [bytes("d")]
    other.append(bytes("e"), isCompressed: true)
    batch.append(contentsOf: other)
    #expect(batch.mayBeCompressed && batch.count == 5)
    #expect(batch.map(\.isCompressed) == [false, true, false, false, true])
    #expect(batch.map { String(buffer: $0.bytes) } == ["a", "b", "c", "d", "e"])
    #expect(batch.wireBytes == 5 * 6)
  }

  @Test func takingFromTheFront() {
    var batch: MessageBatch = [bytes("a"), bytes("b"), bytes("c")]
    #expect(batch.popFirst() == WireMessage(bytes: bytes("a")))
    batch.append(bytes("d"), isCompressed: true)
    #expect(batch.count == 3)
    #expect(batch.bytes.map { String(buffer: $0) } == ["b", "c", "d"])
    #expect(batch.wireBytes == 3 * 6)
    #expect([batch.popFirst(), batch.popFirst()].map { $0?.isCompressed } == [false, false])
    #expect(batch.popFirst() == WireMessage(bytes: bytes("d"), isCompressed: true))
    #expect(batch.popFirst() == nil)
    #expect(batch.isEmpty && !batch.mayBeCompressed)
  }
}

@Suite struct MessageEncodingTests {
  @Test func names() {
    #expect(MessageEncoding(header: nil) == .identity)
    #expect(MessageEncoding(header: "identity") == .identity)
    #expect(MessageEncoding(header: "gzip") == .gzip)
    #expect(MessageEncoding(header: "snappy") == nil)
    #expect(MessageEncoding(header: "") == nil)
  }

  @Test(arguments: [
    (nil, false), ("", false), ("identity", false), ("gzip", true), ("identity,deflate,gzip", true),
    ("identity, gzip ,zstd", true), ("xgzip", false),
  ])
  func accepted(header: String?, isAccepted: Bool) {
    #expect(MessageEncoding.gzip.isAccepted(by: header) == isAccepted)
    #expect(MessageEncoding.identity.isAccepted(by: header))
  }
}

/// Our client and our server, compression on.
@Suite(.timeLimit(.minutes(1))) struct CompressedCallTests {
  private static let compressingEcho = RPCMethod.unary("/test.Test/CompressingEcho") { request, context in
    context.setInitialMetadata([
      "request": "\(context.isRequestCompressed)", "response": "\(context.compressResponses())",
    ])
    return request
  }

  /// Echoes each message with the compression that it came with.
  private static let mirror = RPCMethod.bidirectional("/test.Test/Mirror") { requests, context, responses in
    context.compressResponses()
    while let batch = try await requests.nextBatchWithCompression() {
      for (message, wasCompressed) in batch { try await responses.send(message, compressed: wasCompressed) }
    }
  }

  /// Asks for compression when it is too late.
  private static let late = RPCMethod.bidirectional("/test.Test/Late") { requests, context, responses in
    responses.sendHeaders()
    while let batch = try await requests.nextBatch() {
      try await responses.send(ByteBuffer(string: "\(context.compressResponses())"))
      try await responses.send(contentsOf: batch)
    }
  }

  private static let methods = TestMethods.all + [compressingEcho, mirror, late]

  @Test func unaryBothWays() async throws {
    try await withServerAndClient(methods: Self.methods) { _, client in
      let message = ByteBuffer(repeating: 3, count: 1_000_000)
      for encoding in [MessageEncoding.gzip, .identity] {
        let responses = try await client.serverStreaming(
          "/test.Test/CompressingEcho", message, encoding: encoding)
        let batch = try #require(try await responses.nextBatchWithCompression())
        #expect(batch.count == 1 && batch[0].message == message && batch[0].wasCompressed)
        #expect(responses.initialMetadata?.first("request") == "\(encoding == .gzip)")
        #expect(responses.initialMetadata?.first("response") == "true")
        #expect(
          try await client.unary("/test.Test/CompressingEcho", message, encoding: encoding) == message)
      }
      // Nobody asks, nothing is compressed.
      let plain = try await client.serverStreaming("/test.Test/Echo", message)
      #expect(try await plain.nextBatchWithCompression()?.map(\.wasCompressed) == [false])
    }
  }

  @Test func eachMessageOfAStreamByItself() async throws {
    try await withServerAndClient(methods: Self.methods) { _, client in
      try await client.bidirectional("/test.Test/Mirror", encoding: .gzip) { responses, writer in
        let sizes = [1_000, 200_000, 0, 10, 30_000, 50_000, 70_000, 1]
        for (index, size) in sizes.enumerated() {
          try await writer.send(ByteBuffer(repeating: 1, count: size), compressed: index % 2 == 0)
        }
        writer.finish()
        var received: [(Int, Bool)] = []
        while let batch = try await responses.nextBatchWithCompression() {
          received += batch.map { ($0.message.readableBytes, $0.wasCompressed) }
        }
        #expect(received.map(\.0) == sizes)
        #expect(received.map(\.1) == [true, false, false, false, true, false, true, false])
      }
    }
  }

  @Test func tooLateOnceHeadersAreOnTheirWay() async throws {
    try await withServerAndClient(methods: Self.methods) { _, client in
      try await client.bidirectional("/test.Test/Late") { responses, writer in
        while responses.initialMetadata == nil { try await Task.sleep(for: .milliseconds(1)) }
        try await writer.send(ByteBuffer(repeating: 1, count: 1_000))
        writer.finish()
        var iterator = responses.makeAsyncIterator()
        #expect(try await iterator.next() == ByteBuffer(string: "false"))
        #expect(try await iterator.next() == ByteBuffer(repeating: 1, count: 1_000))
      }
    }
  }

  @Test func bombsEndTheirCallAlone() async throws {
    try await withServerAndClient(
      methods: Self.methods, server: { $0.limits.maxReceiveMessageBytes = 100_000 },
      client: { $0.limits.maxReceiveMessageBytes = 50_000 }
    ) { _, client in
      let bomb = ByteBuffer(repeating: 0, count: 4_000_000)
      let small = ByteBuffer(repeating: 0, count: 60_000)
      let unary = await status {
        _ = try await client.unary("/test.Test/Echo", bomb, encoding: .gzip)
      }
      #expect(unary == .resourceExhausted)
      let streaming = await status {
        _ = try await client.clientStreaming("/test.Test/Sum", encoding: .gzip) { try await $0.send(bomb) }
      }
      #expect(streaming == .resourceExhausted)
      // The client has a limit of its own.
      let response = await status { _ = try await client.unary("/test.Test/CompressingEcho", small) }
      #expect(response == .resourceExhausted)
      let stream = await status {
        let responses = try await client.serverStreaming("/test.Test/CompressingEcho", small)
        while try await responses.nextBatch() != nil {}
      }
      #expect(stream == .resourceExhausted)
      let fine = try await client.unary("/test.Test/Echo", ByteBuffer(string: "fine"))
      #expect(String(buffer: fine) == "fine")
    }
  }

  @Test func manyCompressedMessagesComeInBoundedBatches() async throws {
    try await withServerAndClient(methods: Self.methods) { _, client in
      let message = ByteBuffer(repeating: 0, count: 20_000)
      let sum = try await client.clientStreaming("/test.Test/Sum", encoding: .gzip) { writer in
        for _ in 0..<500 { try await writer.send(message) }
      }
      #expect(String(buffer: sum) == "\(500 * 20_000)")
      try await client.bidirectional("/test.Test/Mirror", encoding: .gzip) { responses, writer in
        for _ in 0..<100 { try await writer.send(message) }
        writer.finish()
        var count = 0
        while let batch = try await responses.nextBatch() {
          #expect(batch.count <= 4)
          count += batch.count
        }
        #expect(count == 100)
      }
    }
  }
}
