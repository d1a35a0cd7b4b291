import ArgumentParser
import Glibc

/// A command whose long flags may be set by environment variables: `--lease-ttl` by `ROTA_LEASE_TTL`.
///
/// The client commands take only what says how to reach the cluster: a task has variables such as
/// `ROTA_JOB_ID` set by its agent, and a `rota submit` within it must not take them for its own flags.
protocol EnvironmentBacked: ParsableCommand {
  /// The flags, without their dashes.
  static var environmentFlags: [EnvironmentFlag] { get }
}

/// A flag that an environment variable may stand for.
struct EnvironmentFlag: ExpressibleByStringLiteral {
  enum Kind {
    case value
    /// A flag that may be given several times; the variable has commas.
    case list
    /// A flag without a value; the variable is `true` or `1`, or `false` or `0`.
    case flag
  }

  let name: String
  let kind: Kind

  init(stringLiteral name: String) {
    self.init(name, .value)
  }

  init(_ name: String, _ kind: Kind) {
    self.name = name
    self.kind = kind
  }

  /// The variable's name.
  var variable: String {
    "ROTA_" + name.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
  }
}

enum EnvironmentFlags {
  /// Puts the flags that the environment sets behind the subcommands' names, where flags that were given
  /// come after them and win. The parser then checks both alike.
  static func apply(
    to arguments: [String], environment: (String) -> String? = EnvironmentFlags.variable
  ) throws -> [String] {
    let (command, depth) = command(of: arguments)
    guard let command else { return arguments }
    let given = Set(
      arguments.prefix { $0 != "--" }.map { $0.split(separator: "=").first.map(String.init) ?? $0 })
    var added: [String] = []
    for flag in command.environmentFlags where !given.contains("--" + flag.name) {
      guard let value = environment(flag.variable), !value.isEmpty else { continue }
      switch flag.kind {
      case .value: added.append("--\(flag.name)=\(value)")
      case .list: added += value.split(separator: ",").map { "--\(flag.name)=\($0)" }
      case .flag:
        if try isSet(value, flag) { added.append("--\(flag.name)") }
      }
    }
    return arguments.prefix(depth) + added + arguments.dropFirst(depth)
  }

  private static func isSet(_ value: String, _ flag: EnvironmentFlag) throws -> Bool {
    switch value.lowercased() {
    case "true", "1": return true
    case "false", "0": return false
    default: throw CommandFailure("\(flag.variable) has to be true or false, is '\(value)'")
    }
  }

  /// The command that the first words name, and how many words that are: `calendar list` are two.
  private static func command(
    of arguments: [String]
  ) -> (command: (any EnvironmentBacked.Type)?, depth: Int) {
    var command: any ParsableCommand.Type = Rota.self
    var depth = 0
    while depth < arguments.count,
      let next = command.configuration.subcommands.first(where: { $0._commandName == arguments[depth] })
    {
      command = next
      depth += 1
    }
    if depth > 0, let implied = command.configuration.defaultSubcommand { command = implied }
    return (command as? any EnvironmentBacked.Type, depth)
  }

  /// A variable of this process.
  static func variable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}
