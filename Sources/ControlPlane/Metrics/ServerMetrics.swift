import Synchronization

/// A number that only rises.
final class Counter: Sendable {
  private let value = Atomic<Int>(0)
  func add(_ amount: Int) { value.wrappingAdd(amount, ordering: .relaxed) }
  var current: Int { value.load(ordering: .relaxed) }
}

/// A number that is set.
final class Gauge: Sendable {
  private let value = Atomic<Int64>(0)
  func set(_ new: Int64) { value.store(new, ordering: .relaxed) }
  var current: Int64 { value.load(ordering: .relaxed) }
}

/// What a server counts.
final class ServerMetrics: Sendable {
  let transactions = Counter()
  let transactionOperations = Counter()
  let transactionConflicts = Counter()
  let transactionErrors = Counter()
  let overloaded = Counter()
  let firingWaits = Counter()
  let watchEvents = Counter()
  let healedRecords = Counter()
  let unreadableRecords = Counter()
  let elections = Counter()
  let brakes = Counter()
  let fencedWrites = Counter()
  let noSpaceErrors = Counter()
  let noSpaceHealed = Counter()
  let sessionsRefused = Counter()
  let submissions = Counter()
  let submissionsRefused = Counter()
  let submissionsLimited = Counter()
  let submissionsOverQuota = Counter()
  let eventStreams = Gauge()
  let eventCatchUps = Counter()
  let httpRequests = Counter()
  let httpErrors = Counter()
  let databaseBytes = Gauge()
  let databaseBytesInUse = Gauge()
}

/// Writes the Prometheus text format (version 0.0.4).
struct PrometheusText {
  private(set) var text = ""

  mutating func counter(_ name: String, _ help: String, _ value: Int) {
    write(name, help, "counter", [("", "\(value)")])
  }

  mutating func gauge(_ name: String, _ help: String, _ value: some BinaryInteger) {
    write(name, help, "gauge", [("", "\(value)")])
  }

  /// A gauge with one value for each value of a label.
  mutating func gauge(_ name: String, _ help: String, label: String, _ values: [(String, Int)]) {
    write(name, help, "gauge", values.map { ("{\(label)=\"\($0.0)\"}", "\($0.1)") })
  }

  /// A counter with one value for each value of a label.
  mutating func counter(_ name: String, _ help: String, label: String, _ values: [(String, Int)]) {
    write(name, help, "counter", values.map { ("{\(label)=\"\($0.0)\"}", "\($0.1)") })
  }

  /// A histogram of times in seconds.
  /// - Parameters:
  ///   - bounds: The upper bounds of the buckets, milliseconds, rising.
  ///   - counts: What is in each bucket and not in the one before.
  mutating func histogram(
    _ name: String, _ help: String, boundsMillis bounds: [Int64], counts: [Int], total: Int, sumMillis: Int64
  ) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) histogram\n"
    var below = 0
    for (bound, count) in zip(bounds, counts) {
      below += count
      text += "\(name)_bucket{le=\"\(Double(bound) / 1_000)\"} \(below)\n"
    }
    text += "\(name)_bucket{le=\"+Inf\"} \(total)\n"
    text += "\(name)_sum \(Double(sumMillis) / 1_000)\n\(name)_count \(total)\n"
  }

  private mutating func write(_ name: String, _ help: String, _ type: String, _ rows: [(String, String)]) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    for (labels, value) in rows { text += "\(name)\(labels) \(value)\n" }
  }
}
