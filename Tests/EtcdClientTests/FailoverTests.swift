@testable import EtcdClient

import Curl
import Foundation
import Synchronization
import TestSupport
import Testing

/// Endpoints that are dead, that die, or that do not say what became of a write.
@Suite struct FailoverTests {
  @Test func deadEndpointIsLeftForAGoodOne() async throws {
    let etcd = try await EtcdProcess.shared.value
    let dead = "http://127.0.0.1:\(try freePort())"
    let client = try etcd.client(endpoints: [dead, etcd.url])
    let key = "/failover/\(UUID().uuidString)"
    try await client.put(key, [1])  // Nothing of it was sent to the dead one, so even a write moves on.
    #expect(client.currentEndpoint == etcd.url)
    let value = try await client.get(key)?.value
    #expect(value == [1])
    await client.shutdown()
  }

  @Test func unansweredWriteIsUnknownAndNotRepeated() async throws {
    let etcd = try await EtcdProcess.shared.value
    let requests = Mutex<[String]>([])
    let peer = try ScriptedServer { connection in
      while let (head, _) = connection.readRequest() {
        requests.withLock { $0.append(String(head.prefix { $0 != "\r\n" })) }
        connection.end()
      }
    }
    defer { peer.stop() }
    let client = try etcd.client(endpoints: [peer.url, etcd.url])
    let key = "/unknown/\(UUID().uuidString)"
    let error = await failure { try await client.put(key, Array("secret".utf8)) }
    #expect(error?.outcome == .unknown)
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("put \(key)") == true)
    #expect(error?.message.contains(peer.url) == true)
    #expect(error?.message.contains("secret") == false)
    #expect(requests.withLock { $0 } == ["POST /v3/kv/put HTTP/1.1"])
    // The next request goes elsewhere.
    let absent = try await client.get(key)
    #expect(absent == nil)
    await client.shutdown()
  }

  @Test func unansweredReadMovesOn() async throws {
    let etcd = try await EtcdProcess.shared.value
    let peer = try ScriptedServer { connection in
      _ = connection.readRequest()
      connection.end()
    }
    defer { peer.stop() }
    let client = try etcd.client(endpoints: [peer.url, etcd.url])
    let status = try await client.status()
    #expect(status.revision > 0)
    #expect(peer.connectionCount == 1)
    await client.shutdown()
  }

  @Test func silentEndpointCostsAReadOnlyPartOfItsDeadline() async throws {
    let etcd = try await EtcdProcess.shared.value
    let peer = try ScriptedServer { _ = $0.readRequest() }
    defer { peer.stop() }
    let client = try etcd.client(endpoints: [peer.url, etcd.url]) { $0.requestTimeout = .seconds(2) }
    let status = try await client.status()
    #expect(status.revision > 0)
    await client.shutdown()
  }

  @Test func silentEndpointMakesAWriteTimeOutUnknown() async throws {
    let peer = try ScriptedServer { _ = $0.readRequest() }
    defer { peer.stop() }
    let client = try EtcdClient(configuration: .init(endpoints: [peer.url]), logger: quietLogger)
      .with(requestTimeout: .milliseconds(150))
    let error = await failure { try await client.put("k", []) }
    #expect(error?.code == .timeout)
    #expect(error?.outcome == .unknown)
    await client.shutdown()
  }

  @Test func nobodyThereIsUnavailableAndNotApplied() async throws {
    let client = try EtcdClient(
      configuration: .init(endpoints: ["http://127.0.0.1:\(try freePort())"]), logger: quietLogger
    ).with(requestTimeout: .milliseconds(300))
    let error = await failure { try await client.put("k", []) }
    #expect(error?.code == .unavailable)
    #expect(error?.outcome == .notApplied)
    await client.shutdown()
  }

  @Test(arguments: [
    (
      503, #"{"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14}"#, "unavailable",
      true
    ),
    (503, #"{"error":"etcdserver: request timed out","code":14}"#, "timeout", true),
    (500, "oops", "other", true),
    (429, #"{"error":"etcdserver: mvcc: database space exceeded","code":8}"#, "no_space", true),
    (429, #"{"error":"etcdserver: too many requests","code":8}"#, "overloaded", false),
    (400, #"{"message":"etcdserver: request is too large","code":3}"#, "request_too_large", false),
    (403, #"{"message":"etcdserver: permission denied","code":7}"#, "permission_denied", false),
    (404, #"{"message":"etcdserver: requested lease not found","code":5}"#, "lease_not_found", false),
    (500, #"{"message":"etcdserver: corrupt cluster","code":15}"#, "corrupt", false),
    (404, "Not Found\n", "invalid", false),
    (200, "{\"header\":", "malformed_response", true),
    (200, "[]", "malformed_response", true),
    (200, "{}garbage", "malformed_response", true),
  ])
  func answersAreClassified(status: Int, body: String, code: String, unknown: Bool) async throws {
    let peer = try ScriptedServer { connection in
      while connection.readRequest() != nil { connection.respond(status, body) }
    }
    defer { peer.stop() }
    let client = try EtcdClient(configuration: .init(endpoints: [peer.url]), logger: quietLogger)
      .with(requestTimeout: .milliseconds(200))
    let error = await failure { try await client.put("k", []) }
    #expect(error?.code.description == code)
    #expect((error?.outcome == .unknown) == unknown)
    let read = await failure { _ = try await client.get("k") }
    #expect(read?.outcome == .notApplied)
    await client.shutdown()
  }

  @Test func shutdownEndsRequestsAndWatches() async throws {
    let etcd = try await EtcdProcess.shared.value
    let client = try etcd.client()
    let watch = client.watch(WatchRequest(prefixes: ["/nothing/"]))
    _ = try await watch.next()
    let reader = Task { await failure { _ = try await watch.next() } }
    await client.shutdown()
    let ended = await reader.value
    #expect(ended?.code == .cancelled)
    let late = await failure { _ = try await client.get("k") }
    #expect(late?.code == .cancelled)
  }

  @Test(arguments: ["", "127.0.0.1:2379", "ftp://x", "http://a b"])
  func badEndpointsAreRefused(endpoint: String) async throws {
    let error = await failure {
      _ = try EtcdClient(configuration: .init(endpoints: [endpoint]), logger: quietLogger)
    }
    #expect(error?.code == .invalid)
  }
}

/// Watches whose stream breaks, hangs or lags.
@Suite struct WatchRecoveryTests {
  @Test func resumesAfterEtcdWasKilledAndRestarted() async throws {
    let etcd = try await EtcdProcess()
    defer { etcd.stop() }
    let client = try etcd.client()
    let watch = client.watch(WatchRequest(prefixes: ["/r/"]))
    _ = try await watch.next()
    for index in 0..<3 { try await client.put("/r/\(index)", []) }
    let before = try await watch.events(3)
    for round in 0..<2 {
      etcd.kill()
      try await etcd.start()
      for index in 0..<3 { try await client.put("/r/\(round)-\(index)", []) }
      let after = try await watch.events(3)
      #expect(after.map(\.kv.key) == (0..<3).map { "/r/\(round)-\($0)" })
    }
    #expect(before.map(\.kv.key) == ["/r/0", "/r/1", "/r/2"])
    await client.shutdown()
  }

  @Test func laggingWatchLearnsOfCompaction() async throws {
    let etcd = try await EtcdProcess()
    defer { etcd.stop() }
    let client = try etcd.client()
    let watch = client.watch(WatchRequest(prefixes: ["/c/"]))
    _ = try await watch.next()
    try await client.put("/c/1", [])
    let seen = try await watch.events(1)
    #expect(seen.count == 1)
    etcd.kill()
    try await etcd.start()
    let other = try etcd.client()
    // A watch reads only while somebody waits for it, so it cannot have seen this.
    var last: Int64 = 0
    for _ in 0..<5 { last = try await other.put("/c/2", []) }
    try await other.compact(revision: last, physical: true)
    let error = await failure { while try await watch.next() != nil {} }
    #expect(error?.code == .compacted)
    #expect(error?.compactRevision == last)
    await client.shutdown()
    await other.shutdown()
  }

  /// The peer replays a stream that breaks in the middle of an event and of a fragmented response.
  @Test func repeatsAndLosesNothingWhenTheStreamBreaks() async throws {
    func event(_ key: String, _ revision: Int64) -> String {
      let base64 = Data(key.utf8).base64EncodedString()
      return #"{"kv":{"key":"\#(base64)","create_revision":"1","mod_revision":"\#(revision)","version":"1"}}"#
    }
    func message(_ fields: String) -> String {
      #"{"result":{"header":{"revision":"9"},"watch_id":"1",\#(fields)}}"# + "\n"
    }
    let starts = Mutex<[String]>([])
    let created = message(#""created":true"#)
    let scripts = [
      [created, message("\"events\":[\(event("a", 10))]"), #"{"result":{"watch_id":"1","events":[{"kv"#],
      // Again revision 10, as an etcd with a bug might, then half a revision.
      [
        created, message("\"events\":[\(event("a", 10)),\(event("b", 11))]"),
        message("\"fragment\":true,\"events\":[\(event("c", 12))]"),
      ],
      [
        created, message("\"fragment\":true,\"events\":[\(event("c", 12))]"),
        message("\"events\":[\(event("d", 12))]"), "not json\n",
      ],
      [created, message("\"events\":[\(event("e", 13))]")],
    ]
    let peer = try ScriptedServer { connection in
      guard let (_, body) = connection.readRequest() else { return }
      let index = starts.withLock { starts in
        starts.append(String(decoding: body, as: UTF8.self))
        return starts.count - 1
      }
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
      for text in index < scripts.count ? scripts[index] : [created] {
        connection.write("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
      }
      if index < scripts.count { connection.end() }
    }
    defer { peer.stop() }
    let client = try EtcdClient(configuration: .init(endpoints: [peer.url]), logger: quietLogger)
    let watch = client.watch(WatchRequest(prefixes: [""], startRevision: 10))
    var batches: [[String]] = []
    while batches.joined().count < 5, let batch = try await watch.next() {
      if !batch.isProgress { batches.append(batch.events.map(\.kv.key)) }
    }
    #expect(batches == [["a"], ["b"], ["c", "d"], ["e"]])
    let asked = starts.withLock { $0 }.prefix(4).map { body in
      body.components(separatedBy: "\"start_revision\":\"")[1].prefix { $0 != "\"" }
    }
    #expect(asked == ["10", "11", "12", "13"])
    await client.shutdown()
  }

  @Test func silentStreamIsReplaced() async throws {
    let connections = Atomic<Int>(0)
    let peer = try ScriptedServer { connection in
      _ = connection.readRequest()
      let text = #"{"result":{"header":{"revision":"5"},"watch_id":"1","created":true}}"# + "\n"
      connection.write(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n"
      )
      let count = connections.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
      if count == 3 {
        let last = #"{"result":{"header":{"revision":"8"},"watch_id":"1"}}"# + "\n"
        connection.write("\(String(last.utf8.count, radix: 16))\r\n\(last)\r\n")
      }
    }
    defer { peer.stop() }
    let client = try EtcdClient(configuration: .init(endpoints: [peer.url]), logger: quietLogger)
    let watch = client.watch(WatchRequest(ranges: [.all], idleReconnect: .milliseconds(100)))
    let first = try await watch.next()
    #expect(first == WatchBatch(revision: 5, isProgress: true))
    let second = try await watch.next()
    #expect(second == WatchBatch(revision: 8, isProgress: true))
    #expect(connections.load(ordering: .sequentiallyConsistent) >= 3)
    await client.shutdown()
  }
}
