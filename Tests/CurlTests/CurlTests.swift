import Curl
import Synchronization
import TestSupport
import Testing

/// An engine that is shut down when the test is over.
private func withEngine(
  _ change: (inout CurlEngine.Configuration) -> Void = { _ in },
  _ body: (CurlEngine) async throws -> Void
) async throws {
  var configuration = CurlEngine.Configuration()
  change(&configuration)
  let engine = try CurlEngine(configuration: configuration)
  do {
    try await body(engine)
  } catch {
    await engine.shutdown()
    throw error
  }
  await engine.shutdown()
}

private func failure(_ body: () async throws(CurlError) -> Void) async -> CurlError? {
  do {
    try await body()
    return nil
  } catch {
    return error
  }
}

/// Answers every request with what the closure says, keeping the connection.
private func echoServer(
  _ answer: @escaping @Sendable (String, [UInt8]) -> (Int, String)
) throws -> ScriptedServer {
  try ScriptedServer { connection in
    while let (head, body) = connection.readRequest() {
      let (status, text) = answer(head, body)
      connection.respond(status, text, headers: "X-Test:  a b \r\n")
    }
    connection.end()
  }
}

@Suite struct PerformTests {
  @Test func sendsMethodHeadersAndBody() async throws {
    let server = try echoServer { head, body in (201, head + "|" + String(decoding: body, as: UTF8.self)) }
    defer { server.stop() }
    try await withEngine { engine in
      let response = try await engine.perform(
        HTTPRequest(
          method: "PUT", url: server.url + "/x?y=1", headers: [("X-A", "1"), ("X-Empty", "")],
          body: Array("hello".utf8), userPassword: .init(user: "u", password: "p")))
      let text = String(decoding: response.body, as: UTF8.self)
      #expect(response.status == 201)
      #expect(response.header("x-test") == "a b")
      #expect(text.hasPrefix("PUT /x?y=1 HTTP/1.1\r\n"))
      #expect(text.contains("X-A: 1\r\n"))
      #expect(text.contains("X-Empty:"))
      #expect(text.contains("Authorization: Basic dTpw\r\n"))
      #expect(!text.contains("Expect"))
      #expect(!text.contains("Content-Type"))
      #expect(text.hasSuffix("|hello"))
    }
  }

  @Test func reusesConnections() async throws {
    let server = try echoServer { _, _ in (200, "ok") }
    defer { server.stop() }
    try await withEngine { engine in
      for _ in 0..<20 { _ = try await engine.perform(HTTPRequest(url: server.url)) }
      #expect(server.connectionCount == 1)
    }
  }

  @Test func limitsConnectionsPerHostAndFinishesAll() async throws {
    let server = try echoServer { _, _ in (200, "ok") }
    defer { server.stop() }
    try await withEngine {
      $0.maxConnectionsPerHost = 4
    } _: { engine in
      let url = server.url
      let total = try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<300 {
          group.addTask { try await engine.perform(HTTPRequest(method: "POST", url: url)).status }
        }
        return try await group.reduce(0) { $0 + $1 }
      }
      #expect(total == 300 * 200)
      #expect(server.connectionCount <= 4)
    }
  }

  @Test func refusesWhatDoesNotFitInTheQueue() async throws {
    let server = try ScriptedServer { _ = $0.readRequest() }
    defer { server.stop() }
    try await withEngine {
      $0.maxConnectionsPerHost = 1
      $0.maxQueuedRequests = 4
    } _: { engine in
      let url = server.url
      let codes = await withTaskGroup(of: CurlError.Code?.self) { group in
        for _ in 0..<50 {
          group.addTask {
            await failure { () async throws(CurlError) in
              _ = try await engine.perform(HTTPRequest(url: url, timeout: .milliseconds(300)))
            }?.code
          }
        }
        return await group.reduce(into: [CurlError.Code: Int]()) { $0[$1 ?? .other, default: 0] += 1 }
      }
      #expect(codes[.queueFull, default: 0] > 0)
      #expect(codes[.timeout, default: 0] > 0)
      #expect(codes.values.reduce(0, +) == 50)
      #expect(codes.count == 2, "\(codes)")
    }
  }

  @Test func connectFailureWasNotSent() async throws {
    let server = try ScriptedServer { $0.end() }
    let url = server.url
    server.stop()
    try await withEngine { engine in
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(url: url + "/secret?token=abc"))
      }
      #expect(error?.code == .connect)
      #expect(error?.certainty == .notSent)
      #expect(error?.message.contains("127.0.0.1:") == true)
      #expect(error?.message.contains("abc") == false)
    }
  }

  @Test func unknownHostWasNotSent() async throws {
    try await withEngine { engine in
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(url: "http://name.invalid/"))
      }
      #expect(error?.code == .resolve)
      #expect(error?.certainty == .notSent)
    }
  }

  @Test func closedAfterRequestMayHaveBeenSent() async throws {
    let server = try ScriptedServer { connection in
      _ = connection.readRequest()
      connection.end()
    }
    defer { server.stop() }
    try await withEngine { engine in
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(method: "POST", url: server.url, body: [1]))
      }
      #expect(error?.code == .connectionLost)
      #expect(error?.certainty == .maybeSent)
    }
  }

  /// libcurl itself would send the second request again on a fresh connection.
  @Test func neverSendsTwiceWhenAReusedConnectionDies() async throws {
    let requests = Mutex(0)
    let server = try ScriptedServer { connection in
      while connection.readRequest() != nil {
        let count = requests.withLock { value -> Int in
          value += 1
          return value
        }
        if count == 2 { break }
        connection.respond(200, "first")
      }
      connection.end()
    }
    defer { server.stop() }
    try await withEngine { engine in
      _ = try await engine.perform(HTTPRequest(method: "POST", url: server.url, body: [1]))
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(method: "POST", url: server.url, body: [2]))
      }
      #expect(error?.code == .connectionLost)
      #expect(error?.certainty == .maybeSent)
      #expect(requests.withLock { $0 } == 2)
    }
  }

  @Test func timesOut() async throws {
    let server = try ScriptedServer { _ = $0.readRequest() }
    defer { server.stop() }
    try await withEngine { engine in
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(url: server.url, timeout: .milliseconds(80)))
      }
      #expect(error?.code == .timeout)
      #expect(error?.certainty == .maybeSent)
    }
  }

  @Test func boundsTheResponse() async throws {
    let server = try echoServer { _, _ in (200, String(repeating: "x", count: 5000)) }
    defer { server.stop() }
    try await withEngine { engine in
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(url: server.url, maxResponseBytes: 4999))
      }
      #expect(error?.code == .responseTooLarge)
      let whole = try await engine.perform(HTTPRequest(url: server.url, maxResponseBytes: 5000))
      #expect(whole.body.count == 5000)
    }
  }

  @Test func endlessHeadersAreRefused() async throws {
    let server = try ScriptedServer { connection in
      _ = connection.readRequest()
      connection.write("HTTP/1.1 200 X\r\n")
      while connection.write("X-H: \(String(repeating: "y", count: 1000))\r\n") {}
      connection.end()
    }
    defer { server.stop() }
    try await withEngine { engine in
      let error = await failure { () async throws(CurlError) in
        _ = try await engine.perform(HTTPRequest(url: server.url, timeout: .seconds(20)))
      }
      #expect(error != nil)
      #expect(error?.code != .timeout)
    }
  }

  @Test func cancellationAbortsAndReleasesTheConnection() async throws {
    let server = try ScriptedServer { connection in
      _ = connection.readRequest()
      _ = connection.readRequest()
    }
    defer { server.stop() }
    try await withEngine {
      $0.maxConnectionsPerHost = 1
    } _: { engine in
      let url = server.url
      for early in [true, false] {
        let task = Task { () -> CurlError? in
          await failure { () async throws(CurlError) in _ = try await engine.perform(HTTPRequest(url: url)) }
        }
        if !early { while server.connectionCount == 0 { await Task.yield() } }
        task.cancel()
        #expect(await task.value?.code == .cancelled)
      }
    }
  }

  @Test func followsRedirectsOnlyWhenAsked() async throws {
    let server = try ScriptedServer { connection in
      while let (head, _) = connection.readRequest() {
        if head.hasPrefix("GET /a ") {
          connection.respond(302, "moved", headers: "Location: /b\r\n")
        } else {
          connection.respond(200, "there")
        }
      }
    }
    defer { server.stop() }
    try await withEngine { engine in
      let plain = try await engine.perform(HTTPRequest(url: server.url + "/a"))
      #expect(plain.status == 302)
      let followed = try await engine.perform(HTTPRequest(url: server.url + "/a", followRedirects: true))
      #expect(followed.status == 200)
      #expect(followed.body == Array("there".utf8))
    }
  }

  @Test func shutdownFailsWhatIsInProgress() async throws {
    let server = try ScriptedServer { _ = $0.readRequest() }
    defer { server.stop() }
    let engine = try CurlEngine()
    let url = server.url
    let task = Task { () -> CurlError? in
      await failure { () async throws(CurlError) in _ = try await engine.perform(HTTPRequest(url: url)) }
    }
    while server.connectionCount == 0 { await Task.yield() }
    await engine.shutdown()
    #expect(await task.value?.code == .shutdown)
    let late = await failure { () async throws(CurlError) in
      _ = try await engine.perform(HTTPRequest(url: url))
    }
    #expect(late?.code == .shutdown)
    #expect(late?.certainty == .notSent)
    await engine.shutdown()
  }
}

@Suite struct ValidationTests {
  @Test(arguments: [
    ("url", HTTPRequest(url: "http://h/\r\nX: y")),
    ("url", HTTPRequest(url: "http://h/a b")),
    ("url", HTTPRequest(url: "ftp://h/")),
    ("url", HTTPRequest(url: "file:///etc/passwd")),
    ("url", HTTPRequest(url: "http://")),
    ("url", HTTPRequest(url: "http://user@/")),
    ("method", HTTPRequest(method: "GET /x", url: "http://h/")),
    ("method", HTTPRequest(method: "", url: "http://h/")),
    ("header \"X-A\"", HTTPRequest(url: "http://h/", headers: [("X-A", "1\r\nX-B: 2")])),
    ("header \"X-A\"", HTTPRequest(url: "http://h/", headers: [("X-A", "1\0")])),
    ("header name", HTTPRequest(url: "http://h/", headers: [("X A", "1")])),
    ("header name", HTTPRequest(url: "http://h/", headers: [("X\r\nA", "1")])),
    ("header name", HTTPRequest(url: "http://h/", headers: [("", "1")])),
    ("user name", HTTPRequest(url: "http://h/", userPassword: .init(user: "a:b", password: "c"))),
    ("password", HTTPRequest(url: "http://h/", userPassword: .init(user: "a", password: "s3cret\n"))),
    ("timeout", HTTPRequest(url: "http://h/", timeout: .zero)),
  ])
  func refusesWithTheFieldsName(field: String, request: HTTPRequest) async throws {
    let error = await failure { () async throws(CurlError) in try request.validate() }
    #expect(error?.code == .invalidRequest)
    #expect(error?.certainty == .notSent)
    #expect(error?.message.contains(field) == true)
    #expect(error?.message.contains("s3cret") == false)
    #expect(error?.message.contains("\r") == false)
  }
}

@Suite struct StreamTests {
  @Test func deliversChunksUntilTheEnd() async throws {
    let server = try ScriptedServer { connection in
      _ = connection.readRequest()
      connection.write("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\nX-S: 1\r\n\r\n")
      for part in ["one", "two", "three"] {
        connection.write("\(String(part.utf8.count, radix: 16))\r\n\(part)\r\n")
      }
      connection.write("0\r\n\r\n")
    }
    defer { server.stop() }
    try await withEngine { engine in
      let stream = engine.stream(HTTPRequest(url: server.url))
      let head = try await stream.head()
      #expect(head.status == 200)
      #expect(head.headers.contains { $0 == ("X-S", "1") })
      var body: [UInt8] = []
      while let chunk = try await stream.next() { body += chunk }
      #expect(String(decoding: body, as: UTF8.self) == "onetwothree")
      let afterEnd = try await stream.next()
      #expect(afterEnd == nil)
    }
  }

  @Test func pausesTheServerWhenTheReaderIsSlow() async throws {
    let total = 64 << 20
    let written = Atomic<Int>(0)
    let server = try ScriptedServer { connection in
      _ = connection.readRequest()
      connection.write("HTTP/1.1 200 X\r\nContent-Length: \(total)\r\n\r\n")
      let block = [UInt8](repeating: 7, count: 1 << 16)
      for _ in 0..<(total / block.count) {
        guard connection.write(block) else { return }
        written.wrappingAdd(block.count, ordering: .sequentiallyConsistent)
      }
    }
    defer { server.stop() }
    try await withEngine { engine in
      var options = HTTPStream.Options()
      options.bufferBytes = 256 << 10
      let stream = engine.stream(HTTPRequest(url: server.url), options: options)
      _ = try await stream.head()
      // The peer's write blocks once the buffers between us are full: wait until it has stopped moving.
      var before = -1
      while true {
        let now = written.load(ordering: .sequentiallyConsistent)
        if now == before { break }
        before = now
        try await Task.sleep(for: .milliseconds(150))
      }
      #expect(before < total / 2)
      var count = 0
      while let chunk = try await stream.next() {
        #expect(chunk.count <= 512 << 10)
        count += chunk.count
      }
      #expect(count == total)
    }
  }

  @Test func idleStreamFails() async throws {
    let server = try ScriptedServer { connection in
      _ = connection.readRequest()
      connection.write("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    }
    defer { server.stop() }
    try await withEngine { engine in
      var options = HTTPStream.Options()
      options.idleTimeout = .milliseconds(100)
      let stream = engine.stream(HTTPRequest(url: server.url), options: options)
      let first = try await stream.next()
      #expect(first == [97])
      let error = await failure { () async throws(CurlError) in _ = try await stream.next() }
      #expect(error?.code == .timeout)
    }
  }

  @Test func cancelWakesTheReader() async throws {
    let server = try ScriptedServer { _ = $0.readRequest() }
    defer { server.stop() }
    try await withEngine { engine in
      let stream = engine.stream(HTTPRequest(url: server.url))
      let reader = Task { () -> CurlError? in
        await failure { () async throws(CurlError) in _ = try await stream.next() }
      }
      while server.connectionCount == 0 { await Task.yield() }
      stream.cancel()
      #expect(await reader.value?.code == .cancelled)
      let cancelled = engine.stream(HTTPRequest(url: server.url))
      let task = Task { () -> CurlError? in
        await failure { () async throws(CurlError) in _ = try await cancelled.next() }
      }
      task.cancel()
      #expect(await task.value?.code == .cancelled)
    }
  }

  @Test func refusedRequestFailsTheStream() async throws {
    try await withEngine { engine in
      let stream = engine.stream(HTTPRequest(url: "gopher://x"))
      let error = await failure { () async throws(CurlError) in _ = try await stream.head() }
      #expect(error?.code == .invalidRequest)
    }
  }
}
