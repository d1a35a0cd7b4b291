/// The fields of a cron expression, in their order.
enum CronField: String, CaseIterable {
  case second
  case minute
  case hour
  case dayOfMonth = "day_of_month"
  case month
  case dayOfWeek = "day_of_week"

  /// For people.
  var title: String { rawValue.replacing("_", with: " ") }

  /// The values that it can have. A day of the week may be written 7, for Sunday, too.
  var range: ClosedRange<Int> {
    switch self {
    case .second, .minute: 0...59
    case .hour: 0...23
    case .dayOfMonth: 1...31
    case .month: 1...12
    case .dayOfWeek: 0...6
    }
  }

  /// What `H` spreads over: only days that each month has.
  var hashRange: ClosedRange<Int> { self == .dayOfMonth ? 1...28 : range }

  /// The highest number that may be written.
  var highestWritten: Int { self == .dayOfWeek ? 7 : range.upperBound }

  /// The names of its values from the lowest on; empty where there are none.
  var names: [String] {
    switch self {
    case .month: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
    case .dayOfWeek: Self.weekdayNames
    default: []
    }
  }

  static let weekdayNames = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]

  /// Whether it may be `?`.
  var isDay: Bool { self == .dayOfMonth || self == .dayOfWeek }

  /// `a minute (0-59)`, for errors.
  var rule: String {
    let article = self == .hour ? "an" : "a"
    let names = names
    let named = names.isEmpty ? "" : ", or \(names[0])-\(names[names.count - 1])"
    return "\(article) \(title) (\(range.lowerBound)-\(highestWritten)\(named))"
  }
}

/// Where `H` falls for a job. The way of it never changes: the times of jobs depend on it.
struct CronHash {
  private let prefix: String

  init(job: JobKey) { prefix = "\(job.namespace)/\(job.jobID)/" }

  /// A value of a range, which the job and the field decide: FNV-1a, 64 bits, of `namespace/job/field`, with
  /// the higher bits mixed into the lower, modulo the range's length.
  func value(for field: CronField, in range: ClosedRange<Int>) -> Int {
    var hash = Keyspace.stableHash((prefix + field.rawValue).utf8, seed: 0)
    hash ^= hash >> 33
    hash = hash &* 0xff51_afd7_ed55_8ccd
    hash ^= hash >> 33
    return range.lowerBound + Int(hash % UInt64(range.count))
  }
}
