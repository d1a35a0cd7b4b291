import ArgumentParser
import Curl
import EtcdClient
import Logging

/// How servers and agents reach etcd.
struct EtcdOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Addresses of etcd, with commas between them; https://host:port for TLS. (env: ROTA_ETCD)",
      valueName: "host:port,…"))
  var etcd = "127.0.0.1:2379"

  @Option(
    help: ArgumentHelp("Certificates that etcd's are checked against. (env: ROTA_ETCD_CA)", valueName: "file")
  )
  var etcdCa: String?

  @Option(
    help: ArgumentHelp("Our certificate, for an etcd that asks. (env: ROTA_ETCD_CERT)", valueName: "file"))
  var etcdCert: String?

  @Option(help: ArgumentHelp("The key of our certificate. (env: ROTA_ETCD_KEY)", valueName: "file"))
  var etcdKey: String?

  @Option(
    help: ArgumentHelp(
      "Our name, for an etcd with authentication; its password comes from ROTA_ETCD_PASSWORD. (env: ROTA_ETCD_USER)",
      valueName: "name"))
  var etcdUser: String?

  @Option(
    help: ArgumentHelp("What all keys of this cluster begin with. (env: ROTA_PREFIX)", valueName: "path"))
  var prefix = "/rota"

  static let environmentFlags: [EnvironmentFlag] = [
    "etcd", "etcd-ca", "etcd-cert", "etcd-key", "etcd-user", "prefix",
  ]

  func validate() throws {
    guard prefix.hasPrefix("/"), !prefix.hasSuffix("/") else {
      throw ValidationError("--prefix has to begin with a slash and end without one, is '\(prefix)'")
    }
    guard (etcdCert == nil) == (etcdKey == nil) else {
      throw ValidationError("--etcd-cert and --etcd-key go together")
    }
    guard !endpoints.isEmpty else { throw ValidationError("--etcd names no address") }
  }

  /// Makes a client; it connects with the first request.
  func client(logger: Logger) throws -> EtcdClient {
    var configuration = EtcdClient.Configuration(endpoints: endpoints)
    if etcdCa != nil || etcdCert != nil {
      configuration.tls = TLSOptions(caFile: etcdCa, certificateFile: etcdCert, privateKeyFile: etcdKey)
    }
    if let etcdUser {
      guard let password = EnvironmentFlags.variable("ROTA_ETCD_PASSWORD") else {
        throw CommandFailure("--etcd-user needs the password in the variable ROTA_ETCD_PASSWORD")
      }
      configuration.user = HTTPRequest.UserPassword(user: etcdUser, password: password)
    }
    do {
      return try EtcdClient(configuration: configuration, logger: logger)
    } catch {
      throw CommandFailure("\(error)")
    }
  }

  /// The addresses as URLs.
  private var endpoints: [String] {
    etcd.split(separator: ",").map { $0.contains("://") ? String($0) : "http://\($0)" }
  }
}
