import JSON

extension JobSpec {
  /// Checks every bound of the specification, whatever format it came in.
  /// - Parameter zones: Nil to leave the rules of schedules to somebody who knows the zones.
  public func validate(zones: TimeZones?) throws(FieldError) {
    try TextCheck(field: "user_id").length(userID, atMost: SpecLimits.userIDBytes)
    try TextCheck(field: "user_id").noControlCharacters(userID)
    try validateTimes()
    try backoff.validate()
    try validateRetries()
    try Self.check(priority, in: SpecLimits.priority, field: "priority")
    guard Identifier.isValid(queue) else {
      throw FieldError(field: "queue", message: "an identifier has " + Identifier.rule)
    }
    try validateConstraints()
    try validateConfinement()
    try validatePlacement()
    try Labels.validate(labels)
    try AlertRule.validate(alerts)
    try validateSchedules(zones: zones)
    try validateTemplates(zones: zones)
    try validateConcurrency()
    try validateSize()
  }

  /// Checks what an agent is to do, as it stands: without regard to templates.
  func validateWork() throws(FieldError) {
    try task.validate()
    try validateEnvironment()
    if let workingDirectory { try Self.validate(workingDirectory: workingDirectory) }
  }

  /// Each bound by itself does not keep the record small enough for etcd.
  private func validateSize() throws(FieldError) {
    // JSON makes a byte six at most, so what is small need not be measured.
    guard textBytes > SpecLimits.recordBytes / 8 else { return }
    var json = JSONWriter(reserving: 2 * textBytes)
    json.object { writeJSON(to: &$0) }
    guard json.bytes.count <= SpecLimits.recordBytes else {
      throw FieldError(
        field: "body",
        message:
          "the job has \(json.bytes.count) bytes as JSON; at most \(SpecLimits.recordBytes) are allowed")
    }
  }

  /// About how much text the specification holds, bytes.
  var textBytes: Int {
    func bytes(_ pairs: [String: String]) -> Int {
      pairs.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
    }
    let taskBytes =
      switch task {
      case .exec(let argv): argv.reduce(0) { $0 + $1.utf8.count }
      case .shell(let script, let interpreter): interpreter.reduce(script.utf8.count) { $0 + $1.utf8.count }
      case .http(let http): http.url.utf8.count + http.body.utf8.count + bytes(http.headers)
      case .noop: 0
      case .task(let name, let payload): name.utf8.count + payload.utf8.count
      }
    let constraintBytes = constraints.reduce(0) { sum, constraint in
      constraint.values.reduce(sum + constraint.label.utf8.count) { $0 + $1.utf8.count }
    }
    return taskBytes + bytes(env) + bytes(params) + bytes(labels) + constraintBytes
      + alerts.reduce(0) { $0 + $1.textBytes } + scheduleTextBytes + placement.textBytes
      + (workingDirectory?.utf8.count ?? 0)
  }

  private func validateEnvironment() throws(FieldError) {
    var total = task.argumentBytes
    for (name, value) in env {
      let check = TextCheck(field: "env.\(FieldError.shown(name))")
      guard !name.isEmpty else { throw FieldError(field: "env", message: "a variable has an empty name") }
      guard !name.utf8.contains(UInt8(ascii: "=")) else { throw check.error("a name cannot have '='") }
      try check.noNUL(name)
      try check.noNUL(value)
      total += name.utf8.count + value.utf8.count + 2
    }
    guard total <= SpecLimits.argumentBytes else {
      throw FieldError(
        field: env.isEmpty ? task.kind.rawValue : "env",
        message: "arguments and environment together have \(total) bytes; "
          + "at most \(SpecLimits.argumentBytes) are allowed")
    }
  }

  private static func validate(workingDirectory: String) throws(FieldError) {
    let check = TextCheck(field: "working_directory")
    guard workingDirectory.utf8.first == UInt8(ascii: "/") else {
      throw check.error("an absolute path was expected, such as /srv/data")
    }
    try check.length(workingDirectory, atMost: SpecLimits.pathBytes)
    try check.noNUL(workingDirectory)
  }

  private func validateTimes() throws(FieldError) {
    if let timeoutMillis {
      try Self.check(millis: timeoutMillis, in: 1...SpecLimits.timeoutMillis, field: "timeout")
    }
    try Self.check(millis: killGraceMillis, in: 0...SpecLimits.killGraceMillis, field: "kill_grace")
    if let executionTime, !executionTime.isInAcceptedYears {
      let years = Timestamp.years
      throw FieldError(
        field: "execution_time",
        message: "a time from \(years.lowerBound) to \(years.upperBound) was expected")
    }
  }

  private func validateConstraints() throws(FieldError) {
    guard constraints.count <= SpecLimits.constraints else {
      throw FieldError(
        field: "constraints", message: "there are \(constraints.count); at most \(SpecLimits.constraints)")
    }
    for (index, constraint) in constraints.enumerated() {
      do throws(FieldError) { try constraint.validate() } catch {
        throw error.inside("constraints[\(index)]")
      }
    }
  }

  static func check(_ value: Int, in range: ClosedRange<Int>, field: String) throws(FieldError) {
    guard range.contains(value) else {
      throw FieldError(
        field: field, message: "a number from \(range.lowerBound) to \(range.upperBound) was expected")
    }
  }

  static func check(millis: Int64, in range: ClosedRange<Int64>, field: String) throws(FieldError) {
    guard range.contains(millis) else {
      let lowest = DurationText.format(milliseconds: range.lowerBound)
      let highest = DurationText.format(milliseconds: range.upperBound)
      throw FieldError(field: field, message: "a length of time from \(lowest) to \(highest) was expected")
    }
  }
}

// MARK: - Tasks

extension TaskSpec {
  /// What the arguments take, with their terminating NULs.
  fileprivate var argumentBytes: Int {
    switch self {
    case .exec(let argv): argv.reduce(0) { $0 + $1.utf8.count + 1 }
    case .shell(_, let interpreter): interpreter.reduce(0) { $0 + $1.utf8.count + 1 }
    case .http, .noop, .task: 0
    }
  }

  fileprivate func validate() throws(FieldError) {
    switch self {
    case .exec(let argv): try Self.validate(argv: argv, field: "exec")
    case .shell(let script, let interpreter):
      let check = TextCheck(field: "shell.script")
      guard !script.isEmpty else { throw check.error("is empty") }
      try check.length(script, atMost: SpecLimits.scriptBytes)
      try check.noNUL(script)
      try Self.validate(argv: interpreter, field: "shell.interpreter")
    case .http(let request):
      do throws(FieldError) { try request.validate() } catch { throw error.inside("http") }
    case .noop: break
    case .task(let name, let payload):
      guard Identifier.isValid(name) else {
        throw FieldError(field: "task.name", message: "an identifier has " + Identifier.rule)
      }
      try TextCheck(field: "task.payload").length(payload, atMost: SpecLimits.payloadBytes)
      try Self.validate(payload: payload)
    }
  }

  /// Records and answers hold the payload as it is, as a part of their own JSON: it must not be able to break them.
  private static func validate(payload: String) throws(FieldError) {
    do {
      try JSONReader.read(Array(payload.utf8)) { try check(&$0, depth: 0) }
    } catch let error as JSONError {
      throw FieldError(field: "task.payload", message: "is not JSON: \(error)")
    } catch {
      throw FieldError(field: "task.payload", message: "\(error)")
    }
  }

  private static func check(_ reader: inout JSONReader, depth: Int) throws {
    let kind = try reader.peek()
    guard kind == .object || kind == .array else { return try reader.skip() }
    guard depth < SpecLimits.payloadDepth else {
      throw reader.error("nested deeper than \(SpecLimits.payloadDepth)")
    }
    if kind == .array { return try reader.array { try check(&$0, depth: depth + 1) } }
    var names = Set<String>()
    try reader.object { name, reader in
      guard names.insert(name).inserted else {
        throw reader.error("the member '\(FieldError.shown(name))' is given twice")
      }
      try check(&reader, depth: depth + 1)
    }
  }

  private static func validate(argv: [String], field: String) throws(FieldError) {
    guard let program = argv.first else {
      throw FieldError(field: field, message: "a program and its arguments were expected; the list is empty")
    }
    guard !program.isEmpty else { throw FieldError(field: "\(field)[0]", message: "the program is empty") }
    for (index, argument) in argv.enumerated() where argument.utf8.contains(0) {
      throw FieldError(field: "\(field)[\(index)]", message: "a NUL character cannot be passed to a program")
    }
  }
}

// MARK: - Retries

extension Backoff {
  fileprivate func validate() throws(FieldError) {
    let waits: ClosedRange<Int64> = 0...SpecLimits.backoffMillis
    switch curve {
    case .list(let list):
      guard (1...SpecLimits.backoffEntries).contains(list.count) else {
        throw FieldError(field: "backoff", message: "1 to \(SpecLimits.backoffEntries) waits were expected")
      }
      for (index, wait) in list.enumerated() where !waits.contains(wait) {
        try JobSpec.check(millis: wait, in: waits, field: "backoff[\(index)]")
      }
    case .exponential(let initialMillis, let multiplier, let maxMillis):
      try JobSpec.check(millis: initialMillis, in: waits, field: "backoff.initial")
      try JobSpec.check(
        millis: maxMillis, in: initialMillis...SpecLimits.backoffMillis, field: "backoff.max")
      let multipliers = SpecLimits.backoffMultiplier
      guard multipliers.contains(multiplier) else {
        throw FieldError(
          field: "backoff.multiplier",
          message: "a number from \(multipliers.lowerBound) to \(multipliers.upperBound) was expected")
      }
    }
    guard (0...1).contains(jitter) else {
      throw FieldError(field: "backoff.jitter", message: "a number from 0 to 1 was expected")
    }
  }
}
