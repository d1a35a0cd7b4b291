/// What a control group can limit.
enum CgroupController: String, Hashable, Sendable, CaseIterable {
  case memory, pids, cpu
}

/// A mounted hierarchy of control groups, as this process sees it.
struct CgroupMount: Hashable, Sendable {
  enum Version: Hashable, Sendable {
    case v1, v2
  }

  var version: Version
  /// Of version 1: what is mounted here. Version 2 says it folder by folder.
  var controllers: Set<CgroupController>
  /// The mount point.
  var path: String
  /// The folder of this process's own group.
  var own: String

  /// Finds all hierarchies.
  ///
  /// - Parameters:
  ///   - mountinfo: `/proc/self/mountinfo` (proc(5)): id, parent, device, root, mount point, options, … - type, source,
  ///     options of the file system.
  ///   - groups: `/proc/self/cgroup` (cgroups(7)): lines of id, controllers and path with colons between them; of
  ///     version 2 the id is 0 and there are no controllers.
  static func all(mountinfo: String, groups: String) -> [CgroupMount] {
    let own = groups.split(separator: "\n").map { line in
      line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
    }.filter { $0.count == 3 }
    return mountinfo.split(separator: "\n").compactMap { mount(String($0), own: own) }
  }

  private static func mount(_ line: String, own: [[String]]) -> CgroupMount? {
    guard let separator = line.firstRange(of: " - ") else { return nil }
    let before = line[..<separator.lowerBound].split(separator: " ").map(String.init)
    let after = line[separator.upperBound...].split(separator: " ").map(String.init)
    guard before.count >= 5, after.count >= 3 else { return nil }
    let names = after[2].split(separator: ",").map(String.init)
    let version: Version
    let ownPath: String?
    switch after[0] {
    case "cgroup2":
      version = .v2
      ownPath = own.first { $0[0] == "0" && $0[1].isEmpty }?[2]
    case "cgroup":
      version = .v1
      ownPath = own.first { $0[1].split(separator: ",").contains { names.contains(String($0)) } }?[2]
    default: return nil
    }
    let point = unescaped(before[4])
    return CgroupMount(
      version: version,
      controllers: version == .v1 ? Set(names.compactMap(CgroupController.init(rawValue:))) : [],
      path: point, own: folder(of: ownPath ?? "/", root: unescaped(before[3]), mountedAt: point))
  }

  /// Where a group's folder is when `root` of the hierarchy is mounted at `point`: a container may see only a part, and
  /// a group outside of it ("/../x") not at all.
  private static func folder(of group: String, root: String, mountedAt point: String) -> String {
    var rest = Substring(group)
    if root != "/" {
      guard group == root || group.hasPrefix(root + "/") else { return point }
      rest = rest.dropFirst(root.count)
    }
    if rest.isEmpty || rest == "/" || rest.hasPrefix("/..") { return point }
    return (point == "/" ? "" : point) + rest
  }

  /// The kernel writes space, tab, line end and backslash as three octal digits.
  private static func unescaped(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3,
        let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        bytes.append(code)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
