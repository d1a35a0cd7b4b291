import Glibc
import SchedulerCore

/// A user of this machine, as the system's databases (nsswitch.conf(5)) know them.
struct UserAccount: Hashable, Sendable {
  var uid: uid_t
  /// The primary group first.
  var groups: [gid_t]
  /// Nil for a number that nobody has.
  var name: String?
  /// The home folder, where there is one.
  var home: String?

  /// Looks a user up.
  ///
  /// - Parameter inAnyGroup: whether the group may be one that the user is not in.
  /// - Throws: `AgentError` when there is no such user or group, or when a group is not the user's.
  static func find(_ wanted: RunAs, inAnyGroup: Bool = false) throws(AgentError) -> UserAccount {
    var account: UserAccount
    if let found = named(wanted.user) {
      account = found
    } else if let uid = number(wanted.user) {
      account = numbered(uid) ?? UserAccount(uid: uid, groups: [])
    } else {
      throw AgentError(.configuration, "run_as: there is no user \(wanted.user) on this machine")
    }
    if let wantedGroup = wanted.group {
      guard let group = groupNamed(wantedGroup) ?? number(wantedGroup) else {
        throw AgentError(.configuration, "run_as: there is no group \(wantedGroup) on this machine")
      }
      // A user that nobody knows has no groups that could be checked.
      guard inAnyGroup || account.name == nil || account.groups.contains(group) else {
        throw AgentError(.configuration, "run_as: user \(wanted.user) is not in the group \(wantedGroup)")
      }
      account.groups = [group] + account.groups.filter { $0 != group }
    }
    guard !account.groups.isEmpty else {
      throw AgentError(
        .configuration,
        "run_as: this machine knows no user \(wanted.user), so a group is needed too, as \(wanted.user):1000")
    }
    return account
  }

  /// -1 means "no change" to the kernel, so it is nobody's number.
  private static func number(_ text: String) -> UInt32? {
    UInt32(text).flatMap { $0 == .max ? nil : $0 }
  }

  private static func named(_ name: String) -> UserAccount? { entry { getpwnam_r(name, $0, $1, $2, $3) } }
  private static func numbered(_ uid: uid_t) -> UserAccount? { entry { getpwuid_r(uid, $0, $1, $2, $3) } }

  private typealias Lookup<Entry> = (
    UnsafeMutablePointer<Entry>, UnsafeMutablePointer<CChar>, Int,
    UnsafeMutablePointer<UnsafeMutablePointer<Entry>?>
  ) -> Int32

  private static func entry(_ look: Lookup<passwd>) -> UserAccount? {
    found(passwd(), look) { entry in
      guard let name = entry.pw_name.map({ String(cString: $0) }) else { return nil }
      return UserAccount(
        uid: entry.pw_uid, groups: groups(of: name, primary: entry.pw_gid), name: name,
        home: entry.pw_dir.map { String(cString: $0) })
    }
  }

  private static func groupNamed(_ name: String) -> gid_t? {
    found(group(), { getgrnam_r(name, $0, $1, $2, $3) }) { $0.gr_gid }
  }

  /// Calls one of the `_r` functions with a buffer that grows as long as it is said to be too small.
  private static func found<Entry, Value>(
    _ blank: Entry, _ look: Lookup<Entry>, _ value: (Entry) -> Value?
  ) -> Value? {
    var entry = blank
    var size = 1_024
    while size <= AgentLimits.userEntryBytes {
      let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: size)
      defer { buffer.deallocate() }
      var result: UnsafeMutablePointer<Entry>?
      let code = look(&entry, buffer, size, &result)
      // The texts of the entry are in the buffer, so it is read while that is there.
      if code == 0 { return result == nil ? nil : value(entry) }
      guard code == ERANGE else { return nil }
      size *= 4
    }
    return nil
  }

  private static func groups(of name: String, primary: gid_t) -> [gid_t] {
    var count: Int32 = 64
    while count <= AgentLimits.userGroups {
      var groups = [gid_t](repeating: 0, count: Int(count))
      if getgrouplist(name, primary, &groups, &count) >= 0 {
        let found = groups.prefix(Int(count))
        return [primary] + found.filter { $0 != primary }
      }
    }
    return [primary]
  }
}
