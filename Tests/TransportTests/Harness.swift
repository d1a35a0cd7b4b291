import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Transport

/// One group for all tests: two threads, like the machine they run on.
let testGroup = MultiThreadedEventLoopGroup.singleton

/// What a step may take on a machine that is busy with other things.
let patience = Duration.seconds(30)

let testLogger: Logger = {
  var logger = Logger(label: "transport-tests")
  logger.logLevel = .critical
  return logger
}()

/// A server that answers the methods that the tests need, for the duration of `body`.
func withServer<R>(
  _ configure: (inout GRPCServerConfiguration) -> Void = { _ in }, methods: [RPCMethod] = TestMethods.all,
  _ body: (GRPCServer) async throws -> R
) async throws -> R {
  var configuration = GRPCServerConfiguration()
  configure(&configuration)
  let server = try await GRPCServer.bind(
    configuration, methods: methods, group: testGroup, logger: testLogger)
  do {
    let result = try await body(server)
    await server.shutdown(graceful: .zero)
    return result
  } catch {
    await server.shutdown(graceful: .zero)
    throw error
  }
}

func withClient<R>(
  _ port: Int, _ configure: (inout GRPCClientConfiguration) -> Void = { _ in },
  _ body: (GRPCClient) async throws -> R
) async throws -> R {
  var configuration = GRPCClientConfiguration(host: "127.0.0.1", port: port)
  configuration.connectTimeout = patience
  configure(&configuration)
  let client = try await GRPCClient.connect(configuration, group: testGroup, logger: testLogger)
  do {
    let result = try await body(client)
    await client.close(graceful: .zero)
    return result
  } catch {
    await client.close(graceful: .zero)
    throw error
  }
}

func withServerAndClient<R>(
  methods: [RPCMethod] = TestMethods.all,
  server configure: (inout GRPCServerConfiguration) -> Void = { _ in },
  client configureClient: (inout GRPCClientConfiguration) -> Void = { _ in },
  _ body: (GRPCServer, GRPCClient) async throws -> R
) async throws -> R {
  try await withServer(configure, methods: methods) { server in
    try await withClient(server.port, configureClient) { client in try await body(server, client) }
  }
}

/// The status that `body` fails with; OK when it does not.
func status(of body: () async throws -> Void) async -> StatusCode {
  do {
    try await body()
    return .ok
  } catch let error as RPCError {
    return error.code
  } catch {
    Issue.record("not an RPCError: \(error)")
    return .unknown
  }
}

/// An event that one side of a test waits for.
final class Flag: Sendable {
  private let state = Mutex<(isSet: Bool, waiters: [CheckedContinuation<Void, Never>])>((false, []))

  var isSet: Bool { state.withLock { $0.isSet } }

  func set() {
    let waiters = state.withLock { state in
      state.isSet = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func wait() async {
    await withCheckedContinuation { continuation in
      let isSet = state.withLock { state in
        if !state.isSet { state.waiters.append(continuation) }
        return state.isSet
      }
      if isSet { continuation.resume() }
    }
  }
}

enum TestMethods {
  static let all = [echo, sum, count, pingPong, fail, hang]

  /// Answers with the request; metadata `echo` and `echo-bin` come back, as initial and trailing metadata.
  static let echo = RPCMethod.unary("/test.Test/Echo") { request, context in
    if let text = context.metadata.first("echo") { context.setInitialMetadata(["echo": text]) }
    if let bytes = context.metadata.firstBinary("echo-bin") {
      var trailers = Metadata()
      trailers.add("echo-bin", binary: bytes)
      context.setTrailingMetadata(trailers)
    }
    return request
  }

  /// Answers with the total size of all requests, as text.
  static let sum = RPCMethod.clientStreaming("/test.Test/Sum") { requests, _ in
    var total = 0
    for try await request in requests { total += request.readableBytes }
    return ByteBuffer(string: "\(total)")
  }

  /// Answers with as many messages as the request's text says, numbered.
  static let count = RPCMethod.serverStreaming("/test.Test/Count") { request, _, responses in
    for number in 0..<(Int(String(buffer: request)) ?? 0) {
      try await responses.send(ByteBuffer(string: "\(number)"))
    }
  }

  static let pingPong = RPCMethod.bidirectional("/test.Test/PingPong") { requests, _, responses in
    responses.sendHeaders()
    while let batch = try await requests.nextBatch() { try await responses.send(contentsOf: batch) }
  }

  /// Fails with the code and message that the request's text names.
  static let fail = RPCMethod.unary("/test.Test/Fail") { request, _ in
    let parts = String(buffer: request).split(separator: " ", maxSplits: 1)
    throw RPCError(
      StatusCode(rawValue: Int(parts[0]) ?? 2), parts.count > 1 ? String(parts[1]) : "",
      metadata: ["reason": "asked"])
  }

  /// Never answers.
  static let hang = RPCMethod.unary("/test.Test/Hang") { _, _ in
    try await Task.sleep(for: .seconds(3_600))
    return ByteBuffer()
  }
}

/// How often something happened.
final class Counter: Sendable {
  private let count = Atomic<Int>(0)
  var value: Int { count.load(ordering: .relaxed) }
  func add() { count.add(1, ordering: .relaxed) }
}
