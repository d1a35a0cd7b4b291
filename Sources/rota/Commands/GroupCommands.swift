import ArgumentParser
import Proto
import SchedulerCore

/// `rota groups`
struct GroupsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "groups", abstract: "Concurrency groups whose limit is kept in one place.",
    discussion: """
      Examples:
        rota groups put warehouse --limit 3 --description 'connections that the warehouse can stand'
        rota submit --concurrency-key warehouse -- /srv/load
      """,
    subcommands: [
      GroupPutCommand.self, GroupGetCommand.self, GroupListCommand.self, GroupDeleteCommand.self,
    ], defaultSubcommand: GroupListCommand.self)
}

/// The flags of a command that is about one group.
struct GroupOptions: ParsableArguments {
  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceOption
  @OptionGroup var output: OutputOptions

  @Argument(help: "The group's name: what comes of the key of the jobs.") var name: String

  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceOption.environmentFlags + OutputOptions.environmentFlags

  var key: GroupKey { GroupKey(namespace: namespace.namespace, name: name) }
}

/// `rota groups put`
struct GroupPutCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Set a group's limit; it goes before those of all jobs, at once.")
  static let environmentFlags = GroupOptions.environmentFlags

  @OptionGroup var group: GroupOptions
  @Option(
    help: ArgumentHelp("How many runs of the group may be with agents at once.", valueName: "count"))
  var limit: Int
  @Option(help: "What it is for.") var description: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("What it is filed under; may be given several times.", valueName: "name=value"))
  var label: [PairArgument] = []
  @Option(help: ArgumentHelp("Only if the group has this etag; * if it exists.", valueName: "etag"))
  var ifMatch: String?

  func run() async throws {
    var spec = GroupSpec(limit: limit)
    spec.description = description ?? ""
    spec.labels = label.dictionary
    let request = PutGroupRequest(
      key: group.key, spec: spec, ifMatch: ifMatch, idempotencyKey: RandomKey.make())
    let view: GroupView = try await group.server.client().call("/rota.v1.Groups/Put", request)
    if group.output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    Terminal.print("\(view.record.key.name): limit \(view.record.spec.limit), \(view.running) running")
  }
}

/// `rota groups get`
struct GroupGetCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "get", abstract: "Show one group.")
  static let environmentFlags = GroupOptions.environmentFlags

  @OptionGroup var group: GroupOptions

  func run() async throws {
    let view: GroupView = try await group.server.client().call(
      "/rota.v1.Groups/Get", GetGroupRequest(key: group.key))
    if group.output.output == .json { return ViewJSON.print { view.write(to: &$0) } }
    let (key, spec) = (view.record.key, view.record.spec)
    var facts = Table(["Group:", "\(key.namespace)/\(key.name)"])
    if !spec.description.isEmpty { facts.add(["For:", spec.description]) }
    facts.add(["Limit:", "\(spec.limit)"])
    facts.add(["Running:", "\(view.running)"])
    facts.add(["Waiting:", "\(view.waiting)"])
    facts.add(["Created:", Texts.time(view.record.createdAt)])
    facts.add(["Changed:", Texts.time(view.record.updatedAt)])
    facts.add(["Generation:", "\(view.record.generation) (etag \(view.etag))"])
    facts.print()
  }
}

/// `rota groups list`
struct GroupListCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(commandName: "list", abstract: "List groups.")
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags + OutputOptions.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter
  @OptionGroup var output: OutputOptions

  func run() async throws {
    let client = try server.client()
    let groups = try await Pages.collect(limit: 0) { size, token in
      let answer: ListGroupsResponse = try await client.call(
        "/rota.v1.Groups/List",
        ListGroupsRequest(namespace: namespace.namespace, pageSize: size, pageToken: token))
      return (answer.groups, answer.nextPageToken)
    }.entries
    if output.output == .json { return ViewJSON.print("groups", groups) { $0.write(to: &$1) } }
    var table = Table(["NAMESPACE", "GROUP", "LIMIT", "RUNNING", "WAITING", "CHANGED", "FOR"])
    for group in groups {
      let (key, spec) = (group.record.key, group.record.spec)
      table.add([
        key.namespace, key.name, "\(spec.limit)", "\(group.running)", "\(group.waiting)",
        Texts.time(group.record.updatedAt), spec.description.isEmpty ? "-" : spec.description,
      ])
    }
    table.print()
  }
}

/// `rota groups delete`
struct GroupDeleteCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "delete", abstract: "Delete a group's limit: those that jobs say count from then on.")
  static let environmentFlags = GroupOptions.environmentFlags

  @OptionGroup var group: GroupOptions
  @Option(help: ArgumentHelp("Only if the group has this etag.", valueName: "etag")) var ifMatch: String?

  func run() async throws {
    let request = DeleteGroupRequest(key: group.key, ifMatch: ifMatch)
    let _: DeleteGroupResponse = try await group.server.client().call("/rota.v1.Groups/Delete", request)
    if group.output.output == .table { Terminal.print("\(group.name) is deleted") }
  }
}
