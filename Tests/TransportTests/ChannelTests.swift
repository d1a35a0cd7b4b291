import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Transport

/// Our channel against our server, which comes and goes. Scripted peers are in Tests/EndToEnd/transport.
@Suite(.timeLimit(.minutes(1))) struct ChannelTests {
  private func channel(
    _ port: Int, _ configure: (inout GRPCClientConfiguration) -> Void = { _ in }
  ) -> GRPCChannel {
    var configuration = GRPCClientConfiguration(host: "127.0.0.1", port: port)
    configuration.connectTimeout = patience
    configure(&configuration)
    return GRPCChannel(configuration, group: testGroup, logger: testLogger)
  }

  private func server(port: Int = 0, methods: [RPCMethod] = TestMethods.all) async throws -> GRPCServer {
    try await GRPCServer.bind(
      GRPCServerConfiguration(port: port), methods: methods, group: testGroup, logger: testLogger)
  }

  private func echo(_ channel: GRPCChannel, timeout: Duration? = nil) async throws {
    let message = ByteBuffer(string: "hello")
    let answer = try await channel.unary("/test.Test/Echo", message, timeout: timeout)
    #expect(answer == message)
  }

  @Test func connectsForItsCallsAndOnlyOnce() async throws {
    try await withServer { server in
      let channel = channel(server.port)
      #expect(server.connectionCount == 0)
      try await withThrowingTaskGroup { group in
        for _ in 0..<50 { group.addTask { try await echo(channel) } }
        try await group.waitForAll()
      }
      #expect(server.connectionCount == 1)
      await channel.close()
    }
  }

  @Test func withoutAServerCallsFailAndTheNextOneTriesAgain() async throws {
    let first = try await server()
    let port = first.port
    await first.shutdown(graceful: .zero)
    let channel = channel(port)
    let error = await #expect(throws: RPCError.self) { try await echo(channel) }
    #expect(error?.code == .unavailable && error?.isRefusedBeforeProcessing == true)
    let second = try await server(port: port)
    try await echo(channel)
    await channel.close()
    await second.shutdown(graceful: .zero)
  }

  @Test func aServerThatIsReplacedLosesNoCall() async throws {
    var current = try await server()
    let port = current.port
    let channel = channel(port)
    let isOver = Flag()
    let answers = Counter()
    let callers = Task {
      try await withThrowingTaskGroup { group in
        for _ in 0..<8 {
          group.addTask {
            while !isOver.isSet {
              do {
                try await echo(channel)
                answers.add()
              } catch let error as RPCError where error.message.contains("cannot connect") {
                // Between two servers nobody listens.
              }
            }
          }
        }
        try await group.waitForAll()
      }
    }
    for _ in 0..<5 {
      await current.shutdown(graceful: patience)
      current = try await server(port: port)
      let before = answers.value
      for _ in 0..<3_000 where answers.value < before + 20 { try await Task.sleep(for: .milliseconds(10)) }
      #expect(answers.value >= before + 20)
    }
    isOver.set()
    try await callers.value
    await channel.close()
    await current.shutdown(graceful: .zero)
  }

  @Test func aCallInFlightFinishesOnTheOldConnection() async throws {
    let began = Flag()
    let mayEnd = Flag()
    let slow = RPCMethod.unary("/test.Test/Slow") { request, _ in
      began.set()
      await mayEnd.wait()
      return request
    }
    // It may get calls until its GOAWAY has arrived.
    let old = try await server(methods: [slow, TestMethods.echo])
    let channel = channel(old.port)
    let call = Task {
      defer { began.set() }
      return try await channel.unary("/test.Test/Slow", ByteBuffer(string: "old"), timeout: patience)
    }
    await began.wait()
    let shutdown = Task { await old.shutdown(graceful: patience) }
    // Once the port is free, the old server has said GOAWAY, or is about to.
    var new: GRPCServer?
    for _ in 0..<500 where new == nil {
      try await Task.sleep(for: .milliseconds(10))
      new = try? await server(port: old.port)
    }
    let replacement = try #require(new)
    while replacement.connectionCount == 0 {
      try await echo(channel, timeout: patience)
    }
    mayEnd.set()
    #expect(try await call.value == ByteBuffer(string: "old"))
    await shutdown.value
    await channel.close()
    await replacement.shutdown(graceful: .zero)
  }

  @Test func deadlinesAndCancellationReachCallsThatWaitForAConnection() async throws {
    // Accepts connections and says nothing.
    let silent = try await ServerBootstrap(group: testGroup).bind(host: "127.0.0.1", port: 0).get()
    let channel = channel(try #require(silent.localAddress?.port)) { $0.connectTimeout = .seconds(30) }
    #expect(await status { try await echo(channel, timeout: .milliseconds(100)) } == .deadlineExceeded)
    let cancelled = Task { await status { try await echo(channel) } }
    cancelled.cancel()
    #expect(await cancelled.value == .cancelled)
    let closed = Task { await status { try await echo(channel, timeout: .seconds(20)) } }
    try await Task.sleep(for: .milliseconds(100))
    await channel.close()
    #expect(await closed.value == .cancelled)
    #expect(await status { try await echo(channel) } == .cancelled)
    try await silent.close()
  }

  @Test func waitingCallsAreBounded() async throws {
    let silent = try await ServerBootstrap(group: testGroup).bind(host: "127.0.0.1", port: 0).get()
    let channel = channel(try #require(silent.localAddress?.port)) {
      $0.connectTimeout = .seconds(30)
      $0.limits.maxConcurrentStreams = 2
    }
    let codes = try await withThrowingTaskGroup { group in
      for _ in 0..<3 { group.addTask { await status { try await echo(channel, timeout: .seconds(1)) } } }
      return try await group.reduce(into: [StatusCode: Int]()) { $0[$1, default: 0] += 1 }
    }
    #expect(codes == [.resourceExhausted: 1, .deadlineExceeded: 2])
    await channel.close()
    try await silent.close()
  }
}

/// What a call keeps for the case that it has to be made again.
@Suite struct CallRetryTests {
  private final class Home: CallHome {
    let count = Counter()
    func takeBack(_ call: Call, from mailbox: Mailbox?) { count.add() }
  }

  private let home = Home()
  private let mailbox = Mailbox(eventLoop: testGroup.next())

  private func call(limits: TransportLimits = TransportLimits()) -> Call {
    let request = Call.Request(
      path: "/test.Test/Sum", metadata: [:], deadline: nil, encoding: .identity, expectsSingleResponse: true)
    let call = Call(request: request, limits: limits)
    call.settle(at: home)
    call.adopt(by: mailbox, keeping: nil)
    return call
  }

  private func texts(_ work: Call.Work?) -> [String]? { work?.messages.map { String(buffer: $0.bytes) } }

  @Test func everythingThatWasSaidIsSaidAgainInOrder() async throws {
    let call = call()
    try await call.send([ByteBuffer(string: "a"), ByteBuffer(string: "b")], compressed: true)
    #expect(texts(call.takeWork(for: mailbox)) == ["a", "b"])
    call.streamID.store(1, ordering: .relaxed)
    try await call.send([ByteBuffer(string: "c")], compressed: true)
    call.finishSending()
    call.close(.refused("GOAWAY"))
    #expect(home.count.value == 1)
    // It is nobody's until somebody adopts it.
    #expect(call.takeWork(for: mailbox) == nil)
    call.adopt(by: mailbox, keeping: nil)
    let work = call.takeWork(for: mailbox)
    #expect(texts(work) == ["a", "b", "c"])
    #expect(work?.endsStream == true)
  }

  @Test func aServerIsAskedTwiceButConnectionsMayFailMoreOften() {
    let sent = call()
    for _ in 0..<2 {
      sent.streamID.store(1, ordering: .relaxed)
      sent.close(.refused("REFUSED_STREAM"))
    }
    #expect(home.count.value == 1)
    #expect(sent.isInboundFinished)
    let unsent = call()
    for _ in 0..<6 { unsent.close(.refused("the connection is closed")) }
    #expect(home.count.value == 1 + 5)
    #expect(unsent.isInboundFinished)
  }

  @Test func notOnceTheServerHasBegunOrMayHave() async throws {
    let begun = call()
    begun.begin(initialMetadata: [:])
    begun.close(.refused("GOAWAY"))
    let lost = call()
    lost.close(RPCError(.unavailable, "the connection was lost"))
    #expect(home.count.value == 0)
    #expect(begun.isInboundFinished && lost.isInboundFinished)
  }

  @Test func notWhenItHasSaidTooMuch() async throws {
    var limits = TransportLimits()
    limits.retryBufferBytes = 10
    let call = call(limits: limits)
    try await call.send([ByteBuffer(string: "0123456789")], compressed: false)
    _ = call.takeWork(for: mailbox)
    try await call.send([ByteBuffer(string: "x")], compressed: false)
    _ = call.takeWork(for: mailbox)
    call.close(.refused("GOAWAY"))
    #expect(home.count.value == 0)
    #expect(call.isInboundFinished)
  }

  @Test func aCallThatEndedIsNotSentAfterwards() {
    let call = call()
    call.cancel()
    #expect(call.takeWork(for: mailbox) == nil)
    #expect(home.count.value == 0)
  }
}
