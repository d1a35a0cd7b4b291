import ArgumentParser
import Proto
import SchedulerCore

/// `rota queues`
struct QueuesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "queues", abstract: "Queues: what runs wait in for an agent.",
    discussion: """
      A job names one with --queue. A queue that nobody has put exists all the same, with the defaults.

      Examples:
        rota queues put reports --max-running 4 --dispatch-rate 10 --priority 30
        rota queues put gpu --agents 'exists gpu' --weight 300
        rota queues put shared --share team-a=300 --share team-b=100
        rota queues pause reports --note 'the database is being moved'
        rota submit --queue reports -- /srv/report
      """,
    subcommands: [
      QueueListCommand.self, QueueShowCommand.self, QueuePutCommand.self, QueuePauseCommand.self,
      QueueResumeCommand.self, QueueDeleteCommand.self,
    ], defaultSubcommand: QueueListCommand.self)
}

/// The flags of a command that is about one queue.
struct QueueOptions: ParsableArguments {
  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  @Argument(help: "The queue's name.") var name: String

  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags

  /// Makes a call that answers with the queue, and shows that, or says `sentence`.
  func call<Request: WireMessage>(
    _ method: String, _ request: Request, _ sentence: (QueueView) -> String
  ) async throws {
    let queue: QueueView = try await server.client().call("/rota.v1.Queues/\(method)", request)
    if output.output == .json { return ViewJSON.print { queue.write(to: &$0) } }
    Terminal.print(sentence(queue))
  }
}

/// `rota queues put`
struct QueuePutCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Create or replace what a queue is set to; it counts at once.",
    discussion: "What is not given takes the default. A pause stays as it is.")
  static let environmentFlags = QueueOptions.environmentFlags

  @OptionGroup var queue: QueueOptions

  @Option(
    help: ArgumentHelp(
      "Its share among the queues of the same priority, 1 to 1000; 100 when not given.", valueName: "number"))
  var weight: Int?
  @Option(help: ArgumentHelp("1 (last) to 100 (first); 50 when not given.", valueName: "number"))
  var priority: Int?
  @Option(
    help: ArgumentHelp(
      "How many of its runs may have an agent at once; any number when not given.", valueName: "count"))
  var maxRunning: Int?
  @Option(
    help: ArgumentHelp(
      "How many of its runs may be given to agents in a second, as 10 or 0.5; any number when not given.",
      valueName: "number"))
  var dispatchRate: Double?
  @Option(help: ArgumentHelp("How many at once after a rest; a second's when not given.", valueName: "count"))
  var dispatchBurst: Int?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What an agent has to meet to serve it, as pool=batch or 'exists gpu'; may be given several times.",
      valueName: "condition"))
  var agents: [String] = []
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "A namespace's share, 1 to 1000; 100 for each that is not given.", valueName: "namespace=number"))
  var share: [PairArgument] = []
  @Option(help: "What it is for.") var description: String?
  @Option(
    help: ArgumentHelp(
      "All of that from a file with JSON, as REST takes it; - for standard input.", valueName: "file"))
  var file: String?
  @Option(help: ArgumentHelp("Only if the queue has this etag; * if somebody has put it.", valueName: "etag"))
  var ifMatch: String?

  func run() async throws {
    let request = PutQueueRequest(
      name: queue.name, spec: try spec(), ifMatch: ifMatch, idempotencyKey: RandomKey.make())
    try await queue.call("Put", request) { "\($0.name): generation \($0.record?.generation ?? 0)" }
  }

  private func spec() throws -> QueueSpec {
    if let file {
      guard weight == nil, priority == nil, maxRunning == nil, dispatchRate == nil, dispatchBurst == nil,
        agents.isEmpty, share.isEmpty, description == nil
      else { throw ValidationError("--file has all of the queue; give no other flag about it") }
      let text = try TextFile.contents(of: file)
      do { return try QueueSpec(parsingJSON: Array(text.utf8)) } catch {
        throw CommandFailure("\(file): \(error)")
      }
    }
    var spec = QueueSpec()
    if let weight { spec.weight = weight }
    if let priority { spec.priority = priority }
    spec.maxRunning = maxRunning
    spec.dispatchRate = dispatchRate
    spec.dispatchBurst = dispatchBurst
    spec.agents = try agents.map { text in
      try SpecOptions.reading("--agents") { try Constraint(text: text) }
    }
    for (namespace, text) in share.dictionary {
      guard let weight = Int(text) else {
        throw ValidationError("--share \(namespace)=\(text): a whole number was expected, as team-a=300")
      }
      spec.fairnessWeights[namespace] = weight
    }
    spec.description = description ?? ""
    return spec
  }
}

/// `rota queues show`
struct QueueShowCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show one queue: what it is set to, and how it stands.")
  static let environmentFlags = QueueOptions.environmentFlags

  @OptionGroup var queue: QueueOptions

  func run() async throws {
    try await queue.call("Get", GetQueueRequest(name: queue.name)) {
      Self.facts($0).lines.joined(separator: "\n")
    }
  }

  static func facts(_ view: QueueView) -> Table {
    let spec = view.spec
    var facts = Table(["Queue:", view.name])
    if !spec.description.isEmpty { facts.add(["For:", spec.description]) }
    facts.add(["State:", view.state])
    if let note = view.record?.pauseNote { facts.add(["Note:", note]) }
    facts.add(["Priority:", "\(spec.priority)"])
    facts.add(["Weight:", "\(spec.weight)"])
    facts.add(["Max running:", spec.maxRunning.map(String.init) ?? "any number"])
    facts.add(["Dispatches:", spec.rateText])
    for (index, constraint) in spec.agents.enumerated() {
      facts.add([index == 0 ? "Agents:" : "", constraint.text])
    }
    for (index, share) in spec.fairnessWeights.sorted(by: { $0.key < $1.key }).enumerated() {
      facts.add([index == 0 ? "Shares:" : "", "\(share.key)=\(share.value)"])
    }
    if let figures = view.figures {
      let since = figures.waitingSince.map { ", the oldest since \(Texts.time($0))" } ?? ""
      facts.add(["Waiting:", "\(figures.waiting)\(since)"])
      facts.add(["Running:", "\(figures.running)"])
      facts.add(["Dispatched:", "\(figures.dispatched)"])
    }
    if let record = view.record {
      facts.add(["Created:", Texts.time(record.createdAt)])
      facts.add(["Changed:", Texts.time(record.updatedAt)])
      facts.add(["Generation:", "\(record.generation) (etag \(view.etag))"])
    }
    return facts
  }
}

/// `rota queues list`
struct QueueListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the queues that somebody has put or that are in use.")
  static let environmentFlags = ServerOptions.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let client = try server.client()
    let queues = try await Pages.collect(limit: 0) { size, token in
      let answer: ListQueuesResponse = try await client.call(
        "/rota.v1.Queues/List", ListQueuesRequest(pageSize: size, pageToken: token))
      return (answer.queues, answer.nextPageToken)
    }.entries
    if output.output == .json { return ViewJSON.print("queues", queues) { $0.write(to: &$1) } }
    var table = Table([
      "QUEUE", "STATE", "WAITING", "RUNNING", "MAX", "DISPATCHES", "PRIORITY", "WEIGHT", "FOR",
    ])
    for queue in queues {
      let spec = queue.spec
      table.add([
        queue.name, queue.state, queue.figures.map { "\($0.waiting)" } ?? "?",
        queue.figures.map { "\($0.running)" } ?? "?", spec.maxRunning.map(String.init) ?? "-",
        spec.dispatchRate == nil ? "-" : spec.rateText, "\(spec.priority)", "\(spec.weight)",
        spec.description.isEmpty ? "-" : spec.description,
      ])
    }
    table.print()
  }
}

/// `rota queues pause`
struct QueuePauseCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "pause", abstract: "Have a queue give out nothing; runs that have an agent go on.")
  static let environmentFlags = QueueOptions.environmentFlags

  @OptionGroup var queue: QueueOptions
  @Option(help: "Why; kept with the queue.") var note: String?

  func run() async throws {
    try await queue.call("Pause", PauseQueueRequest(name: queue.name, note: note)) { "\($0.name) is paused" }
  }
}

/// `rota queues resume`
struct QueueResumeCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "resume", abstract: "End a queue's pause.")
  static let environmentFlags = QueueOptions.environmentFlags

  @OptionGroup var queue: QueueOptions

  func run() async throws {
    try await queue.call("Resume", ResumeQueueRequest(name: queue.name)) { "\($0.name) is not paused" }
  }
}

/// `rota queues delete`
struct QueueDeleteCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Take a queue back to the defaults; runs that wait in it stay.")
  static let environmentFlags = QueueOptions.environmentFlags

  @OptionGroup var queue: QueueOptions
  @Option(help: ArgumentHelp("Only if the queue has this etag.", valueName: "etag")) var ifMatch: String?

  func run() async throws {
    let request = DeleteQueueRequest(name: queue.name, ifMatch: ifMatch)
    let _: DeleteQueueResponse = try await queue.server.client().call("/rota.v1.Queues/Delete", request)
    if queue.output.output == .table { Terminal.print("\(queue.name) goes by the defaults") }
  }
}

extension QueueView {
  /// Whether it gives out runs, in a word or a few.
  fileprivate var state: String {
    if record?.pausedAt != nil { return "paused" }
    guard let block = figures?.block else { return "open" }
    switch block {
    case .paused: return "paused"
    case .full: return "full"
    case .rateLimited: return "rate limited"
    }
  }
}

extension QueueSpec {
  /// Its rate of dispatches for people: `10/s, 20 at once`.
  fileprivate var rateText: String {
    guard let dispatchRate else { return "any number" }
    let number = dispatchRate.rounded() == dispatchRate ? "\(Int(dispatchRate))" : "\(dispatchRate)"
    return "\(number)/s, \(burst) at once"
  }
}
