import Glibc
import SchedulerCore

/// Whom an agent lets jobs run as. Without a list: nobody.
struct RunAsPolicy: Sendable {
  /// Stands for every user but root.
  static let anyone = "*"

  /// Users by name or number, users with a group as `user:group`, and `*`.
  let allowed: [String]

  /// Checks the entries of a list.
  ///
  /// - Throws: `AgentError` with code `configuration` that names the entry.
  static func validate(_ allowed: [String]) throws(AgentError) {
    for entry in allowed where entry != anyone {
      do throws(TextError) { _ = try RunAs(entry) } catch {
        throw AgentError(.configuration, "--allow-run-as '\(entry)': \(error.message), or \(anyone)")
      }
    }
  }

  /// The user for a job that asks for one.
  ///
  /// - Throws: `AgentError` that says why it is refused.
  func account(for text: String) throws(AgentError) -> UserAccount {
    let wanted: RunAs
    do throws(TextError) { wanted = try RunAs(text) } catch {
      throw AgentError(.configuration, "run_as: \(error.message)")
    }
    guard !allowed.isEmpty else {
      throw refusal(text, "this agent lets jobs run as no other user; see its --allow-run-as")
    }
    let account = try UserAccount.find(wanted, inAnyGroup: allowed.contains(text))
    guard allows(account, as: wanted) else {
      throw refusal(text, "this agent allows only \(allowed.joined(separator: ", "))")
    }
    if let reason = Self.whyNot(become: account) { throw refusal(text, reason) }
    return account
  }

  private func refusal(_ text: String, _ why: String) -> AgentError {
    AgentError(.configuration, "run_as \(text) is refused: \(why)")
  }

  private func allows(_ account: UserAccount, as wanted: RunAs) -> Bool {
    let users = [account.name, String(account.uid)].compactMap { $0 }
    if let group = wanted.group, users.contains(where: { allowed.contains("\($0):\(group)") }) { return true }
    // A number that nobody has could be given any group, root's too: that pair has to be in the list.
    if account.name == nil, wanted.group != nil { return false }
    if users.contains(where: allowed.contains) { return true }
    return allowed.contains(Self.anyone) && account.uid != 0
  }

  /// Why this process cannot become a user; nil when it can, or is that user.
  private static func whyNot(become account: UserAccount) -> String? {
    if geteuid() == 0 {
      let missing = Capabilities.missing
      return missing.isEmpty
        ? nil : "this agent runs as root without the capabilities \(missing.joined(separator: ", "))"
    }
    if account.uid == geteuid(), account.groups.first == getegid() { return nil }
    return "this agent runs as user \(geteuid()), and only root can become another user"
  }
}

/// What root may be without in a container (capabilities(7)).
private enum Capabilities {
  /// What changing a user takes, and living with what that user's processes leave behind.
  private static let needed = [
    (0, "CAP_CHOWN"), (1, "CAP_DAC_OVERRIDE"), (5, "CAP_KILL"), (6, "CAP_SETGID"), (7, "CAP_SETUID"),
  ]

  /// The needed ones that this process does not have. They do not change while it runs.
  static let missing: [String] = {
    let status = String(decoding: ((try? Files.read("/proc/self/status")) ?? nil) ?? [], as: UTF8.self)
    let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    guard let digits = line?.split(separator: "\t").last, let bits = UInt64(digits, radix: 16) else {
      return []
    }
    return needed.filter { bits & (1 << UInt64($0.0)) == 0 }.map(\.1)
  }()
}
