import CCurl

/// One request on its way through the engine.
///
/// `@unchecked Sendable`: the `let`s are immutable; `continuation` is written before the transfer enters the
/// engine's locked inbox and read after it left it; every other `var` is touched by the engine's thread only
/// (libcurl calls the callbacks on the thread that drives the multi handle).
final class Transfer: @unchecked Sendable {
  enum Phase { case submitted, queued, running, finished }

  let request: HTTPRequest
  let stream: StreamBuffer?
  let hostKey: String
  let submitted = ContinuousClock.now
  var continuation: UnsafeContinuation<Result<HTTPResponse, CurlError>, Never>?

  var phase = Phase.submitted
  var easy: EasyHandle?
  var lastActivity = ContinuousClock.now
  /// Set when libcurl is about to write the request: before that, nothing was sent.
  private(set) var mayHaveBeenSent = false
  private var awaitsAnswer = false
  private var status = 0
  private var headers: [(String, String)] = []
  private var headerBytes = 0
  private var body: [UInt8] = []
  /// What a callback found wrong; it wins over libcurl's own code, which only says "callback aborted".
  private var refusal: CurlError?
  private var isPaused = false

  init(request: HTTPRequest, stream: StreamBuffer?) {
    self.request = request
    self.stream = stream
    hostKey = URLHost.key(of: request.url)
  }

  /// When a request (not a stream) must be over.
  var deadline: ContinuousClock.Instant? {
    stream == nil ? submitted.advanced(by: request.timeout) : nil
  }

  /// When a stream that hears nothing is given up; nil while its reader is the slow one.
  var idleDeadline: ContinuousClock.Instant? {
    guard let options = stream?.options, !isPaused else { return nil }
    let limit = status == 0 ? options.responseTimeout ?? options.idleTimeout : options.idleTimeout
    return limit.map { lastActivity.advanced(by: $0) }
  }

  var certainty: CurlError.Certainty { mayHaveBeenSent ? .maybeSent : .notSent }

  // MARK: Results

  /// Hands the outcome over. The engine calls it once per transfer.
  func complete(_ outcome: Result<Void, CurlError>) {
    phase = .finished
    deliver(outcome)
  }

  /// The caller's half of ``complete(_:)``, for a transfer that the engine never took.
  func deliver(_ outcome: Result<Void, CurlError>) {
    if let stream {
      stream.finish(outcome)
      return
    }
    let response = HTTPResponse(status: status, headers: headers, body: body)
    body = []
    continuation?.resume(returning: outcome.map { response })
    continuation = nil
  }

  /// Translates libcurl's result.
  func outcome(of code: CURLcode, detail: String) -> Result<Void, CurlError> {
    if let refusal { return .failure(refusal) }
    if code == CURLE_OK { return .success(()) }
    let text = detail.isEmpty ? String(cString: curl_easy_strerror(code)) : detail
    return .failure(error(Self.errorCode(for: code), text, curlCode: Int32(bitPattern: code.rawValue)))
  }

  func error(_ code: CurlError.Code, _ text: String, curlCode: Int32 = 0) -> CurlError {
    let host = URLHost.of(request.url)
    return CurlError(
      code: code, message: "\(request.method) to \(host) failed: \(text)", certainty: certainty,
      curlCode: curlCode)
  }

  /// Safe from any thread: it must not read the engine's fields, so it assumes the worst.
  var cancelledError: CurlError {
    CurlError(
      code: .cancelled, message: "\(request.method) to \(URLHost.of(request.url)) was cancelled",
      certainty: .maybeSent)
  }

  private static func errorCode(for code: CURLcode) -> CurlError.Code {
    switch code {
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: .invalidRequest
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .resolve
    case CURLE_COULDNT_CONNECT: .connect
    case CURLE_OPERATION_TIMEDOUT: .timeout
    case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM,
      CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR:
      .tls
    case CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING: .connectionLost
    case CURLE_PARTIAL_FILE, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING,
      CURLE_TOO_MANY_REDIRECTS:
      .badResponse
    default: .other
    }
  }

  // MARK: Callbacks, on the engine's thread

  /// libcurl is about to send the request on a connection. False forbids it.
  func willSend() -> Bool {
    if awaitsAnswer {
      refusal = error(
        .connectionLost, "the reused connection died before an answer; the request is not sent twice")
      return false
    }
    mayHaveBeenSent = true
    awaitsAnswer = true
    return true
  }

  /// One header line, its end of line included; the empty line ends the head. False aborts.
  func receive(headerLine line: UnsafeRawBufferPointer) -> Bool {
    awaitsAnswer = false
    lastActivity = .now
    headerBytes += line.count
    guard headerBytes <= CurlLimits.maxHeaderBytes else {
      refusal = error(
        .responseTooLarge, "the response headers exceed \(CurlLimits.maxHeaderBytes) bytes")
      return false
    }
    let text = String(decoding: line, as: UTF8.self).trimmed
    if text.hasPrefix("HTTP/"), let code = Self.statusCode(inLine: text) {
      status = code  // A new response: after 1xx, or after a followed redirect.
      headers.removeAll(keepingCapacity: true)
      headerBytes = line.count
    } else if let colon = text.firstIndex(of: ":") {
      let value = String(text[text.index(after: colon)...]).trimmed
      headers.append((String(text[..<colon]), value))
      reserveBody(name: headers[headers.count - 1].0, value: value)
    } else if text.isEmpty, let stream, status >= 200 {
      stream.receive(head: HTTPStream.Head(status: status, headers: headers))
    }
    return true
  }

  /// A piece of the body.
  func receive(body chunk: UnsafeRawBufferPointer) -> BodyVerdict {
    lastActivity = .now
    if let stream {
      isPaused = !stream.receive(chunk: chunk)
      return isPaused ? .pause : .accepted
    }
    guard body.count + chunk.count <= request.maxResponseBytes else {
      refusal = error(
        .responseTooLarge, "the response body exceeds \(request.maxResponseBytes) bytes")
      return .abort
    }
    body.append(contentsOf: chunk)
    return .accepted
  }

  enum BodyVerdict { case accepted, pause, abort }

  func didResume() {
    isPaused = false
    lastActivity = .now
  }

  private func reserveBody(name: String, value: String) {
    guard stream == nil, name.lowercased() == "content-length", let length = Int(value) else { return }
    body.reserveCapacity(max(0, min(length, request.maxResponseBytes)))
  }

  private static func statusCode(inLine line: String) -> Int? {
    let parts = line.split(separator: " ", maxSplits: 2)
    return parts.count >= 2 ? Int(parts[1]) : nil
  }
}

extension String {
  /// Without leading and trailing spaces, tabs and line ends.
  fileprivate var trimmed: String {
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D || $0 == 0x0A }
    guard let first = utf8.firstIndex(where: { !isSpace($0) }),
      let last = utf8.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(self[first...last])
  }
}
