import Certificates
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
  /// How long a command that writes much is held back while a server takes no more for the moment.
  static let heldBack = Duration.seconds(300)
  /// How long such a command waits where a server asks for it: at least, and at most, at once.
  static let heldBackPause: ClosedRange<Duration> = .milliseconds(50)...(.seconds(10))
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
  private let tls: TLSCredentials?
  /// A command says what it has to say itself.
  static let logger = Logger(label: "rota", factory: { _ in SwiftLogNoOpLogHandler() })
  private let state = Mutex(State())

  /// Makes a client; it connects with the first call.
  /// - Parameter tls: nil to speak without TLS.
  init(addresses: [AddressArgument], tls: TLSCredentials?) {
    self.addresses = addresses
    self.tls = tls
  }

  /// Makes a call.
  ///
  /// - Throws: `CommandFailure` with the server's sentence, or with what kept every server from answering;
  ///   `RPCError` only where `body` of a stream wants to know more.
  func call<Request: WireMessage, Response: WireMessage>(
    _ path: String, _ request: Request, returning type: Response.Type = Response.self
  ) async throws -> Response {
    let bytes = ByteBuffer(bytes: request.wire())
    let answer = try await retrying { client in
      try await client.unary(path, bytes, metadata: Self.user, timeout: ClientLimits.callTimeout)
    }
    return try Self.decode(answer)
  }

  /// Makes a call that asks for one thing; nil where a server says that there is none.
  func find<Request: WireMessage, Response: WireMessage>(
    _ path: String, _ request: Request, returning type: Response.Type = Response.self
  ) async throws -> Response? {
    do {
      return try await call(path, request, returning: type)
    } catch let failure as CommandFailure where failure.status == .notFound {
      return nil
    }
  }

  /// Begins a call that answers with a stream. What ends the stream is thrown from `body` as it is.
  func stream<Request: WireMessage>(_ path: String, _ request: Request) async throws -> MessageStream {
    let bytes = ByteBuffer(bytes: request.wire())
    return try await retrying { client in try await client.serverStreaming(path, bytes) }
  }

  /// Who asks, for what is recorded of it; a certificate says it instead.
  private static let user: Metadata = {
    let names = ["USER", "LOGNAME"].compactMap(EnvironmentFlags.variable)
    guard let name = names.first(where: { !$0.isEmpty }), name.utf8.allSatisfy({ (0x21...0x7E).contains($0) })
    else { return [:] }
    return ["rota-user-id": name]
  }()

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
  ///
  /// - Parameter index: The server that failed; of no effect when another call has moved on from it already.
  func moveOn(from index: Int? = nil) {
    state.withLock { state in
      if let index, index != state.index { return }
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
        let (client, index) = state.withLock { ($0.client, $0.index) }
        do {
          return try await body(connection(client, index))
        } catch let error as RPCError where error.code == .unavailable {
          failures.append("\(addresses[index]): \(error.message)")
          moveOn(from: index)
        } catch let error as RPCError {
          throw CommandFailure(error)
        }
      }
      guard ContinuousClock.now + pause < deadline else {
        throw CommandFailure("no server can do it now; tried " + failures.joined(separator: "; "))
      }
      try await Task.sleep(for: pause * Double.random(in: 0.8...1.2))
      pause = min(pause * 2, ClientLimits.pause.upperBound)
    }
  }

  private func connection(_ present: GRPCClient?, _ index: Int) async throws -> GRPCClient {
    if let present, present.isConnected { return present }
    let address = addresses[index]
    var configuration = GRPCClientConfiguration(host: address.host, port: address.port)
    configuration.connectTimeout = ClientLimits.connectTimeout
    configuration.userAgent = "rota/\(Version.text)"
    if let tls {
      configuration.scheme = "https"
      configuration.prepareChannel = { try tls.secureClient($0, host: address.host) }
    }
    let client: GRPCClient
    do {
      client = try await GRPCClient.connect(
        configuration, group: MultiThreadedEventLoopGroup.singleton, logger: Self.logger)
    } catch let error as RPCError {
      throw RPCError(.unavailable, Self.cause(error, address))
    }
    state.withLock { state in
      if state.index == index { state.client = client }
    }
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
