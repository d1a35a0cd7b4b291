import JSON
import SchedulerCore

/// A document of a configuration file.
public struct ConfigEntry: Sendable {
  /// Which object it describes.
  public var key: ConfigKey
  /// What that is to be.
  public var spec: ConfigSpec
  /// Where the document begins.
  public var place: ConfigPlace
  private let tree: YAMLTree

  init(_ key: ConfigKey, _ spec: ConfigSpec, _ tree: YAMLTree) {
    self.key = key
    self.spec = spec
    self.place = tree.place
    self.tree = tree
  }

  /// What it names, each of which has to exist or to be described.
  public var named: [ConfigKey] {
    spec.calendars.map { ConfigKey(.calendar, namespace: key.namespace, name: $0.name) }
  }

  /// What a server says against it: with the line of the field, where it names one.
  public func error(refusal: String) -> ConfigError {
    let whole = "spec."
    let message = refusal.hasPrefix(whole) ? String(refusal.dropFirst(whole.count)) : refusal
    let field = message.prefix { $0 != ":" && $0 != " " }
    return ConfigError(tree.place(of: String(field)), "\(key): \(message)")
  }

  /// An error of one of its fields.
  func error(_ field: String, _ message: String) -> ConfigError {
    ConfigError(tree.place(of: field), "\(key): \(field): \(message)")
  }
}

/// Reads configuration files: everything that can be told without a cluster is checked, and all errors are collected.
public struct ConfigReader: Sendable {
  /// The namespace of documents that name none.
  public let namespace: String
  /// Nil on a machine without zones.
  public let zones: TimeZones?
  /// The documents without errors, in the order of the files.
  public private(set) var entries: [ConfigEntry] = []
  /// What is wrong.
  public private(set) var errors: [ConfigError] = []
  private var places: [ConfigKey: ConfigPlace] = [:]
  private var documents = 0

  /// Makes a reader.
  public init(namespace: String, zones: TimeZones?) {
    self.namespace = namespace
    self.zones = zones
  }

  /// Reads a file.
  public mutating func read(_ text: String, file: String) {
    let trees: [YAMLTree]
    do throws(ConfigError) { trees = try YAMLTree.documents(of: text, file: file) } catch {
      errors.append(error)
      return
    }
    for tree in trees {
      documents += 1
      guard documents <= ConfigLimits.documents else {
        errors.append(ConfigError(tree.place, "there are more than \(ConfigLimits.documents) documents"))
        return
      }
      do throws(ConfigError) { try add(try entry(tree)) } catch { errors.append(error) }
    }
  }

  private mutating func add(_ entry: ConfigEntry) throws(ConfigError) {
    if let other = places.updateValue(entry.place, forKey: entry.key) {
      throw ConfigError(entry.place, "\(entry.key) is described twice; also at \(other)")
    }
    entries.append(entry)
  }

  private func entry(_ tree: YAMLTree) throws(ConfigError) -> ConfigEntry {
    guard case .object(let members) = tree.content else {
      throw ConfigError(tree.place, "a mapping with the fields of an object was expected, 'kind' among them")
    }
    let kind = try kind(of: tree)
    let naming = ["kind"] + kind.naming
    let known = naming + kind.fields
    for member in members where !known.contains(member.name) {
      throw ConfigError(
        member.place,
        Self.reason(member.name, kind) ?? FieldError.unknownField(member.name, known: known).description)
    }
    let name = try identifier(kind.nameField, in: tree)
    guard let name else { throw ConfigError(tree.place, "\(kind.nameField): is required") }
    let ofDocument = kind.isNamespaced ? try identifier("namespace", in: tree) ?? namespace : ""
    let key = ConfigKey(kind, namespace: ofDocument, name: name)
    let fields = YAMLTree(content: .object(members.filter { !naming.contains($0.name) }), place: tree.place)
    var json = JSONWriter()
    fields.write(to: &json)
    do throws(FieldError) {
      let spec = try ConfigSpec(kind, parsingJSON: json.bytes)
      try spec.validate(zones: zones)
      return ConfigEntry(key, spec, tree)
    } catch {
      throw ConfigError(tree.place(of: error.field), "\(key): \(Self.sentence(error, tree))")
    }
  }

  private func kind(of tree: YAMLTree) throws(ConfigError) -> ConfigKind {
    let known = ConfigKind.allCases.map(\.rawValue)
    guard let value = tree["kind"] else {
      throw ConfigError(tree.place, "kind: is required: one of \(known.joined(separator: ", "))")
    }
    guard case .text(let word) = value.content, let kind = ConfigKind(rawValue: word) else {
      var message = "kind: one of \(known.joined(separator: ", ")) was expected"
      if case .text(let word) = value.content, let nearest = nearestName(to: word, in: known) {
        message += "; did you mean \(nearest)?"
      }
      throw ConfigError(value.place, message)
    }
    return kind
  }

  private func identifier(_ field: String, in tree: YAMLTree) throws(ConfigError) -> String? {
    guard let value = tree[field] else { return nil }
    switch value.content {
    case .null: return nil
    case .text(let text) where Identifier.isValid(text): return text
    case .text: throw ConfigError(tree.place(of: field), "\(field): an identifier has \(Identifier.rule)")
    default:
      throw ConfigError(tree.place(of: field), "\(field): a text was expected; put it in quotes")
    }
  }

  /// Why a field of submissions is none of a document's.
  private static func reason(_ field: String, _ kind: ConfigKind) -> String? {
    if field == "namespace" { return "namespace: a \(kind.noun) belongs to the whole cluster; leave it out" }
    guard kind == .job else { return nil }
    switch field {
    case "delay":
      return "delay: counts from a submission, and a file is applied again and again; say execution_time"
    case "frequency", "time_zone":
      return
        "\(field): stands for schedules in submissions; say schedules: [{frequency: daily, start_time: …}]"
    case "idempotency_key": return "idempotency_key: is of submissions; the job_id does its work here"
    default: return nil
    }
  }

  /// What is wrong with a field, for the author of YAML: without the offset in the JSON that it stands for.
  private static func sentence(_ error: FieldError, _ tree: YAMLTree) -> String {
    var message = error.message
    if let offset = message.ranges(of: " (at byte ").last {
      message = String(message[..<offset.lowerBound])
      if message == "a string was expected" {
        message = "a text was expected" + (tree.wantsQuotes(error.field) ? "; put it in quotes" : "")
      }
    }
    return error.field == "body" ? message : "\(error.field): \(message)"
  }
}
