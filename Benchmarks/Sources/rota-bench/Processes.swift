import Foundation
import Glibc

/// A process that the benchmark started, and what it has used.
final class Child {
  let name: String
  /// Whether its end was wanted.
  private(set) var wasKilled = false
  private let process = Process()

  init(_ name: String, _ executable: String, _ arguments: [String], log: URL) throws {
    self.name = name
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    guard FileManager.default.createFile(atPath: log.path, contents: nil) else {
      throw BenchError("\(log.path) cannot be written")
    }
    let output = try FileHandle(forWritingTo: log)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = output
    try process.run()
  }

  var isRunning: Bool { process.isRunning }

  /// CPU seconds and the peak resident set so far.
  func usage() -> Usage {
    Usage(cpuSeconds: cpuSeconds(), peakRSSMiB: peakRSSMiB())
  }

  /// utime + stime, and those of children that were waited for, from /proc/<pid>/stat (proc(5)).
  private func cpuSeconds() -> Double {
    let path = "/proc/\(process.processIdentifier)/stat"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8),
      let end = text.lastIndex(of: ")")
    else { return 0 }
    let fields = text[text.index(after: end)...].split(separator: " ")
    let ticks = [11, 12, 13, 14].compactMap { fields.indices.contains($0) ? Double(fields[$0]) : nil }
    return ticks.reduce(0, +) / Double(sysconf(Int32(_SC_CLK_TCK)))
  }

  /// The resident set now, MiB.
  func residentMiB() -> Double { statusMiB("VmRSS:") }

  private func peakRSSMiB() -> Double { statusMiB("VmHWM:") }

  /// A line of /proc/<pid>/status (proc(5)) that is in KiB; 0 for a process that has ended.
  private func statusMiB(_ name: String) -> Double {
    let path = "/proc/\(process.processIdentifier)/status"
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return 0 }
    let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
    let kib = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) }
    return (kib ?? 0) / 1_024
  }

  /// Waits until it has ended by itself.
  /// - Throws: `BenchError` when it takes longer, which ends it, or fails.
  func wait(seconds: Double) throws {
    let end = Date(timeIntervalSinceNow: seconds)
    while process.isRunning && Date() < end { usleep(20_000) }
    guard !process.isRunning else {
      stop()
      throw BenchError("\(name) has not ended within \(seconds) s")
    }
    guard process.terminationStatus == 0 else {
      throw BenchError("\(name) has failed with status \(process.terminationStatus)")
    }
  }

  /// Ends it as a failing machine would: with SIGKILL.
  func killNow() {
    wasKilled = true
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  /// Ends it in order, or, after ten seconds, at once.
  func stop() {
    guard process.isRunning else { return }
    wasKilled = true
    process.terminate()
    let patience = Date(timeIntervalSinceNow: 10)
    while process.isRunning && Date() < patience { usleep(20_000) }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
  }
}

/// What a process has used.
struct Usage {
  var cpuSeconds: Double
  var peakRSSMiB: Double
}

/// The path of a program.
func tool(_ name: String) throws -> String {
  let folders = ProcessInfo.processInfo.environment["PATH"]?.split(separator: ":").map(String.init) ?? []
  guard let path = folders.map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) else {
    throw BenchError("\(name) is not in PATH; run scripts/bootstrap bench")
  }
  return path
}

/// Whether somebody listens on a port of the loopback.
func canConnect(to port: Int) -> Bool {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { return false }
  defer { close(descriptor) }
  return withLoopback(port: port) { connect(descriptor, $0, $1) == 0 }
}

private func withLoopback<Value>(
  port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
) -> Value {
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = UInt16(port).bigEndian
  address.sin_addr.s_addr = inet_addr("127.0.0.1")
  let length = socklen_t(MemoryLayout<sockaddr_in>.size)
  return withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
  }
}

/// A TCP port of the loopback that nobody uses at the moment.
func freePort() throws -> Int {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { throw BenchError("socket: errno \(errno)") }
  defer { close(descriptor) }
  guard withLoopback(port: 0, { bind(descriptor, $0, $1) == 0 }) else {
    throw BenchError("bind: errno \(errno)")
  }
  var address = sockaddr_in()
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let isNamed = withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) == 0 }
  }
  guard isNamed else { throw BenchError("getsockname: errno \(errno)") }
  return Int(UInt16(bigEndian: address.sin_port))
}

/// Why the benchmark cannot go on.
struct BenchError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
