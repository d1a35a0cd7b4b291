import ArgumentParser
import Glibc
import Logging

/// How a long-running command logs: text for people on a terminal, one JSON object per line otherwise.
struct LogOptions: ParsableArguments {
  @Option(
    help:
      "Least severe level that is logged: trace, debug, info, notice, warning or error. (env: ROTA_LOG_LEVEL)"
  )
  var logLevel: LogLevelArgument = .info

  @Option(help: "text or json; text on a terminal, json otherwise. (env: ROTA_LOG_FORMAT)")
  var logFormat: LogFormat?

  static let environmentFlags: [EnvironmentFlag] = ["log-level", "log-format"]

  /// Makes the logger of the process, and the one that libraries get.
  func makeLogger(_ label: String) -> Logger {
    let format = logFormat ?? (Terminal.errorIsTerminal ? .text : .json)
    let level = logLevel.level
    let factory: @Sendable (String) -> any LogHandler = { label in
      switch format {
      case .text: TextLogHandler(label: label, logLevel: level)
      case .json: JSONLogHandler(label: label, logLevel: level)
      }
    }
    LoggingSystem.bootstrap(factory)
    return Logger(label: label, factory: factory)
  }
}

/// The looks of a log.
enum LogFormat: String, ExpressibleByArgument, CaseIterable {
  case text, json
}

/// A level, by its name.
enum LogLevelArgument: String, ExpressibleByArgument, CaseIterable {
  case trace, debug, info, notice, warning, error

  var level: Logger.Level {
    switch self {
    case .trace: .trace
    case .debug: .debug
    case .info: .info
    case .notice: .notice
    case .warning: .warning
    case .error: .error
    }
  }
}

/// What both handlers share: one write per line, so that lines of several threads never mix.
enum LogLine {
  static func write(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { buffer in
      // Nobody can be told that the log cannot be written.
      _ = Glibc.write(STDERR_FILENO, buffer.baseAddress, buffer.count)
    }
  }

  /// Metadata of the handler, the provider and the message, the more specific winning, by name.
  static func facts(
    _ own: Logger.Metadata, _ provider: Logger.MetadataProvider?, _ message: Logger.Metadata?
  ) -> [(key: String, value: String)] {
    var all = own
    if let provided = provider?.get() { all.merge(provided) { $1 } }
    if let message { all.merge(message) { $1 } }
    return all.map { ($0.key, "\($0.value)") }.sorted { $0.key < $1.key }
  }
}
