import JSON
import SchedulerCore

/// What a task can know of its run, in the words of variables: `SCHEDULED_TIME` becomes `ROTA_SCHEDULED_TIME`
/// for a process and `Rota-Scheduled-Time` for the receiver of a request.
struct RunFacts {
  /// In a fixed order; the value is empty where there is none.
  let facts: [(name: String, value: String)]
  /// The run's parameters.
  let params: [String: String]

  init(_ assignment: Assignment) {
    let ref = assignment.ref
    let context = assignment.context
    facts = [
      ("NAMESPACE", ref.run.job.namespace),
      ("JOB_ID", ref.run.job.jobID),
      ("RUN_ID", ref.run.runID),
      ("ATTEMPT", String(ref.attempt)),
      ("RETRY_COUNT", String(assignment.retryCount)),
      ("FENCING_TOKEN", String(ref.fence)),
      ("TRIGGER", context.trigger.rawValue),
      ("SCHEDULED_TIME", assignment.scheduledTime.rfc3339),
      ("SCHEDULED_UNIX", String(Self.seconds(assignment.scheduledTime))),
      ("PREVIOUS_SCHEDULED_TIME", context.previousScheduledTime?.rfc3339 ?? ""),
      ("NEXT_SCHEDULED_TIME", context.nextScheduledTime?.rfc3339 ?? ""),
      ("LAST_SUCCESS_TIME", context.lastSuccessTime?.rfc3339 ?? ""),
    ]
    params = context.params
  }

  /// Seconds since 1970, rounded down.
  private static func seconds(_ time: Timestamp) -> Int64 {
    let (seconds, rest) = time.microseconds.quotientAndRemainder(dividingBy: 1_000_000)
    return rest < 0 ? seconds - 1 : seconds
  }

  /// The variables of a process. Of parameters whose names differ in upper and lower case alone, the last in
  /// the order of bytes has the variable; `ROTA_PARAMS` has all.
  var environment: [String: String] {
    var variables = ["ROTA_PARAMS": paramsJSON]
    for (name, value) in facts { variables["ROTA_" + name] = value }
    for (name, value) in params.sorted(by: { $0.key < $1.key }) {
      variables["ROTA_PARAM_" + name.uppercased()] = value
    }
    return variables
  }

  /// The headers of a request, without those that would be empty.
  var headers: [(String, String)] {
    var headers = facts.filter { !$0.value.isEmpty }.map { (Self.headerName($0.name), $0.value) }
    if !params.isEmpty { headers.append(("Rota-Params", Self.ascii(paramsJSON))) }
    return headers
  }

  /// `JOB_ID` as `Rota-Job-Id`.
  private static func headerName(_ name: String) -> String {
    (["Rota"] + name.split(separator: "_").map { $0.prefix(1) + $0.dropFirst().lowercased() }).joined(
      separator: "-")
  }

  private var paramsJSON: String {
    var json = JSONWriter(reserving: 64)
    json.object { json in
      for (name, value) in params.sorted(by: { $0.key < $1.key }) { json.member(name, value) }
    }
    return json.text
  }

  /// JSON with everything beyond ASCII as `\uXXXX`: a header's value has no other character that all understand
  /// (RFC 9110 section 5.5).
  private static func ascii(_ json: String) -> String {
    var text = ""
    for unit in json.utf16 {
      if let scalar = Unicode.Scalar(unit), scalar.isASCII, unit != 0x7F {
        text.unicodeScalars.append(scalar)
      } else {
        let digits = String(unit, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return text
  }
}

/// The environment of a task.
enum TaskEnvironment {
  /// Where a task finds programs when its job says nothing.
  static let defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  /// The variable that marks a task's processes with their attempt's folder; see `StrayProcesses`.
  static let scratchVariable = "ROTA_SCRATCH_DIR"
  /// Where it saves checkpoints.
  static let checkpointVariable = "ROTA_CHECKPOINT_FILE"

  /// `NAME=VALUE` for each variable: the user's, with the agent's own winning.
  ///
  /// - Parameter account: whom the task runs as, where that is not the agent's user.
  /// - Throws: `AgentError` for a value with a NUL, at which the program would see it end.
  static func entries(
    _ assignment: Assignment, folder: AttemptFolder, agentID: String, account: UserAccount? = nil
  ) throws(AgentError) -> [String] {
    var variables = ["PATH": defaultPath, "HOME": account?.home ?? folder.work]
    if let account {
      // As login(1) sets them; a number without a name is its own name.
      let name = account.name ?? String(account.uid)
      variables["USER"] = name
      variables["LOGNAME"] = name
    }
    variables.merge(assignment.spec.env) { $1 }
    variables.merge(RunFacts(assignment).environment) { $1 }
    let own = [
      "ROTA_WORKER_ID": agentID, "ROTA_USER_ID": assignment.spec.userID, scratchVariable: folder.work,
      checkpointVariable: folder.checkpoints.file,
    ]
    variables.merge(own) { $1 }
    for (name, value) in variables where name.utf8.contains(0) || value.utf8.contains(0) {
      throw AgentError(.configuration, "the variable \(name) has a NUL character, which cannot be passed on")
    }
    return variables.map { $0.key + "=" + $0.value }
  }
}
