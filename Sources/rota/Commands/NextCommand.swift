import ArgumentParser
import Proto
import SchedulerCore

/// `rota next`
struct NextCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "next", abstract: "Show when a schedule or a job will run next.",
    discussion: """
      An expression is computed here, without a server, unless it has calendars. What daylight-saving time does to
      it is pointed out.
      Examples:
        rota next "0 30 2 * * ?" --tz Europe/Berlin
        rota next --every 90m --start 2026-12-01T00:00:00Z -c 5
        rota next --job nightly-report
      """)
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(
    help: ArgumentHelp("A cron expression with 5 or 6 fields, or a macro as @daily.", valueName: "expression")
  )
  var expression: String?

  @Option(help: ArgumentHelp("A job, instead of an expression.", valueName: "id")) var job: String?
  @Option(help: ArgumentHelp("Instead of an expression: every so often, as 90m.", valueName: "time"))
  var every: DurationArgument?
  @Option(
    help: ArgumentHelp("Instead of an expression: hourly, daily, weekly or monthly.", valueName: "word"))
  var frequency: String?
  @Option(help: ArgumentHelp("The time zone, as Europe/Berlin; UTC when not given.", valueName: "zone"))
  var tz: String?
  @Option(name: [.customShort("c"), .long], help: "How many.")
  var count = PreviewRequest.defaultCount
  @Option(help: ArgumentHelp("From when, as 2026-03-28T00:00:00Z; now when not given.", valueName: "time"))
  var after: String?
  @Option(help: ArgumentHelp("A local time that is skipped: run_after or skip.", valueName: "policy"))
  var dstGap: String?
  @Option(help: ArgumentHelp("A local time that comes twice: first, second or both.", valueName: "policy"))
  var dstOverlap: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A calendar of the namespace; may be given several times. Asks a server.", valueName: "name"))
  var calendar: [String] = []
  @Option(help: ArgumentHelp("Nothing is due before.", valueName: "time")) var start: String?
  @Option(help: ArgumentHelp("Nothing is due after.", valueName: "time")) var end: String?

  func validate() throws {
    guard (1...PreviewRequest.maximumCount).contains(count) else {
      throw ValidationError("--count has to be 1 to \(PreviewRequest.maximumCount)")
    }
    let given = [expression != nil, job != nil, every != nil, frequency != nil].count { $0 }
    guard given == 1 else {
      throw ValidationError(
        given == 0
          ? "nothing to look at: give an expression, --every, --frequency or --job"
          : "give only one of: an expression, --every, --frequency, --job")
    }
    let bounds = [tz, dstGap, dstOverlap, start, end].compactMap(\.self)
    guard job == nil || (bounds.isEmpty && calendar.isEmpty) else {
      throw ValidationError("--job shows the job's own schedules: only --count and --after go with it")
    }
  }

  func run() async throws {
    let answer = try await preview()
    if output.output == .json { return ViewJSON.print { answer.write(to: &$0) } }
    PreviewTexts.show(answer)
  }

  private func preview() async throws -> PreviewResponse {
    var request = PreviewRequest(
      namespace: namespace.namespace, jobID: job, after: try Self.time(after, "--after"), count: count)
    if job == nil { request.schedules = [try schedule()] }
    guard job == nil, calendar.isEmpty else {
      return try await server.client().call("/rota.v1.Schedules/Preview", request)
    }
    do throws(FieldError) {
      let preview = try JobPreview(
        of: request.schedules, namespace: request.namespace, after: request.after ?? WallClock.now(),
        count: count,
        zones: try Self.zones()
      ) { _ in nil }
      return PreviewResponse(preview)
    } catch {
      throw CommandFailure("\(error)".replacing("schedules[0].", with: ""))
    }
  }

  private static func zones() throws(FieldError) -> TimeZones {
    do { return try Zones.load() } catch { throw FieldError(field: "time_zone", message: "\(error)") }
  }

  private func schedule() throws -> Schedule {
    var schedule = Schedule(try rule())
    schedule.timeZone = tz ?? Schedule.Defaults.timeZone
    schedule.dstGap = try dstGap.map { try Self.word($0, "--dst-gap") }
    schedule.dstOverlap = try dstOverlap.map { try Self.word($0, "--dst-overlap") }
    schedule.calendars = calendar
    schedule.startTime = try Self.time(start, "--start")
    schedule.endTime = try Self.time(end, "--end")
    return schedule
  }

  private func rule() throws -> Schedule.Rule {
    if let expression { return .cron(expression) }
    if let every { return .fixedRate(everyMillis: every.millis) }
    return .frequency(try Self.word(frequency ?? "", "--frequency"))
  }

  /// Reads a word of a flag.
  private static func word<Word: RawRepresentable & CaseIterable>(_ text: String, _ flag: String) throws
    -> Word
  where Word.RawValue == String {
    guard let word = Word(rawValue: text) else {
      let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("\(flag) has to be one of \(words)")
    }
    return word
  }

  /// Reads a time of a flag.
  static func time(_ text: String?, _ flag: String) throws -> Timestamp? {
    guard let text else { return nil }
    do throws(TextError) { return try Timestamp(rfc3339: text) } catch {
      throw ValidationError("\(flag): \(error.message)")
    }
  }
}

/// How previews look to people.
enum PreviewTexts {
  static func show(_ preview: PreviewResponse) {
    let hasSeveral = preview.occurrences.contains { $0.schedule > 0 }
    var table = Table((hasSeveral ? ["SCHEDULE"] : []) + ["DAY", "LOCAL TIME", "OFFSET", "UTC", "NOTE"])
    for occurrence in preview.occurrences {
      let (day, time, offset) = local(occurrence.localTime)
      table.add(
        (hasSeveral ? ["\(occurrence.schedule)"] : []) + [
          day, time, offset, occurrence.skipped ? "skipped" : Texts.time(occurrence.scheduledTime),
          note(occurrence),
        ])
    }
    if !preview.occurrences.isEmpty { table.print() }
    for text in preview.notes { Terminal.note(Terminal.sanitised("note: \(text)")) }
  }

  private static func note(_ occurrence: OccurrenceView) -> String {
    guard let due = occurrence.dueTime, due > occurrence.scheduledTime else { return occurrence.note }
    let jitter = "created \(Texts.length(from: occurrence.scheduledTime, to: due)) later (jitter)"
    return occurrence.note.isEmpty ? jitter : occurrence.note + "; " + jitter
  }

  /// The parts of `2026-03-29T03:00:00+02:00`, with the weekday.
  private static func local(_ text: String) -> (day: String, time: String, offset: String) {
    let date = text.prefix(10)
    let clock = text.dropFirst(11)
    let offset = clock.drop { $0.isNumber || $0 == ":" || $0 == "." }
    let time = clock.prefix(clock.count - offset.count)
    return (weekday(String(date)), "\(date) \(time)", offset == "Z" ? "+00:00" : String(offset))
  }

  /// 1970-01-01 was a Thursday.
  private static func weekday(_ date: String) -> String {
    guard let midnight = try? Timestamp(rfc3339: date + "T00:00:00Z") else { return "" }
    let days = midnight.milliseconds / 86_400_000
    return ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][Int(days % 7)]
  }
}
