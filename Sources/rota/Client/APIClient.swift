import Logging
import NIOCore
import NIOPosix
import Proto
import Synchronization
import Transport

/// Bounds of what a client command waits for.
enum ClientLimits {
  /// Connecting to one server.
  static let connectTimeout = Duration.seconds(2)
  /// One call.
  static let callTimeout = Duration.seconds(15)
  /// How long a call that may be repeated is repeated while no server takes it.
  static let patience = Duration.seconds(3)
  /// How long servers may refuse to go on with a stream of changes.
  static let eventPatience = Duration.seconds(30)
  /// The first and the longest pause between two rounds of all servers.
  static let pause: ClosedRange<Duration> = .milliseconds(100)...(.seconds(1))
}

/// Talks to whichever of the servers answers. Every call that it makes may be repeated: those that change
/// something carry an idempotency key or have the same effect twice.
final class APIClient: Sendable {
  private struct State {
    var client: GRPCClient?
    /// The index of the server that `client` is connected to, or that is tried next.
    var index = 0
  }

  private let addresses: [AddressArgument]
  private let logger = Logger(label: "rota", factory: { _ in SwiftLogNoOpLogHandler() })
  private let state = Mutex(State())

  /// Makes a client; it connects with the first call.
  init(addresses: [AddressArgument]) { self.addresses = addresses }

  /// Makes a call.
  ///
  /// - Throws: `CommandFailure` with the server's sentence, or with what kept every server from answering;
  ///   `RPCError` only where `body` of a stream wants to know more.
  func call<Request: WireMessage, Response: WireMessage>(
    _ path: String, _ request: Request, returning type: Response.Type = Response.self
  ) async throws -> Response {
    let bytes = ByteBuffer(bytes: request.wire())
    let answer = try await retrying { client in
      try await client.unary(path, bytes, timeout: ClientLimits.callTimeout)
    }
    return try Self.decode(answer)
  }

  /// Begins a call that answers with a stream. What ends the stream is thrown from `body` as it is.
  func stream<Request: WireMessage>(_ path: String, _ request: Request) async throws -> MessageStream {
    let bytes = ByteBuffer(bytes: request.wire())
    return try await retrying { client in try await client.serverStreaming(path, bytes) }
  }

  /// A message of an answer.
  static func decode<Message: WireMessage>(
    _ buffer: ByteBuffer, as type: Message.Type = Message.self
  ) throws -> Message {
    do {
      return try Message(wire: buffer.readableBytesView.withUnsafeBytes { Array($0) })
    } catch {
      throw CommandFailure("the server's answer is not understood: \(error); is it of another version?")
    }
  }

  /// Forgets the connection, so that the next call tries the next server.
  func moveOn() {
    state.withLock { state in
      state.client = nil
      state.index = (state.index + 1) % addresses.count
    }
  }

  // MARK: Trying in turn

  private func retrying<Result: Sendable>(
    _ body: (GRPCClient) async throws -> Result
  ) async throws -> Result {
    let deadline = ContinuousClock.now + ClientLimits.patience
    var pause = ClientLimits.pause.lowerBound
    while true {
      var failures: [String] = []
      for _ in addresses {
        do {
          return try await body(connection())
        } catch let error as RPCError where error.code == .unavailable {
          if !failures.contains(error.message) { failures.append(error.message) }
          moveOn()
        } catch let error as RPCError {
          throw CommandFailure(Self.sentence(error))
        }
      }
      guard ContinuousClock.now + pause < deadline else {
        throw CommandFailure("no server answers: " + failures.joined(separator: "; "))
      }
      try await Task.sleep(for: pause * Double.random(in: 0.8...1.2))
      pause = min(pause * 2, ClientLimits.pause.upperBound)
    }
  }

  private func connection() async throws -> GRPCClient {
    let (present, address) = state.withLock { ($0.client, addresses[$0.index]) }
    if let present, present.isConnected { return present }
    var configuration = GRPCClientConfiguration(host: address.host, port: address.port)
    configuration.connectTimeout = ClientLimits.connectTimeout
    configuration.userAgent = "rota/\(Version.text)"
    let client: GRPCClient
    do {
      client = try await GRPCClient.connect(
        configuration, group: MultiThreadedEventLoopGroup.singleton, logger: logger)
    } catch let error as RPCError {
      throw RPCError(.unavailable, "cannot connect to \(address): \(Self.cause(error, address))")
    }
    state.withLock { $0.client = client }
    return client
  }

  /// The reason alone, in few words.
  private static func cause(_ error: RPCError, _ address: AddressArgument) -> String {
    if error.message.contains("refused") { return "nothing listens there" }
    if error.message.contains("timed out") || error.message.contains("imeout") { return "no answer in time" }
    let known = "cannot connect to \(address.host):\(address.port): "
    return error.message.hasPrefix(known) ? String(error.message.dropFirst(known.count)) : error.message
  }

  /// What an error says to a user.
  static func sentence(_ error: RPCError) -> String {
    if error.code == .deadlineExceeded { return "the server did not answer in time" }
    return error.message.isEmpty ? "the server answered \(error.code)" : error.message
  }
}
