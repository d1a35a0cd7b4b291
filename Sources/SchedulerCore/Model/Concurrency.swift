import JSON

/// A group of runs, of one job or of several jobs of a namespace, of which only so many may be with agents at once.
public struct Concurrency: Hashable, Sendable {
  /// The group's name: a template that is filled in for each run when it is created. Runs for which nothing comes of it
  /// are in no group.
  public var key: String
  /// How many of its runs may be with agents at once. Where jobs disagree the smallest counts, of those jobs that have
  /// a run waiting or with an agent; the limit of the group's own object goes before all.
  public var limit: Int
  /// What becomes of a run that finds it full.
  public var whenFull: WhenFull

  /// What becomes of a run whose group is full.
  public enum WhenFull: String, Hashable, Sendable, CaseIterable {
    /// It waits for its turn.
    case wait
    /// It ends as `skipped`.
    case skip
    /// The oldest run that has a slot is cancelled, and it takes that slot once that run has stopped.
    case cancelOldest = "cancel_oldest"
  }

  /// Makes a group's description.
  public init(key: String, limit: Int = Concurrency.defaultLimit, whenFull: WhenFull = .wait) {
    self.key = key
    self.limit = limit
    self.whenFull = whenFull
  }

  /// The limit where none is said.
  public static let defaultLimit = 1
}

extension Concurrency {
  /// Reads an object, or its key alone as a text.
  init(decoding reader: inout JSONReader, with decoder: SpecDecoder) throws {
    if try reader.peek() == .string {
      self.init(key: try reader.string())
      return
    }
    var key: String?
    var limit = Self.defaultLimit
    var whenFull = WhenFull.wait
    try decoder.object(&reader, known: ["key", "limit", "when_full"]) { name, reader in
      switch name {
      case "key": key = try reader.string()
      case "limit": limit = try reader.wholeNumber()
      default:
        guard let word = WhenFull(rawValue: try reader.string()) else {
          throw TextError("'wait', 'skip' or 'cancel_oldest' was expected")
        }
        whenFull = word
      }
    }
    guard let key else { throw FieldError(field: "key", message: "is required") }
    self.init(key: key, limit: limit, whenFull: whenFull)
  }
}

extension JobSpec {
  /// Writes what is said of slots and of late starts.
  func writeConcurrency(to json: inout JSONWriter) {
    if let concurrency {
      json.key("concurrency")
      json.beginObject()
      json.member("key", concurrency.key)
      if concurrency.limit != Concurrency.defaultLimit { json.member("limit", concurrency.limit) }
      if concurrency.whenFull != .wait { json.member("when_full", concurrency.whenFull.rawValue) }
      json.endObject()
    }
    if maxRunning != 0 { json.member("max_running", maxRunning) }
    if let startDeadlineMillis {
      json.member("start_deadline", DurationText.format(milliseconds: startDeadlineMillis))
    }
  }

  /// Checks what is said of slots and of late starts.
  func validateConcurrency() throws(FieldError) {
    try Self.check(maxRunning, in: SpecLimits.maxRunning, field: "max_running")
    if let startDeadlineMillis {
      try Self.check(millis: startDeadlineMillis, in: 1...SpecLimits.timeoutMillis, field: "start_deadline")
      for (index, schedule) in schedules.enumerated() where schedule.jitterMillis >= startDeadlineMillis {
        throw FieldError(
          field: "start_deadline",
          message: "counts from when a run is due, jitter not included: it has to be longer than the jitter "
            + "of schedules[\(index)]")
      }
    }
    guard let concurrency else { return }
    do throws(FieldError) { try concurrency.validate(params: params) } catch {
      throw error.inside("concurrency")
    }
  }

  /// When a run has to have been given to an agent; nil where that may take any time. What is due earlier than the job
  /// was submitted, or is made up for by somebody's wish, counts from then.
  func startDeadline(of run: RunRecord, createdAt jobCreatedAt: Timestamp) -> Timestamp? {
    guard let startDeadlineMillis else { return nil }
    let due = run.trigger == .schedule ? max(run.scheduledTime, jobCreatedAt) : run.createdAt
    return due.adding(milliseconds: startDeadlineMillis)
  }

  /// Says that it is over.
  var startDeadlineText: String {
    "it was not started within \(DurationText.format(milliseconds: startDeadlineMillis ?? 0)) of when it was due "
      + "(start_deadline)"
  }
}
