import ArgumentParser
import Glibc
import JSON
import Proto
import SchedulerCore

/// Who changes something, for its versions.
struct AuthorOption: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Who makes the change, for 'rota versions'; who is logged in when not given. A certificate says it instead.",
      valueName: "name"))
  var by: String?

  /// What is sent.
  var name: String? {
    if let by { return by }
    let user = ["USER", "LOGNAME"].compactMap(EnvironmentFlags.variable).first { !$0.isEmpty }
    return user.flatMap { $0.utf8.count <= VersionRecord.Limits.authorBytes ? $0 : nil }
  }
}

/// How versions of a job are asked for, and look to people.
enum VersionTexts {
  /// The versions of a job, the present one first.
  static func list(_ job: JobOptions) async throws -> [VersionView] {
    try await list(job.key, try job.server.client())
  }

  /// The versions of a job, the present one first.
  static func list(_ key: JobKey, _ client: APIClient) async throws -> [VersionView] {
    let answer: ListVersionsResponse = try await client.call(
      "/rota.v1.Jobs/ListVersions", ListVersionsRequest(key: key))
    return answer.versions
  }

  /// One version.
  static func get(_ job: JobOptions, _ generation: Int) async throws -> VersionView {
    try await get(job.key, generation, try job.server.client())
  }

  /// One version.
  static func get(_ key: JobKey, _ generation: Int, _ client: APIClient) async throws -> VersionView {
    try await client.call("/rota.v1.Jobs/GetVersion", GetVersionRequest(key: key, generation: generation))
  }

  /// The specification of a version.
  static func spec(_ key: JobKey, _ generation: Int, _ client: APIClient) async throws -> JobSpec {
    guard let spec = try await get(key, generation, client).spec else {
      throw CommandFailure(
        "the specification of generation \(generation) was too large to be kept beside its successor")
    }
    return spec
  }

  /// By whom, and what it took again, as `, by ada, as generation 3`.
  static func cause(_ origin: VersionOrigin) -> String {
    (origin.by.map { ", by \($0)" } ?? "") + (origin.revertOf.map { ", as generation \($0)" } ?? "")
  }

  /// The longest text of a value that is shown to people.
  private static let shown = 200

  /// A value as JSON, cut where it is long.
  static func short(_ value: JSONValue?) -> String {
    guard let value else { return "-" }
    var json = JSONWriter()
    value.write(to: &json)
    let text = json.text
    return text.count > shown ? text.prefix(shown - 1) + "…" : text
  }
}

/// How differences look to people and to programs.
enum DifferenceTexts {
  /// One line for each: `+` for what is new, `-` for what is gone, `~` for what has changed.
  static func lines(_ differences: [JSONDifference]) -> [String] {
    differences.map { difference in
      let path = difference.path
      let line =
        switch (difference.old, difference.new) {
        case (nil, let new): "+ \(path): \(VersionTexts.short(new))"
        case (let old, nil): "- \(path): \(VersionTexts.short(old))"
        case (let old, let new): "~ \(path): \(VersionTexts.short(old)) → \(VersionTexts.short(new))"
        }
      return Terminal.sanitised(line)
    }
  }

  /// Writes the member `differences`: an array of objects with `path`, `old` and `new`.
  static func writeMember(_ differences: [JSONDifference], to json: inout JSONWriter) {
    json.key("differences")
    json.array { json in
      for difference in differences {
        json.object { json in
          json.member("path", difference.path)
          if let old = difference.old {
            json.key("old")
            old.write(to: &json)
          }
          if let new = difference.new {
            json.key("new")
            new.write(to: &json)
          }
        }
      }
    }
  }
}
