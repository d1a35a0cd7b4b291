/// Names a job within the cluster.
public struct JobKey: Hashable, Sendable, Comparable {
  /// The namespace.
  public let namespace: String
  /// The job's id, unique in its namespace.
  public let jobID: String

  /// Makes a key; the parts are taken as they are.
  public init(namespace: String, jobID: String) {
    self.namespace = namespace
    self.jobID = jobID
  }

  /// By namespace, then id.
  public static func < (left: JobKey, right: JobKey) -> Bool {
    (left.namespace, left.jobID) < (right.namespace, right.jobID)
  }
}

/// Names a run within the cluster.
public struct RunKey: Hashable, Sendable, Comparable {
  /// The job that it is a run of.
  public let job: JobKey
  /// The run's id, unique in its job: a function of the scheduled time.
  public let runID: String

  /// Makes a key; the parts are taken as they are.
  public init(job: JobKey, runID: String) {
    self.job = job
    self.runID = runID
  }

  /// By job, then id.
  public static func < (left: RunKey, right: RunKey) -> Bool {
    (left.job, left.runID) < (right.job, right.runID)
  }
}

/// One life of an agent: its name and the revision at which its present key was created in etcd.
/// An agent that lost its lease and came back is another incarnation.
public struct Incarnation: Hashable, Sendable {
  /// The agent's id.
  public let agentID: String
  /// The create revision of its key.
  public let createRevision: Int64

  /// Makes an incarnation.
  public init(agentID: String, createRevision: Int64) {
    self.agentID = agentID
    self.createRevision = createRevision
  }
}

/// Names one attempt of one run, as it was given to one incarnation of an agent.
public struct AttemptRef: Hashable, Sendable {
  /// The run.
  public let run: RunKey
  /// The attempt's number, from 1.
  public let attempt: Int
  /// The attempt's fencing token: monotone per run.
  public let fence: Int64
  /// The create revision of the key of the agent that it was assigned to.
  public let incarnation: Int64

  /// Makes a reference.
  public init(run: RunKey, attempt: Int, fence: Int64, incarnation: Int64) {
    self.run = run
    self.attempt = attempt
    self.fence = fence
    self.incarnation = incarnation
  }
}

/// The rules for the names that become parts of keys, paths and URLs.
public enum Identifier {
  /// The longest identifier, in bytes.
  public static let maxLength = 128

  /// The rule, for error messages.
  public static let rule =
    "lower-case letters, digits, '.', '_' and '-', first a letter or digit, at most 128"

  /// Whether `text` is `[a-z0-9][a-z0-9._-]{0,127}`. `.` and `..` are not, since the first character
  /// has to be a letter or digit.
  public static func isValid(_ text: String) -> Bool {
    var count = 0
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): break
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"): if count == 0 { return false }
      default: return false
      }
      count += 1
    }
    return count > 0 && count <= maxLength
  }
}
