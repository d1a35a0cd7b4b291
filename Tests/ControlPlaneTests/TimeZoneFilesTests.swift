import ControlPlane
import Foundation
import SchedulerCore
import Testing

@Suite struct TimeZoneFilesTests {
  /// A folder that is deleted in the end.
  private func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "rota-zones-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  @Test func readsThisMachinesZones() throws {
    let files = try TimeZoneFiles.load(folder: "/usr/share/zoneinfo")
    #expect(files.folder == "/usr/share/zoneinfo")
    #expect(files.zones.unreadable.isEmpty)
    let names = files.zones.names
    #expect(names.count > 300)
    for name in ["Europe/Berlin", "America/Argentina/San_Luis", "Etc/GMT+12", "UTC"] {
      #expect(names.contains(name))
    }
    #expect(!names.contains { $0.hasPrefix("posix/") || $0.hasPrefix("right/") || $0.contains(".") })
    #expect(!names.contains("localtime"))
    #expect(files.version != nil)
  }

  @Test func passesOverWhatIsNoZone() throws {
    try withFolder { folder in
      let files = FileManager.default
      let berlin = URL(fileURLWithPath: "/usr/share/zoneinfo/Europe/Berlin").resolvingSymlinksInPath()
      try files.createDirectory(
        at: folder.appendingPathComponent("Europe"), withIntermediateDirectories: true)
      try files.createDirectory(at: folder.appendingPathComponent("right"), withIntermediateDirectories: true)
      try files.copyItem(at: berlin, to: folder.appendingPathComponent("Europe/Berlin"))
      try files.copyItem(at: berlin, to: folder.appendingPathComponent("right/Berlin"))
      // A link, one that leads nowhere, one in a circle, a text, a folder where a file is expected, a broken zone.
      try files.createSymbolicLink(atPath: folder.path + "/Linked", withDestinationPath: "Europe/Berlin")
      try files.createSymbolicLink(atPath: folder.path + "/Nowhere", withDestinationPath: "Europe/Atlantis")
      try files.createSymbolicLink(atPath: folder.path + "/Circle", withDestinationPath: ".")
      try Data("no zone".utf8).write(to: folder.appendingPathComponent("README"))
      try Data("TZif2".utf8).write(to: folder.appendingPathComponent("Broken"))
      try Data(repeating: 0x54, count: 1 << 20).write(to: folder.appendingPathComponent("Huge"))
      let zones = try TimeZoneFiles.load(folder: folder.path).zones
      #expect(zones.unreadable.keys.sorted().filter { !$0.hasPrefix("Circle/") } == ["Broken"])
      #expect(zones.names.filter { !$0.hasPrefix("Circle/") } == ["Europe/Berlin", "Linked", "UTC"])
    }
  }

  @Test func saysThatThereAreNone() throws {
    try withFolder { folder in
      let error = try #require(throws: TimeZoneFilesError.self) {
        try TimeZoneFiles.load(folder: folder.path)
      }
      #expect(error.description.contains("tzdata"))
      #expect(throws: TimeZoneFilesError.self) { try TimeZoneFiles.load(folder: folder.path + "/missing") }
    }
  }
}
