import ArgumentParser
import SchedulerCore

/// How a client command reaches the cluster.
struct ServerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Address of a server's gRPC; several, with commas between them, are tried in turn. https://host:port for TLS \
      with the system's authorities. (env: ROTA_SERVER)
      """,
      valueName: "host:port"))
  var server = AddressList([AddressArgument(host: "127.0.0.1", port: 7070)])

  @OptionGroup(title: "TLS") var tls: ClientTLSOptions

  static let environmentFlags: [EnvironmentFlag] = ["server"] + ClientTLSOptions.environmentFlags

  /// A client of these servers.
  func client() throws -> APIClient {
    let isSecure = server.isSecure || tls.isOn
    return APIClient(
      addresses: server.addresses, tls: isSecure ? try tls.credentials(logger: APIClient.logger) : nil)
  }
}

/// The namespace of the job that a command is about.
struct NamespaceOption: ParsableArguments {
  @Option(name: .shortAndLong, help: "The namespace. (env: ROTA_NAMESPACE)")
  var namespace = JobSpec.Defaults.namespace

  static let environmentFlags: [EnvironmentFlag] = ["namespace"]
}

/// The namespace that a listing is restricted to.
struct NamespaceFilter: ParsableArguments {
  @Option(name: .shortAndLong, help: "Only this namespace. (env: ROTA_NAMESPACE)")
  var namespace: String?

  static let environmentFlags: [EnvironmentFlag] = ["namespace"]
}

/// How a command prints its result.
struct OutputOptions: ParsableArguments {
  @Option(name: .shortAndLong, help: "table or json. (env: ROTA_OUTPUT)")
  var output = OutputFormat.table

  static let environmentFlags: [EnvironmentFlag] = ["output"]
}

/// How much of a listing is shown.
struct PageOptions: ParsableArguments {
  @Option(help: "The most entries to show; 0 for all.")
  var limit = 100

  func validate() throws {
    guard limit >= 0 else { throw ValidationError("--limit has to be 0 or more") }
  }
}

/// `JOB`, which means its newest run, or `JOB/RUN`.
struct RunArgument: ExpressibleByArgument {
  let jobID: String
  let runID: String?

  init?(argument: String) {
    let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), !parts.contains(where: \.isEmpty) else { return nil }
    jobID = String(parts[0])
    runID = parts.count == 2 ? String(parts[1]) : nil
  }
}
