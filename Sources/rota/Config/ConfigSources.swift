import ArgumentParser
import ConfigFiles
import Glibc
import SchedulerCore

/// The flags that name configuration files.
struct ConfigFileOptions: ParsableArguments {
  @Option(
    name: [.customShort("f"), .customLong("file")], parsing: .singleValue,
    help: ArgumentHelp(
      "A file, a folder with all of its .yaml, .yml and .json files, or - for standard input; may be given several "
        + "times.", valueName: "path"))
  var files: [String] = []

  @Option(name: .shortAndLong, help: "The namespace of documents that name none. (env: ROTA_NAMESPACE)")
  var namespace = JobSpec.Defaults.namespace

  /// What the files describe.
  /// - Throws: `CommandFailure` once all errors have been shown.
  func read() throws -> [ConfigEntry] {
    guard !files.isEmpty else { throw ValidationError("name the files with -f; - is standard input") }
    var reader = ConfigReader(namespace: namespace, zones: try Self.zones())
    for path in try ConfigSources.files(files) {
      do {
        let text = try TextFile.contents(of: path, atMost: ConfigLimits.fileBytes)
        reader.read(text, file: path == "-" ? "<stdin>" : path)
      } catch let failure as CommandFailure {
        throw failure.asWrongFiles
      }
    }
    try Self.refuse(reader.errors)
    return reader.entries
  }

  /// The zones of this machine; nil where it has none, and a server has to tell.
  private static func zones() throws -> TimeZones? {
    let zones = try Zones.load()
    return zones.names.count > 1 ? zones : nil
  }

  /// Shows errors of the files, if there are any, and gives up.
  static func refuse(_ errors: [ConfigError]) throws {
    guard !errors.isEmpty else { return }
    for error in errors.prefix(ConfigLimits.shownErrors) { Terminal.note(Terminal.sanitised("\(error)")) }
    let more = errors.count - ConfigLimits.shownErrors
    if more > 0 { Terminal.note("… and \(more) more") }
    let what = errors.count == 1 ? "there is 1 error" : "there are \(errors.count) errors"
    throw CommandFailure("\(what); nothing was changed").asWrongFiles
  }
}

extension CommandFailure {
  /// The failure of a command that has changed nothing since the files, or the cluster, do not allow it.
  var asWrongFiles: CommandFailure {
    var failure = self
    failure.exitCode = 2
    return failure
  }
}

/// Finds the files of folders.
enum ConfigSources {
  /// The files that paths name, those of folders in the order of their names.
  static func files(_ paths: [String]) throws -> [String] {
    var files: [String] = []
    for path in paths {
      if path == "-" {
        guard !files.contains("-") else { throw failure("standard input is named twice") }
        files.append(path)
      } else if try isFolder(path) {
        let count = files.count
        try add(path, depth: 1, to: &files)
        guard files.count > count else { throw failure("\(path) has no .yaml, .yml or .json file") }
      } else {
        files.append(path)
      }
    }
    guard files.count <= ConfigLimits.files else { throw tooMany }
    return files
  }

  private static func add(_ folder: String, depth: Int, to files: inout [String]) throws {
    guard depth <= ConfigLimits.folderDepth else {
      throw failure("\(folder) is more than \(ConfigLimits.folderDepth) folders deep")
    }
    for name in try names(in: folder).sorted() where !name.hasPrefix(".") {
      let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
      if try isFolder(path) {
        try add(path, depth: depth + 1, to: &files)
      } else if [".yaml", ".yml", ".json"].contains(where: name.hasSuffix) {
        files.append(path)
        guard files.count <= ConfigLimits.files else { throw tooMany }
      }
    }
  }

  private static func isFolder(_ path: String) throws -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw failure("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    return status.st_mode & S_IFMT == S_IFDIR
  }

  private static func names(in folder: String) throws -> [String] {
    guard let stream = opendir(folder) else {
      throw failure("cannot read \(folder): \(String(cString: strerror(errno)))")
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      names.append(name)
    }
    return names
  }

  private static var tooMany: CommandFailure {
    failure("there are more than \(ConfigLimits.files) files; apply them in parts")
  }

  private static func failure(_ message: String) -> CommandFailure { CommandFailure(message).asWrongFiles }
}
