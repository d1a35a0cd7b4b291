import ArgumentParser
import Proto
import SchedulerCore

/// `rota calendar`
struct CalendarCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calendar", abstract: "Calendars: named sets of excluded time that jobs share.",
    discussion: """
      Examples:
        rota calendar put holidays --tz Europe/Berlin --day 12-25 --day 12-26 --day 2027-03-26 --day sun
        rota calendar put freeze --range 2026-12-20/2027-01-04 --cron '* 22-23 * * *'
        rota submit --cron '0 3 * * *' --calendar holidays -- /srv/report
      """,
    subcommands: [
      CalendarPutCommand.self, CalendarGetCommand.self, CalendarListCommand.self, CalendarDeleteCommand.self,
    ])
}

/// The flags of a command that is about one calendar.
struct CalendarOptions: ParsableArguments {
  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(help: "The calendar's name.") var name: String

  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  var key: CalendarKey { CalendarKey(namespace: namespace.namespace, name: name) }
}

/// `rota calendar put`
struct CalendarPutCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Create or replace a calendar; jobs that name it go by it at once.")
  static let environmentFlags = CalendarOptions.environmentFlags

  @OptionGroup var calendar: CalendarOptions

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("An excluded day: 2026-12-25, each year 12-25, each week sat.", valueName: "day"))
  var day: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Excluded from, up to and not including, to: dates, local times, or times with an offset.",
      valueName: "from/to"))
  var range: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("Each second that it matches is excluded, as '* 22-5 * * *'.", valueName: "expression")
  )
  var cron: [String] = []
  @Option(help: ArgumentHelp("The zone of days and cron expressions; UTC when not given.", valueName: "zone"))
  var tz: String?
  @Option(help: "What it is for.") var description: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What it is filed under; may be given several times.", valueName: "name=value"))
  var label: [PairArgument] = []
  @Option(
    help: ArgumentHelp(
      "All of that from a file with JSON, as REST takes it; - for standard input.", valueName: "file"))
  var file: String?
  @Option(help: ArgumentHelp("Only if the calendar has this etag; * if it exists.", valueName: "etag"))
  var ifMatch: String?

  func run() async throws {
    let request = PutCalendarRequest(
      key: calendar.key, spec: try spec(), ifMatch: ifMatch, idempotencyKey: RandomKey.make())
    let view: CalendarView = try await calendar.server.client().call("/rota.v1.Calendars/Put", request)
    if calendar.output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    Terminal.print("\(view.record.key.name): generation \(view.record.generation)")
  }

  private func spec() throws -> CalendarSpec {
    if let file {
      guard day.isEmpty, range.isEmpty, cron.isEmpty, tz == nil, description == nil, label.isEmpty else {
        throw ValidationError(
          "--file has all of the calendar; give no --day, --range, --cron, --tz, --description, --label")
      }
      let text = try TextFile.contents(of: file)
      do { return try CalendarSpec(parsingJSON: Array(text.utf8)) } catch {
        throw CommandFailure("\(file): \(error)")
      }
    }
    var spec = CalendarSpec()
    spec.days = day
    spec.ranges = try range.map { text in
      let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2 else {
        throw ValidationError("--range '\(text)': FROM/TO was expected, as 2026-12-20/2027-01-04")
      }
      return CalendarSpec.Range(from: parts[0], to: parts[1])
    }
    spec.cron = cron
    if let tz { spec.timeZone = tz }
    spec.description = description ?? ""
    spec.labels = label.dictionary
    return spec
  }
}

/// `rota calendar get`
struct CalendarGetCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "get", abstract: "Show one calendar.")
  static let environmentFlags = CalendarOptions.environmentFlags

  @OptionGroup var calendar: CalendarOptions

  func run() async throws {
    let view: CalendarView = try await calendar.server.client().call(
      "/rota.v1.Calendars/Get", GetCalendarRequest(key: calendar.key))
    if calendar.output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    let (key, spec) = (view.record.key, view.record.spec)
    var facts = Table(["Calendar:", "\(key.namespace)/\(key.name)"])
    if !spec.description.isEmpty { facts.add(["For:", spec.description]) }
    if !spec.labels.isEmpty { facts.add(["Labels:", JobTexts.labels(spec.labels)]) }
    facts.add(["Zone:", spec.timeZone])
    for (index, day) in spec.days.enumerated() { facts.add([index == 0 ? "Days:" : "", day]) }
    for (index, range) in spec.ranges.enumerated() {
      facts.add([index == 0 ? "Ranges:" : "", "\(range.from) to \(range.to)"])
    }
    for (index, text) in spec.cron.enumerated() { facts.add([index == 0 ? "Windows:" : "", text]) }
    facts.add(["Created:", Texts.time(view.record.createdAt)])
    facts.add(["Changed:", Texts.time(view.record.updatedAt)])
    facts.add(["Generation:", "\(view.record.generation) (etag \(view.etag))"])
    facts.print()
  }
}

/// `rota calendar list`
struct CalendarListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "List calendars.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let client = try server.client()
    let calendars = try await Pages.collect(limit: 0) { size, token in
      let answer: ListCalendarsResponse = try await client.call(
        "/rota.v1.Calendars/List",
        ListCalendarsRequest(namespace: namespace.namespace, pageSize: size, pageToken: token))
      return (answer.calendars, answer.nextPageToken)
    }.entries
    if output.output == .json {
      return ViewJSON.print("calendars", calendars) { $0.write(to: &$1) }
    }
    var table = Table(["NAMESPACE", "CALENDAR", "DAYS", "RANGES", "WINDOWS", "ZONE", "CHANGED", "FOR"])
    for calendar in calendars.map(\.record) {
      let spec = calendar.spec
      table.add([
        calendar.key.namespace, calendar.key.name, "\(spec.days.count)", "\(spec.ranges.count)",
        "\(spec.cron.count)", spec.timeZone, Texts.time(calendar.updatedAt),
        spec.description.isEmpty ? "-" : spec.description,
      ])
    }
    table.print()
  }
}

/// `rota calendar delete`
struct CalendarDeleteCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Delete a calendar that no job names.")
  static let environmentFlags = CalendarOptions.environmentFlags

  @OptionGroup var calendar: CalendarOptions
  @Option(help: ArgumentHelp("Only if the calendar has this etag.", valueName: "etag")) var ifMatch: String?

  func run() async throws {
    let request = DeleteCalendarRequest(key: calendar.key, ifMatch: ifMatch)
    let _: DeleteCalendarResponse = try await calendar.server.client().call(
      "/rota.v1.Calendars/Delete", request)
    if calendar.output.output == .table { Terminal.print("\(calendar.name) is deleted") }
  }
}
