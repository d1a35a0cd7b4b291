extension Concurrency {
  /// Checks the bounds; the paths of errors begin with the members.
  /// - Parameter params: The job's.
  func validate(params: [String: String]) throws(FieldError) {
    let check = TextCheck(field: "key")
    guard !key.isEmpty else {
      throw check.error("is empty; give the group a name, such as 'report-{{params.customer}}'")
    }
    try check.length(key, atMost: SpecLimits.groupBytes)
    try check.noControlCharacters(key)
    try JobSpec.check(limit, in: SpecLimits.groupLimit, field: "limit")
    guard Template.mayBe(in: key) else { return }
    do throws(TemplateError) {
      for case .place(let place) in try Template(parsing: key).parts { try place.checkForGroup(params) }
    } catch {
      throw error.at("key")
    }
  }

  /// The group of a run; nil where it has none. What cannot be filled in counts as it is written, and what is too long
  /// is told by its digest: a run is never let out of its group.
  func group(of run: RunRecord, params: [String: String]) -> String? {
    guard Template.mayBe(in: key) else { return key }
    var context = RunContext()
    context.trigger = run.trigger
    context.params = params.merging(run.params) { $1 }
    let values = TemplateValues(
      ref: AttemptRef(run: run.key, attempt: 0, fence: 0, incarnation: 0), scheduledTime: run.scheduledTime,
      retryCount: 0, context: context, timeZone: Schedule.Defaults.timeZone, zones: nil)
    let text: String
    do throws(TemplateError) {
      text = try Template(parsing: key).filledIn(values, limit: SpecLimits.recordBytes)
    } catch {
      return key
    }
    guard text.utf8.count > SpecLimits.groupBytes else { return text.isEmpty ? nil : text }
    let digest = Keyspace.digest(of: Array(text.utf8))
    return text.cut(toBytes: SpecLimits.groupBytes - digest.utf8.count - 1) + "~" + digest
  }
}

extension Template.Place {
  /// A group's key is filled in when a run is created, without regard to schedules and zones: its values are those that
  /// the run begins with, and its times are UTC's.
  fileprivate func checkForGroup(_ params: [String: String]) throws(TemplateError) {
    switch value {
    case .namespace, .jobID, .runID, .trigger, .scheduledTime: break
    case .param(let name):
      let hasFallback = filters.contains { if case .fallback = $0 { true } else { false } }
      guard hasFallback || params[name] != nil else {
        throw TemplateError(character: character, message: Self.missingParam(name))
      }
    case .attempt, .fencingToken, .retryCount, .previousScheduledTime, .nextScheduledTime, .lastSuccessTime:
      throw TemplateError(
        character: character,
        message: "a group's key may have params, namespace, job_id, run_id, trigger and scheduled_time: it "
          + "is filled in once, when a run is created")
    }
    for case .inZone in filters {
      throw TemplateError(
        character: character, message: "the times of a group's key are UTC's: in_zone has no place here")
    }
  }
}

extension RunRecord {
  /// Puts a run that is about to be created into the concurrency group of its job.
  public mutating func joinGroup(of spec: JobSpec) {
    group = spec.concurrency?.group(of: self, params: spec.params)
  }
}
