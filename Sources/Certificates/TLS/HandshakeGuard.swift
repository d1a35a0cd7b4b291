import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// Sits behind the TLS handler and ends connections whose handshake takes too long, fails, or agrees on another
/// protocol than the one that is spoken here (RFC 7301; gRPC needs `h2`).
///
/// Confined to its channel's event loop.
final class HandshakeGuard: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let requiredProtocol: String?
  private let serverName: String?
  private let timeout: TimeAmount?
  private let logger: Logger
  private var timer: Scheduled<Void>?
  private var isComplete = false
  private var isRefused = false

  /// - Parameters:
  ///   - requiredProtocol: what ALPN must have agreed on; nil for anything.
  ///   - serverName: what the server's certificate has to list; nil where the TLS handler's own check will do.
  ///   - timeout: for the handshake; nil where somebody else looks after it.
  init(requiredProtocol: String?, serverName: String?, timeout: TimeAmount?, logger: Logger) {
    self.requiredProtocol = requiredProtocol
    self.serverName = serverName
    self.timeout = timeout
    self.logger = logger
  }

  func handlerAdded(context: ChannelHandlerContext) {
    guard let timeout else { return }
    let channel = context.channel
    let logger = logger
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) {
      Self.complain(logger, channel, "not complete in time")
      channel.close(promise: nil)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case TLSUserEvent.handshakeCompleted(let agreed) = event {
      timer?.cancel()
      isComplete = true
      if let reason = objection(to: agreed, context.channel) {
        isRefused = true
        Self.complain(logger, context.channel, reason)
        context.fireErrorCaught(CertificateError(.handshake, "TLS: \(reason)"))
        context.close(promise: nil)
        return
      }
    }
    context.fireUserInboundEventTriggered(event)
  }

  /// What a peer says that was refused reaches nobody; ending TLS in order takes a moment.
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if !isRefused { context.fireChannelRead(data) }
  }

  /// Why the connection cannot be used; nil when it can.
  private func objection(to agreed: String?, _ channel: any Channel) -> String? {
    if let requiredProtocol, agreed != requiredProtocol {
      let found = agreed.map { "'\($0)'" } ?? "nothing"
      return "the peer does not speak '\(requiredProtocol)' (ALPN agreed on \(found))"
    }
    // The TLS handler is content with a certificate that lists the connection's address instead of the name.
    guard let serverName else { return nil }
    do {
      let certificate = try TLSCredentials.peerCertificate(of: channel) ?? []
      let names = try ServerNames(certificate: certificate)
      return names.cover(serverName)
        ? nil : "the server's certificate is not for '\(serverName)' but for \(names.description)"
    } catch {
      return "the server's certificate cannot be read: \(error)"
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard error is NIOSSLError || error is NIOSSLExtraError || error is BoringSSLError else {
      return context.fireErrorCaught(error)
    }
    timer?.cancel()
    let text = TLSFailure.sentence(error)
    if !isComplete {
      // Whoever only looks whether the port is open is nothing to write about.
      let isProbe = error as? NIOSSLError == .handshakeFailed(.sslError([.eofDuringHandshake]))
      Self.complain(logger, context.channel, text, isProbe ? .debug : .notice)
    }
    context.fireErrorCaught(CertificateError(.handshake, "TLS: \(text)"))
    context.close(promise: nil)
  }

  private static func complain(
    _ logger: Logger, _ channel: any Channel, _ reason: String, _ level: Logger.Level = .notice
  ) {
    let address = channel.remoteAddress.map { "\($0.ipAddress ?? "unknown"):\($0.port ?? 0)" } ?? "unknown"
    logger.log(
      level: level, "a TLS handshake failed",
      metadata: ["peer": "\(address)", "reason": "\(reason)"])
  }
}
