import JSON
import Logging
import SchedulerCore

/// One JSON object per line, for machines: `time`, `level`, `logger`, `message`, then the facts.
struct JSONLogHandler: LogHandler {
  let label: String
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  /// The members that a line has anyway; a fact of the same name gets an underscore.
  private static let reserved: Set<String> = ["time", "level", "logger", "message"]

  init(label: String, logLevel: Logger.Level) {
    self.label = label
    self.logLevel = logLevel
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var json = JSONWriter(reserving: 256)
    json.beginObject()
    json.member("time", WallClock.now().rfc3339)
    json.member("level", event.level.rawValue)
    json.member("logger", label)
    json.member("message", "\(event.message)")
    for (key, value) in LogLine.facts(metadata, metadataProvider, event.metadata) {
      json.member(Self.reserved.contains(key) ? key + "_" : key, value)
    }
    json.endObject()
    LogLine.write(json.bytes + [UInt8(ascii: "\n")])
  }
}
