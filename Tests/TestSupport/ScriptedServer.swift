import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A TCP peer on 127.0.0.1 that does to each connection what the test's closure says, one thread per connection.
package final class ScriptedServer: Sendable {
  package let port: UInt16
  private let listener: Int32
  private let connections = Mutex<[Int32]>([])
  private let accepted = Atomic<Int>(0)

  package var url: String { "http://127.0.0.1:\(port)" }
  /// Connections accepted so far.
  package var connectionCount: Int { accepted.load(ordering: .sequentiallyConsistent) }

  package init(_ script: @escaping @Sendable (Connection) -> Void) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        bind(listener, address, length) == 0 && listen(listener, 64) == 0
          && getsockname(listener, address, &length) == 0
      }
    }
    guard bound else { throw SetupError() }
    self.listener = listener
    port = UInt16(bigEndian: address.sin_port)
    spawn { [self] in
      while true {
        let descriptor = accept(self.listener, nil, nil)
        if descriptor < 0 { return }
        self.accepted.wrappingAdd(1, ordering: .sequentiallyConsistent)
        let connection = Connection(descriptor: descriptor)
        self.connections.withLock { $0.append(descriptor) }
        spawn { script(connection) }
      }
    }
  }

  package func stop() {
    // Only shut down: threads may still be about to use the descriptors, whose numbers must not be reused.
    shutdown(listener, Int32(SHUT_RDWR))
    for descriptor in connections.withLock({ $0 }) { shutdown(descriptor, Int32(SHUT_RDWR)) }
  }

  package struct SetupError: Error {}

  package struct Connection: Sendable {
    package let descriptor: Int32

    /// Reads one request; nil when the peer has closed. Only `Content-Length` bodies.
    package func readRequest() -> (head: String, body: [UInt8])? {
      var bytes: [UInt8] = []
      while true {
        if let end = headEnd(bytes) {
          let head = String(decoding: bytes[..<end], as: UTF8.self)
          var length = 0
          for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix("content-length:") {
            length = Int(line.dropFirst("content-length:".count).drop { $0 == " " }) ?? 0
          }
          if bytes.count >= end + 4 + length {
            return (head, Array(bytes[(end + 4)..<(end + 4 + length)]))
          }
        }
        var chunk = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &chunk, chunk.count, 0)
        if count <= 0 { return nil }
        bytes += chunk[..<count]
      }
    }

    private func headEnd(_ bytes: [UInt8]) -> Int? {
      guard bytes.count >= 4 else { return nil }
      for index in 0...(bytes.count - 4)
      where bytes[index] == 13 && bytes[index + 1] == 10 && bytes[index + 2] == 13 && bytes[index + 3] == 10 {
        return index
      }
      return nil
    }

    @discardableResult
    package func write(_ text: String) -> Bool { write(Array(text.utf8)) }

    @discardableResult
    package func write(_ bytes: [UInt8]) -> Bool {
      var sent = 0
      while sent < bytes.count {
        let count = bytes.withUnsafeBytes { buffer in
          send(descriptor, buffer.baseAddress! + sent, buffer.count - sent, Int32(MSG_NOSIGNAL))
        }
        if count <= 0 { return false }
        sent += count
      }
      return true
    }

    package func respond(_ status: Int = 200, _ body: String = "", headers: String = "") {
      write("HTTP/1.1 \(status) X\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
    }

    /// Ends the connection. Its descriptor stays open until `stop()`, so that no other test gets its number.
    package func end() { shutdown(descriptor, Int32(SHUT_RDWR)) }
  }
}

/// Runs a blocking closure on its own thread, outside the cooperative pool.
package func spawn(_ body: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var thread = pthread_t()
  let argument = Unmanaged.passRetained(Box(body)).toOpaque()
  pthread_create(
    &thread, nil,
    { argument in
      Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
      return nil
    }, argument)
  pthread_detach(thread)
}
