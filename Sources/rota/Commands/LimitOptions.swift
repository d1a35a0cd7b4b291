import ArgumentParser
import SchedulerCore

/// The flags that say how many runs may be with agents at once, and how late one may start.
struct LimitOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The concurrency group of its runs: a name, which may be a template as 'report-{{params.customer}}'; an empty text \
      for none.
      """, valueName: "key"))
  var concurrencyKey: String?

  @Option(
    help: ArgumentHelp(
      "How many runs of the group may be with agents at once; 1 when not given.", valueName: "count"))
  var concurrencyLimit: Int?

  @Option(
    help: ArgumentHelp(
      "What becomes of a run whose group is full: wait (when not given), skip or cancel_oldest.",
      valueName: "policy"))
  var whenFull: WhenFullArgument?

  @Option(
    help: ArgumentHelp(
      "How many runs of the job may be with agents at once; any number when 0 or not given.",
      valueName: "count"))
  var maxRunning: Int?

  @Option(
    help: ArgumentHelp(
      "How long after it is due a run may start: later it is skipped; any time when not given.",
      valueName: "time"))
  var startDeadline: DurationArgument?

  /// Changes what is given.
  func apply(to spec: inout JobSpec) throws {
    if let concurrencyKey {
      if concurrencyKey.isEmpty {
        spec.concurrency = nil
      } else if spec.concurrency == nil {
        spec.concurrency = Concurrency(key: concurrencyKey)
      } else {
        spec.concurrency?.key = concurrencyKey
      }
    }
    if concurrencyLimit != nil || whenFull != nil {
      guard spec.concurrency != nil else {
        throw ValidationError("--concurrency-limit and --when-full go with --concurrency-key")
      }
      if let concurrencyLimit { spec.concurrency?.limit = concurrencyLimit }
      if let whenFull { spec.concurrency?.whenFull = whenFull.policy }
    }
    if let maxRunning { spec.maxRunning = maxRunning }
    if let startDeadline { spec.startDeadlineMillis = startDeadline.millis }
  }
}

/// What becomes of a run whose group is full.
struct WhenFullArgument: ExpressibleByArgument {
  let policy: Concurrency.WhenFull

  init?(argument: String) {
    guard let policy = Concurrency.WhenFull(rawValue: argument) else { return nil }
    self.policy = policy
  }

  static var allValueStrings: [String] { Concurrency.WhenFull.allCases.map(\.rawValue) }
}
