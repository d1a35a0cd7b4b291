import Glibc
import Logging
import SchedulerCore

/// `21:56:09.123 INFO  the server is up  id=s1 http=127.0.0.1:8080`, for people.
struct TextLogHandler: LogHandler {
  let label: String
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  init(label: String, logLevel: Logger.Level) {
    self.label = label
    self.logLevel = logLevel
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var line = "\(Self.clock()) \(Self.name(event.level)) \(Terminal.sanitised("\(event.message)"))"
    let facts = LogLine.facts(metadata, metadataProvider, event.metadata)
    if !facts.isEmpty { line += " " }
    for (key, value) in facts { line += " \(key)=\(Self.quoted(value))" }
    LogLine.write(Array((line + "\n").utf8))
  }

  private static func clock() -> String {
    let now = WallClock.now()
    var seconds = time_t(now.milliseconds / 1_000)
    var local = tm()
    localtime_r(&seconds, &local)
    return
      "\(two(local.tm_hour)):\(two(local.tm_min)):\(two(local.tm_sec)).\(three(now.milliseconds % 1_000))"
  }

  private static func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }

  private static func three(_ number: Int64) -> String { String(String(1_000 + number).dropFirst()) }

  private static func name(_ level: Logger.Level) -> String {
    switch level {
    case .trace: "TRACE"
    case .debug: "DEBUG"
    case .info: "INFO "
    case .notice: "NOTE "
    case .warning: "WARN "
    case .error: "ERROR"
    case .critical: "CRIT "
    }
  }

  /// A value that can be told from what follows it.
  private static func quoted(_ value: String) -> String {
    let clean = Terminal.sanitised(value)
    guard clean.isEmpty || clean.contains(where: { $0 == " " || $0 == "\"" || $0 == "=" }) else {
      return clean
    }
    return "\"" + clean.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\\"")
      + "\""
  }
}
