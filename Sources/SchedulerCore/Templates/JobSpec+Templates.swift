extension JobSpec {
  /// Whether a text that may be a template has to be parsed.
  var hasTemplates: Bool {
    if workingDirectory.map(Template.mayBe) ?? false || env.values.contains(where: Template.mayBe) {
      return true
    }
    if placement.hashKey.map(Template.mayBe) ?? false { return true }
    switch task {
    case .exec(let argv): return argv.contains(where: Template.mayBe)
    case .http(let http):
      return Template.mayBe(in: http.url) || Template.mayBe(in: http.body)
        || http.headers.values.contains(where: Template.mayBe)
    case .shell, .noop, .task: return false
    }
  }

  /// Checks that each template can be filled in: its form, that the job has the parameters that it needs, and
  /// that what comes out is within the bounds, as far as the job's own values tell.
  /// - Parameter zones: Nil where zones cannot be checked.
  func validateTemplates(zones: TimeZones?) throws(FieldError) {
    guard hasTemplates else { return try validateWork() }
    _ = try mapTemplates { (field, template) throws(FieldError) in
      for param in template.requiredParams where params[param.name] == nil {
        let message = Template.Place.missingParam(param.name)
        throw TemplateError(character: param.character, message: message).at(field)
      }
      return ""
    }
    _ = try filledIn(sampleValues(zones: zones))
  }

  /// The specification for an attempt, its templates filled in, and checked again: what a value brings may be
  /// too long, or nothing that can be passed to a program.
  func filledIn(_ values: TemplateValues) throws(FieldError) -> JobSpec {
    var room = SpecLimits.recordBytes
    let spec = try mapTemplates { (field, template) throws(FieldError) in
      do throws(TemplateError) {
        let text = try template.filledIn(values, limit: room)
        room -= text.utf8.count
        return text
      } catch {
        throw error.at(field)
      }
    }
    do throws(FieldError) { try spec.validateWork() } catch {
      throw FieldError(field: error.field, message: error.message + " (with its templates filled in)")
    }
    return spec
  }

  /// A copy in which each template is what `change` makes of it.
  private func mapTemplates(
    _ change: (String, Template) throws(FieldError) -> String
  ) throws(FieldError) -> JobSpec {
    func map(_ text: String, _ field: @autoclosure () -> String) throws(FieldError) -> String {
      guard Template.mayBe(in: text) else { return text }
      let template: Template
      do throws(TemplateError) { template = try Template(parsing: text) } catch { throw error.at(field()) }
      return try change(field(), template)
    }
    var spec = self
    switch task {
    case .exec(var argv):
      for index in argv.indices { argv[index] = try map(argv[index], "exec[\(index)]") }
      spec.task = .exec(argv: argv)
    case .http(var http):
      http.url = try map(http.url, "http.url")
      http.body = try map(http.body, "http.body")
      for (name, value) in http.headers {
        http.headers[name] = try map(value, "http.headers.\(FieldError.shown(name))")
      }
      spec.task = .http(http)
    case .shell, .noop, .task: break
    }
    for (name, value) in env { spec.env[name] = try map(value, "env.\(FieldError.shown(name))") }
    if let workingDirectory { spec.workingDirectory = try map(workingDirectory, "working_directory") }
    if let key = placement.hashKey { spec.placement.hashKey = try map(key, "placement.hash_key") }
    return spec
  }

  /// The zone whose clocks count where a template names none.
  var templateZone: String { schedules.first?.timeZone ?? Schedule.Defaults.timeZone }

  /// Values such as an attempt could have.
  private func sampleValues(zones: TimeZones?) -> TemplateValues {
    let time = executionTime ?? CivilTime(year: 2_000, month: 1, day: 1).timestamp
    var context = RunContext()
    context.params = params
    context.previousScheduledTime = time
    context.nextScheduledTime = time
    context.lastSuccessTime = time
    let run = RunKey(job: JobKey(namespace: Defaults.namespace, jobID: "job"), runID: runID(for: time))
    return TemplateValues(
      ref: AttemptRef(run: run, attempt: 1, fence: 1, incarnation: 1), scheduledTime: time, retryCount: 0,
      context: context, timeZone: templateZone, zones: zones)
  }
}
