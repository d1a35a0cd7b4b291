import CCurl

/// A pooled libcurl easy handle with the memory that libcurl borrows during a transfer.
///
/// Owned and used by the engine's thread only, which is why it is not Sendable.
final class EasyHandle {
  let pointer: UnsafeMutableRawPointer
  private let errorBuffer = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))
  private var headerList: UnsafeMutablePointer<curl_slist>?
  private var connectTo: UnsafeMutablePointer<curl_slist>?

  init?() {
    guard let pointer = curl_easy_init() else {
      errorBuffer.deallocate()
      return nil
    }
    self.pointer = pointer
    errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
  }

  deinit {
    curl_easy_cleanup(pointer)
    curl_slist_free_all(headerList)
    curl_slist_free_all(connectTo)
    errorBuffer.deallocate()
  }

  /// libcurl's own words about the last failure; empty if it had none.
  var errorText: String { String(cString: errorBuffer) }

  /// Makes the handle ready for another transfer. The connection cache belongs to the multi handle and stays.
  func reset() {
    curl_easy_reset(pointer)
    curl_slist_free_all(headerList)
    curl_slist_free_all(connectTo)
    headerList = nil
    connectTo = nil
    errorBuffer[0] = 0
  }

  // MARK: Options

  /// Sets every option of the transfer; the first that libcurl refuses is returned.
  func configure(for transfer: Transfer, remaining: Duration?) -> CURLcode {
    var setter = OptionSetter(pointer)
    setCallbacks(transfer, &setter)
    setConnection(transfer.request, remaining: remaining, &setter)
    setMethod(transfer.request, &setter)
    setHeaders(transfer.request, &setter)
    if let user = transfer.request.userPassword {
      setter.long(CURLOPT_HTTPAUTH, rota_curl_auth_basic)
      setter.string(CURLOPT_USERNAME, user.user)
      setter.string(CURLOPT_PASSWORD, user.password)
    }
    setTarget(transfer.request, &setter)
    return setter.code
  }

  private func setCallbacks(_ transfer: Transfer, _ setter: inout OptionSetter) {
    // Unretained: the loop keeps the transfer alive until it has removed this handle from the multi handle.
    let user = Unmanaged.passUnretained(transfer).toOpaque()
    setter.check(rota_easy_set_write(pointer, onBody, user))
    setter.check(rota_easy_set_header(pointer, onHeader, user))
    setter.check(rota_easy_set_prereq(pointer, onPrerequisite, user))
    setter.pointer(CURLOPT_ERRORBUFFER, errorBuffer)
  }

  private func setConnection(_ request: HTTPRequest, remaining: Duration?, _ setter: inout OptionSetter) {
    setter.long(CURLOPT_NOSIGNAL, 1)
    setter.long(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
    setter.long(CURLOPT_TCP_NODELAY, 1)
    setter.long(CURLOPT_TCP_KEEPALIVE, 1)
    setter.long(CURLOPT_TCP_KEEPIDLE, CurlLimits.keepAliveIdleSeconds)
    setter.long(CURLOPT_TCP_KEEPINTVL, CurlLimits.keepAliveIntervalSeconds)
    setter.long(CURLOPT_BUFFERSIZE, CurlLimits.receiveBufferBytes)
    setter.string(CURLOPT_PROTOCOLS_STR, "http,https")
    setter.string(CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
    setter.string(CURLOPT_PROXY, "")  // Never what the environment happens to say.
    setter.long(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request.connectTimeout))
    if let remaining { setter.long(CURLOPT_TIMEOUT_MS, milliseconds(remaining)) }
    setter.long(CURLOPT_FOLLOWLOCATION, request.followRedirects ? 1 : 0)
    setter.long(CURLOPT_MAXREDIRS, CurlLimits.maxRedirects)
    guard let tls = request.tls else { return }
    if let file = tls.caFile { setter.string(CURLOPT_CAINFO, file) }
    if let file = tls.certificateFile { setter.string(CURLOPT_SSLCERT, file) }
    if let file = tls.privateKeyFile { setter.string(CURLOPT_SSLKEY, file) }
    setter.long(CURLOPT_SSL_VERIFYPEER, tls.verifyPeer ? 1 : 0)
    setter.long(CURLOPT_SSL_VERIFYHOST, tls.verifyPeer ? 2 : 0)
  }

  private func setMethod(_ request: HTTPRequest, _ setter: inout OptionSetter) {
    let carriesBody = !request.body.isEmpty || ["POST", "PUT", "PATCH"].contains(request.method)
    if carriesBody {
      setter.long(CURLOPT_POST, 1)
      request.body.withUnsafeBytes { bytes in
        setter.check(rota_easy_set_body(pointer, bytes.baseAddress, Int64(bytes.count)))
      }
    }
    switch request.method {
    case "GET" where !carriesBody: setter.long(CURLOPT_HTTPGET, 1)
    case "HEAD" where !carriesBody: setter.long(CURLOPT_NOBODY, 1)
    case "POST": break
    default: setter.string(CURLOPT_CUSTOMREQUEST, request.method)
    }
  }

  private func setHeaders(_ request: HTTPRequest, _ setter: inout OptionSetter) {
    var hasContentType = false
    append("Expect:", &setter)  // No pause for a 100 Continue before larger bodies.
    for (name, value) in request.headers {
      if name.lowercased() == "content-type" { hasContentType = true }
      append(value.isEmpty ? "\(name);" : "\(name): \(value)", &setter)  // ";" is libcurl's empty value.
    }
    if !hasContentType { append("Content-Type:", &setter) }  // Not libcurl's form-urlencoded.
    setter.check(rota_easy_set_headers(pointer, headerList))
  }

  private func append(_ line: String, _ setter: inout OptionSetter) {
    guard let longer = curl_slist_append(headerList, line) else {
      setter.check(CURLE_OUT_OF_MEMORY)
      return
    }
    headerList = longer
  }

  /// The URL; with another TLS name, that name stands in the URL and libcurl connects to the real host.
  private func setTarget(_ request: HTTPRequest, _ setter: inout OptionSetter) {
    guard let name = request.tls?.serverName, request.url.lowercased().hasPrefix("https://") else {
      setter.string(CURLOPT_URL, request.url)
      return
    }
    let authority = URLHost.of(request.url)
    let (host, port) = splitPort(authority)
    let afterScheme = request.url.dropFirst("https://".count)
    let path = afterScheme.drop { $0 != "/" && $0 != "?" && $0 != "#" }
    setter.string(CURLOPT_URL, "https://\(name):\(port)\(path)")
    guard let list = curl_slist_append(nil, "\(name):\(port):\(host):\(port)") else {
      setter.check(CURLE_OUT_OF_MEMORY)
      return
    }
    connectTo = list
    setter.pointer(CURLOPT_CONNECT_TO, list)
  }

  private func splitPort(_ authority: String) -> (host: String, port: String) {
    guard let colon = authority.lastIndex(of: ":"), !authority.hasSuffix("]") else {
      return (authority, "443")
    }
    return (String(authority[..<colon]), String(authority[authority.index(after: colon)...]))
  }
}

/// Sets options until one fails and keeps that one's code.
private struct OptionSetter {
  private let easy: UnsafeMutableRawPointer
  private(set) var code = CURLE_OK

  init(_ easy: UnsafeMutableRawPointer) { self.easy = easy }

  mutating func check(_ result: CURLcode) {
    if code == CURLE_OK { code = result }
  }
  mutating func long(_ option: CURLoption, _ value: Int) { check(rota_easy_set_long(easy, option, value)) }
  mutating func string(_ option: CURLoption, _ value: String) {
    check(rota_easy_set_string(easy, option, value))
  }
  mutating func pointer(_ option: CURLoption, _ value: UnsafeMutableRawPointer) {
    check(rota_easy_set_pointer(easy, option, value))
  }
}

/// Rounded up, at least 1: 0 means "no limit" to libcurl.
func milliseconds(_ duration: Duration) -> Int {
  let (seconds, attoseconds) = duration.components
  let limit = Int64(Int32.max)
  if seconds >= limit / 1000 { return Int(limit) }
  let millis = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
  return Int(max(1, millis))
}

// MARK: - C callbacks

private let onBody: rota_curl_data_callback = { bytes, size, count, user in
  guard let user else { return 0 }
  let transfer = Unmanaged<Transfer>.fromOpaque(user).takeUnretainedValue()
  let chunk = UnsafeRawBufferPointer(start: bytes, count: size * count)
  switch transfer.receive(body: chunk) {
  case .accepted: return chunk.count
  case .pause: return rota_curl_writefunc_pause
  case .abort: return chunk.count == 0 ? 1 : 0
  }
}

private let onHeader: rota_curl_data_callback = { bytes, size, count, user in
  guard let user else { return 0 }
  let transfer = Unmanaged<Transfer>.fromOpaque(user).takeUnretainedValue()
  let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
  return transfer.receive(headerLine: line) ? line.count : 0
}

private let onPrerequisite: rota_curl_prereq_callback = { user, _, _, _, _ in
  guard let user else { return CURL_PREREQFUNC_ABORT }
  let transfer = Unmanaged<Transfer>.fromOpaque(user).takeUnretainedValue()
  return transfer.willSend() ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT
}
