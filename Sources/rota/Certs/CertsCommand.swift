import ArgumentParser
import Certificates
import SchedulerCore

/// `rota certs`
struct CertsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "certs",
    abstract: "Make and show the certificates of a cluster.",
    discussion: """
      'rota certs init' makes the cluster's authority, once; 'rota certs issue' makes a certificate for each server, \
      agent, user and member of etcd. The folder with ca.key is what keeps the cluster safe: it belongs on no machine \
      of the cluster.
      """,
    subcommands: [Init.self, Issue.self, Show.self])
}

/// The folder of the cluster's authority.
struct AuthorityFolder: ParsableArguments {
  @Option(help: ArgumentHelp("The folder of the cluster's authority.", valueName: "folder"))
  var dir = "certs"

  var certificate: String { dir + "/ca.crt" }
  var key: String { dir + "/ca.key" }
}

extension CertsCommand {
  /// `rota certs init`
  struct Init: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make the authority of a new cluster: ca.crt and ca.key.")

    @OptionGroup var folder: AuthorityFolder

    @Option(help: "The cluster's name; a part of everybody's identity, spiffe://<cluster>/<role>/<name>.")
    var cluster: String

    @Flag(help: "Replace an authority that is there; every certificate that it has signed is then void.")
    var force = false

    func run() throws {
      let pair = try asCommand { () throws(CertificateError) in
        try CertificateAuthority(cluster: cluster, now: WallClock.now().milliseconds / 1_000).pair
      }
      _ = try Folder.make(folder.dir)
      try CertificateFiles.write(pair, certificate: folder.certificate, key: folder.key, replacing: force)
      Terminal.print("\(folder.certificate)\n\(folder.key)")
    }
  }

  /// `rota certs issue`
  struct Issue: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a certificate and its key: ROLE-NAME.crt and ROLE-NAME.key.",
      discussion: """
        An agent's NAME is its id: it can be no other agent. --host and --ip are where clients reach a server or a \
        member of etcd; without any they are localhost, 127.0.0.1 and ::1.
        """)

    @Argument(help: "server, agent, client or etcd.")
    var role: CertificateRequest.Owner

    @Argument(help: "The server's or agent's id, the user's name.")
    var name: String

    @OptionGroup var folder: AuthorityFolder

    @Option(
      parsing: .singleValue,
      help: "A name under which it is reached; may be given several times. The first label may be '*'.")
    var host: [String] = []

    @Option(parsing: .singleValue, help: "An address under which it is reached; may be given several times.")
    var ip: [String] = []

    @Option(help: ArgumentHelp("How long it is valid.", valueName: "count"))
    var days = 365

    @Option(
      help: ArgumentHelp(
        "Where the files go, with a copy of ca.crt; the authority's folder when not given.",
        valueName: "folder"))
    var out: String?

    @Flag(help: "Replace files that are there.")
    var force = false

    func run() throws {
      let pair = try asCommand { () throws(CertificateError) in
        let authority = try CertificateAuthority(
          .init(certificate: try PEM.read(folder.certificate), key: try PEM.read(folder.key)))
        return try authority.issue(
          CertificateRequest(owner: role, name: name, hosts: host, addresses: ip, days: days),
          now: WallClock.now().milliseconds / 1_000)
      }
      let target = out ?? folder.dir
      let base = "\(target)/\(role.rawValue)-\(name)"
      _ = try Folder.make(target)
      try CertificateFiles.write(pair, certificate: base + ".crt", key: base + ".key", replacing: force)
      if target != folder.dir {
        let authority = try asCommand { () throws(CertificateError) in try PEM.read(folder.certificate) }
        try CertificateFiles.write(authority, to: target + "/ca.crt", mode: 0o644, replacing: true)
      }
      Terminal.print("\(base).crt\n\(base).key")
    }
  }

  /// `rota certs show`
  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show whom the certificates in a file are for, and until when.")

    @Argument(help: "A file with one or more certificates in PEM.")
    var file: String

    func run() throws {
      let found = try asCommand { () throws(CertificateError) in
        do throws(CertificateError) {
          return try CertificateFacts.read(pem: try PEM.read(file))
        } catch {
          guard error.code == .malformed else { throw error }
          throw CertificateError(error.code, "\(file): \(error)")
        }
      }
      let now = WallClock.now().milliseconds / 1_000
      Terminal.print(found.map { Self.text($0, now: now) }.joined(separator: "\n\n"))
    }

    private static func text(_ facts: CertificateFacts, now: Int64) -> String {
      var lines: [(String, String)] = []
      lines.append(("identity", facts.uris.isEmpty ? "none" : facts.uris.joined(separator: ", ")))
      lines.append(("subject", facts.subject))
      lines.append(("issuer", facts.issuer))
      lines.append(("from", time(facts.notBefore)))
      lines.append(("until", "\(time(facts.notAfter)), \(left(facts, now: now))"))
      lines.append(("hosts", facts.hosts.isEmpty ? "none" : facts.hosts.joined(separator: ", ")))
      lines.append(("uses", facts.uses.isEmpty ? "not restricted" : facts.uses.joined(separator: ", ")))
      lines.append(("serial", facts.serial))
      return lines.map { name, value in
        name + String(repeating: " ", count: 10 - name.count) + Terminal.sanitised(value)
      }.joined(separator: "\n")
    }

    private static func left(_ facts: CertificateFacts, now: Int64) -> String {
      if now < facts.notBefore { return "not valid yet" }
      return now < facts.notAfter ? "\((facts.notAfter - now + 43_200) / 86_400) days left" : "expired"
    }

    private static func time(_ seconds: Int64) -> String {
      Texts.time(Timestamp(microseconds: seconds * 1_000_000))
    }
  }
}

extension CertificateRequest.Owner: ExpressibleByArgument {}

/// Runs what may fail with a certificate's error as a part of a command.
private func asCommand<Result>(_ body: () throws(CertificateError) -> Result) throws -> Result {
  do throws(CertificateError) {
    return try body()
  } catch {
    throw CommandFailure(error.message)
  }
}
