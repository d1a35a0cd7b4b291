import JSON
import SchedulerCore

/// What documents can be of.
public enum ConfigKind: String, Hashable, Sendable, CaseIterable {
  case calendar = "Calendar"
  case group = "Group"
  case quota = "Quota"
  case queue = "Queue"
  case job = "Job"

  /// The field that names an object, as in REST.
  var nameField: String {
    switch self {
    case .job: "job_id"
    case .quota: "namespace"
    case .calendar, .group, .queue: "name"
    }
  }

  /// Whether each namespace has its own objects of it.
  public var isNamespaced: Bool {
    switch self {
    case .job, .calendar, .group: true
    case .quota, .queue: false
    }
  }

  /// The fields that name an object of it, in the order in which they are written.
  var naming: [String] { isNamespaced ? ["namespace", nameField] : [nameField] }

  /// The fields of its specification.
  var fields: [String] {
    switch self {
    case .job: JobSpec.names
    case .calendar: CalendarSpec.names
    case .queue: QueueSpec.names
    case .quota: QuotaSpec.names
    case .group: GroupSpec.names
    }
  }

  /// When objects of it are written: what others name comes first, and is deleted last.
  public var rank: Int {
    switch self {
    case .calendar, .group, .quota, .queue: 0
    case .job: 1
    }
  }

  /// The kind in sentences.
  public var noun: String { rawValue.lowercased() }
}

/// Which object.
public struct ConfigKey: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The kind.
  public var kind: ConfigKind
  /// The namespace; empty for a kind that has none.
  public var namespace: String
  /// Its name: the id of a job.
  public var name: String

  /// Makes a key.
  public init(_ kind: ConfigKind, namespace: String, name: String) {
    self.kind = kind
    self.namespace = namespace
    self.name = name
  }

  /// `job default/nightly`.
  public var description: String {
    kind.isNamespaced ? "\(kind.noun) \(namespace)/\(name)" : "\(kind.noun) \(name)"
  }

  /// By kind in the order of writing, then by name.
  public static func < (left: ConfigKey, right: ConfigKey) -> Bool {
    (left.kind.rank, left.kind.rawValue, left.namespace, left.name)
      < (right.kind.rank, right.kind.rawValue, right.namespace, right.name)
  }
}

/// What an object is to be.
public enum ConfigSpec: Hashable, Sendable {
  case calendar(CalendarSpec)
  case queue(QueueSpec)
  case quota(QuotaSpec)
  case group(GroupSpec)
  case job(JobSpec)

  /// Reads the fields of a specification strictly, without those that name the object.
  init(_ kind: ConfigKind, parsingJSON bytes: [UInt8]) throws(FieldError) {
    switch kind {
    case .calendar: self = .calendar(try CalendarSpec(parsingJSON: bytes))
    case .queue: self = .queue(try QueueSpec(parsingJSON: bytes))
    case .quota: self = .quota(try QuotaSpec(parsingJSON: bytes))
    case .group: self = .group(try GroupSpec(parsingJSON: bytes))
    case .job: self = .job(try JobSpec(parsingJSON: bytes))
    }
  }

  /// Checks all bounds.
  /// - Parameter zones: Nil on a machine without zones, where a server has to check what depends on them.
  func validate(zones: TimeZones?) throws(FieldError) {
    switch self {
    case .calendar(let spec): if let zones { try spec.validate(zones: zones) }
    case .group(let spec): try spec.validate()
    case .quota(let spec): try spec.validate()
    case .queue(let spec): try spec.validate()
    case .job(let spec): try spec.validate(zones: zones)
    }
  }

  /// The labels.
  public var labels: [String: String] {
    switch self {
    case .calendar(let spec): spec.labels
    case .queue(let spec): spec.labels
    case .quota(let spec): spec.labels
    case .group(let spec): spec.labels
    case .job(let spec): spec.labels
    }
  }

  /// The calendars that it names, each with the path of the field, in its own namespace.
  var calendars: [(field: String, name: String)] {
    guard case .job(let spec) = self else { return [] }
    return spec.schedules.enumerated().flatMap { index, schedule in
      schedule.calendars.enumerated().map { ("schedules[\(index)].calendars[\($0.offset)]", $0.element) }
    }
  }

  /// The specification as a tree, for writing.
  /// - Throws: `JSONError` for a payload with a whole number that has no 64 bits.
  func json() throws -> JSONValue {
    var json = JSONWriter()
    json.object { json in
      switch self {
      case .calendar(let spec): spec.writeJSON(to: &json)
      case .queue(let spec): spec.writeJSON(to: &json)
      case .quota(let spec): spec.writeJSON(to: &json)
      case .group(let spec): spec.writeJSON(to: &json)
      case .job(let spec): spec.writeJSON(to: &json)
      }
    }
    return try JSONValue(parsing: json.bytes)
  }

  /// The specification as a tree, for comparing.
  func comparable() throws -> JSONValue {
    if case .job(let spec) = self { return spec.asJSON }
    return try json()
  }
}

/// An object of the cluster, as it stands.
public struct ConfigObject: Hashable, Sendable {
  /// Which.
  public var key: ConfigKey
  /// What it is.
  public var spec: ConfigSpec
  /// What a change has to name, so that nobody else's is undone.
  public var etag: String
  /// Whether a job was cancelled: it starts nothing any more.
  public var isCancelled = false
  /// Whether a job is being deleted.
  public var isBeingDeleted = false
  /// Whether nothing more will come of a job.
  public var hasEnded = false

  /// Makes an object.
  public init(_ key: ConfigKey, _ spec: ConfigSpec, etag: String) {
    self.key = key
    self.spec = spec
    self.etag = etag
  }
}

/// Documents of objects.
public enum ConfigText {
  /// The objects as documents, in the order of their keys: what `ConfigReader` reads as the same objects.
  public static func write(_ objects: [(key: ConfigKey, spec: ConfigSpec)]) throws -> String {
    let documents = try objects.sorted { $0.key < $1.key }.map { key, spec throws(ConfigError) in
      var members = [JSONValue.Member("kind", .string(key.kind.rawValue))]
      if key.kind.isNamespaced { members.append(.init("namespace", .string(key.namespace))) }
      members.append(.init(key.kind.nameField, .string(key.name)))
      do {
        if case .object(let fields) = try spec.json() { members += fields }
      } catch {
        throw ConfigError(ConfigPlace(file: "export"), "\(key) cannot be written: \(error)")
      }
      return JSONValue.object(members)
    }
    let text = try YAMLText.write(documents)
    try check(text, says: documents)
    return text
  }

  /// Reads what was written: an export that is not what the cluster has would be worse than none.
  private static func check(_ text: String, says documents: [JSONValue]) throws {
    let read = try YAMLTree.documents(of: text, file: "export").map { tree in
      var json = JSONWriter()
      tree.write(to: &json)
      return try JSONValue(parsing: json.bytes)
    }
    for (index, document) in documents.enumerated() where index >= read.count || read[index] != document {
      var name = JSONWriter()
      document.write(to: &name)
      throw ConfigError(
        ConfigPlace(file: "export"),
        "YAML cannot hold this exactly, such as a text that begins with a byte order mark: "
          + FieldError.shown(name.text))
    }
  }
}
