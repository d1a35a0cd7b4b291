/// Why the agent could not do something.
public struct AgentError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure; extensible, so switch with a default.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    /// Stable name, usable as a metric label.
    public let description: String
    /// Makes a code by name.
    public init(_ name: String) { description = name }

    /// The configuration makes no sense.
    public static let configuration = Code("configuration")
    /// Another process uses the data folder.
    public static let dataFolderInUse = Code("data_folder_in_use")
    /// A file or folder could not be read or written.
    public static let file = Code("file")
    /// A process of an earlier life of the agent does not die.
    public static let strayProcess = Code("stray_process")
    /// The agent's key in etcd is not this agent's.
    public static let incarnationLost = Code("incarnation_lost")
    /// The session with the leader broke, or the leader said something senseless.
    public static let session = Code("session")
    /// The operating system refused something else.
    public static let system = Code("system")
  }

  /// What kind of failure.
  public let code: Code
  /// What failed, what was expected, and what to do.
  public let message: String
  /// The error beneath.
  public let underlying: (any Error)?

  /// Makes an error.
  public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.underlying = underlying
  }

  /// Code and message, and the error beneath.
  public var description: String {
    underlying.map { "\(code): \(message): \($0)" } ?? "\(code): \(message)"
  }
}
