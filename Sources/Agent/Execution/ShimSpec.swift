import Glibc
import SchedulerCore

/// What a shim is told on its file descriptor 3: a 32-bit little-endian length, then records of a tag byte, a
/// 32-bit little-endian length and bytes (`Sources/rota-shim/README.md`).
struct ShimSpec {
  private(set) var records: [UInt8] = []

  private mutating func add(_ tag: UnicodeScalar, _ value: some Collection<UInt8>) {
    records.append(UInt8(ascii: tag))
    appendLength(value.count, to: &records)
    records.append(contentsOf: value)
  }

  private mutating func add(_ tag: UnicodeScalar, _ number: Int64) { add(tag, String(number).utf8) }

  /// Describes an assignment's task. A script has to be in its file before the shim starts.
  ///
  /// - Throws: `AgentError` when something cannot be passed to a program.
  init(
    _ assignment: Assignment, argv: [String], folder: AttemptFolder, agentID: String, logBytes: Int64,
    confinement: Confinement = Confinement()
  ) throws(AgentError) {
    let spec = assignment.spec
    for argument in argv { add("a", argument.utf8) }
    let environment = try TaskEnvironment.entries(
      assignment, folder: folder, agentID: agentID, account: confinement.account)
    for entry in environment { add("e", entry.utf8) }
    add("d", (spec.workingDirectory ?? folder.work).utf8)
    add("o", folder.log(.stdout).utf8)
    add("r", folder.log(.stderr).utf8)
    add("l", logBytes)
    add("n", 1)
    add("t", max(0, spec.timeoutMillis ?? 0))
    add("g", max(0, spec.killGraceMillis))
    add("x", folder.result.utf8)
    add("c", folder.socket.utf8)
    add(confinement)
  }

  private mutating func add(_ confinement: Confinement) {
    for folder in confinement.cgroups { add("C", folder.utf8) }
    if let bytes = confinement.addressSpaceBytes { add("M", bytes) }
    if let processes = confinement.processes { add("P", Int64(processes)) }
    if let nice = confinement.nice { add("N", Int64(nice)) }
    // Only root can, and needs to: any other agent refuses all users but its own.
    if let account = confinement.account, geteuid() == 0 {
      add("U", Int64(account.uid))
      add("G", account.groups.map(String.init).joined(separator: ",").utf8)
    }
  }

  /// The bytes to write.
  var framed: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(records.count + 4)
    appendLength(records.count, to: &bytes)
    bytes.append(contentsOf: records)
    return bytes
  }
}

private func appendLength(_ length: Int, to bytes: inout [UInt8]) {
  withUnsafeBytes(of: UInt32(length).littleEndian) { bytes.append(contentsOf: $0) }
}
