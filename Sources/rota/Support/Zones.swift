import ControlPlane
import Logging
import SchedulerCore

/// The time zones of this machine.
enum Zones {
  /// Reads them; a server's log says where they come from.
  static func load(_ logger: Logger? = nil) throws -> TimeZones {
    let files: TimeZoneFiles
    do throws(TimeZoneFilesError) { files = try TimeZoneFiles.load() } catch {
      throw CommandFailure(error.description)
    }
    guard let folder = files.folder else {
      logger?.warning(
        "this machine has no time zones but UTC; install Debian's package tzdata, or set ROTA_TZDATA")
      return files.zones
    }
    logger?.info(
      "time zones were read",
      metadata: [
        "folder": "\(folder)", "version": "\(files.version ?? "unknown")",
        "unreadable": "\(files.zones.unreadable.count)",
      ])
    return files.zones
  }
}
