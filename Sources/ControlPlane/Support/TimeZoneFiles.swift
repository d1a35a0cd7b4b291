import Glibc
import SchedulerCore

/// The time zones of this machine: Debian's package tzdata, or a folder of the same kind.
public struct TimeZoneFiles: Sendable {
  /// All zones that were found; UTC alone where there are none.
  public let zones: TimeZones
  /// Where they were found; nil where no folder of zones is there.
  public let folder: String?
  /// The tz database's version, such as `2025b`; nil where the folder does not say.
  public let version: String?

  /// The variable that names the folder.
  public static let variable = "ROTA_TZDATA"
  /// Where systems have them; the first that is there counts.
  public static let usualFolders = [
    "/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo",
  ]

  /// Reads all zones of a folder: the one that is given, that of `ROTA_TZDATA`, or the first of the usual ones.
  /// Links are followed. What is no TZif file (tables, sources) is passed over; a broken one is listed in
  /// `zones.unreadable`.
  /// - Throws: `TimeZoneFilesError` where a folder is asked for that has no zones; missing usual ones are no error.
  public static func load(folder: String? = nil) throws(TimeZoneFilesError) -> TimeZoneFiles {
    if let asked = folder ?? getenv(variable).map({ String(cString: $0) }), !asked.isEmpty {
      let files = read(asked)
      guard !files.isEmpty else { throw TimeZoneFilesError(folder: asked) }
      return TimeZoneFiles(folder: asked, files: files)
    }
    for usual in usualFolders {
      let files = read(usual)
      if !files.isEmpty { return TimeZoneFiles(folder: usual, files: files) }
    }
    return TimeZoneFiles(folder: nil, files: [:])
  }

  private init(folder: String?, files: [String: [UInt8]]) {
    self.folder = folder
    zones = TimeZones(files: files)
    version = folder.flatMap { Self.version(in: $0) }
  }

  // MARK: Folders

  /// Folders below the main one: `America/Argentina` is one in one.
  private static let maxDepth = 3
  /// Beyond so many files something else than zones is there; today there are about 600.
  private static let maxFiles = 5_000
  /// Copies of all zones: `posix` the same, `right` with leap seconds.
  private static let copies: Set<String> = ["posix", "right"]
  /// Names at the top that are settings of the machine, not zones.
  private static let settings: Set<String> = ["localtime", "posixrules"]

  private static func read(_ folder: String) -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    var folders: [(path: String, prefix: String, depth: Int)] = [(folder, "", 1)]
    while let (path, prefix, depth) = folders.popLast() {
      for entry in entries(of: path) where isNamePart(entry) && files.count < maxFiles {
        if depth == 1, copies.contains(entry) || settings.contains(entry) { continue }
        let entryPath = path + "/" + entry
        if isFolder(entryPath) {
          if depth < maxDepth { folders.append((entryPath, prefix + entry + "/", depth + 1)) }
        } else if let bytes = zone(entryPath) {
          files[prefix + entry] = bytes
        }
      }
    }
    return files
  }

  /// Whether a name is one that the tz database uses. Points are not in it, so `..` is not, nor are the names
  /// of tables such as `zone.tab`.
  private static func isNamePart(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "+"):
          true
        default: false
        }
      }
  }

  /// By opening it: NIO's C modules declare `stat` as well, and the compiler may take it for theirs.
  private static func isFolder(_ path: String) -> Bool {
    guard let folder = opendir(path) else { return false }
    closedir(folder)
    return true
  }

  private static func entries(of path: String) -> [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) { pointer in
          pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        })
    }
    return names
  }

  // MARK: Files

  /// The bytes of a file that is a zone; nil for one that is something else.
  private static func zone(_ path: String) -> [UInt8]? {
    guard let bytes = read(path, upTo: TimeZones.maxFileBytes + 1), bytes.count <= TimeZones.maxFileBytes
    else { return nil }
    return bytes.starts(with: "TZif".utf8) ? bytes : nil
  }

  private static func read(_ path: String, upTo limit: Int) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limit)
    var done = 0
    while done < limit {
      let got = bytes.withUnsafeMutableBytes { buffer in
        Glibc.read(descriptor, buffer.baseAddress.map { $0 + done }, limit - done)
      }
      if got < 0 && errno == EINTR { continue }
      guard got > 0 else { break }
      done += got
    }
    return Array(bytes[..<done])
  }

  /// From the first line of the database's source, which distributions install too: `# version 2025b`.
  private static func version(in folder: String) -> String? {
    let prefix = "# version "
    guard let start = read(folder + "/tzdata.zi", upTo: 64) else { return nil }
    let line = String(decoding: start.prefix { $0 != 0x0A }, as: UTF8.self)
    return line.hasPrefix(prefix) ? String(line.dropFirst(prefix.count)) : nil
  }
}

/// No zones where some were asked for.
public struct TimeZoneFilesError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The folder.
  public let folder: String

  /// What is wrong and what to do.
  public var description: String {
    "there are no time zones in '\(folder)': TZif files such as Europe/Berlin were expected, as Debian's "
      + "package tzdata has them"
  }
}
