import ArgumentParser
import ConfigFiles
import Glibc
import SchedulerCore

/// `rota export`
struct ExportCommand: AsyncParsableCommand, EnvironmentBacked {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write jobs and what they go by as files for 'rota apply'.",
    discussion: """
      Jobs that have ended or were cancelled are left out, since applied to another cluster they would run again.
      Examples:
        rota export > everything.yaml
        rota export -n reports -l team=data
        rota export --kind Job nightly hourly
      """)
  static let environmentFlags =
    ServerOptions.environmentFlags + NamespaceFilter.environmentFlags

  @OptionGroup var server: ServerOptions
  @OptionGroup var namespace: NamespaceFilter

  @Option(
    name: .shortAndLong, parsing: .singleValue,
    help: ArgumentHelp(
      "Only what has this label; may be given several times, and then all must hold.", valueName: "name=value"
    ))
  var label: [PairArgument] = []

  @Option(parsing: .singleValue, help: "Only this kind; may be given several times.")
  var kind: [KindArgument] = []

  @Flag(help: "Also jobs that have ended or were cancelled.") var all = false

  @Argument(help: "Only what is named so.") var names: [String] = []

  func run() async throws {
    let cluster = ConfigCluster(client: try server.client())
    let kinds = kind.isEmpty ? ConfigKind.allCases : kind.map(\.kind)
    var objects: [ConfigObject] = []
    for kind in kinds {
      objects += try await cluster.list(kind, namespace: namespace.namespace, labels: label.dictionary)
    }
    if !names.isEmpty {
      let found = Set(objects.map(\.key.name))
      if let missing = names.first(where: { !found.contains($0) }) {
        throw CommandFailure("there is nothing named '\(missing)'")
      }
      objects.removeAll { !names.contains($0.key.name) }
    }
    if !all { objects.removeAll { $0.isCancelled || $0.hasEnded } }
    objects.removeAll(where: \.isBeingDeleted)
    do {
      Terminal.write(Array(try ConfigText.write(objects.map { ($0.key, $0.spec) }).utf8), to: STDOUT_FILENO)
    } catch let error as ConfigError {
      throw CommandFailure(error.description)
    }
  }
}

/// A kind of documents.
struct KindArgument: ExpressibleByArgument {
  let kind: ConfigKind

  init?(argument: String) {
    guard let kind = ConfigKind.allCases.first(where: { $0.noun == argument.lowercased() }) else {
      return nil
    }
    self.kind = kind
  }

  static var allValueStrings: [String] { ConfigKind.allCases.map(\.rawValue) }
}
