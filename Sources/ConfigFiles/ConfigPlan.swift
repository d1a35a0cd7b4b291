import JSON
import SchedulerCore

/// What makes a cluster as its files say.
public struct ConfigPlan: Sendable {
  /// What is done with an object.
  public enum Action: String, Hashable, Sendable {
    case create, update, delete, unchanged
  }

  /// What is done with one object.
  public struct Step: Sendable {
    /// Which.
    public var key: ConfigKey
    /// What is done.
    public var action: Action
    /// Its document; nil for what is deleted.
    public var entry: ConfigEntry?
    /// What it is; nil for what is created.
    public var present: ConfigObject?
    /// What changes, field by field.
    public var differences: [JSONDifference]
  }

  /// The steps: first what others name, deletions last.
  public private(set) var steps: [Step] = []
  /// What is against it; nothing may be written then.
  public private(set) var errors: [ConfigError] = []

  /// Compares files with a cluster.
  /// - Parameters:
  ///   - entries: What the files describe.
  ///   - present: Those of the objects that exist, and the calendars that they name.
  ///   - pruning: What is deleted unless it is described.
  public init(
    _ entries: [ConfigEntry], present: [ConfigKey: ConfigObject], pruning: [ConfigObject] = []
  ) throws {
    let described = Set(entries.map(\.key))
    let pruned = pruning.filter { !described.contains($0.key) && !$0.isBeingDeleted }
    let goingAway = Set(pruned.map(\.key))
    for entry in entries.sorted(by: { $0.key < $1.key }) {
      let object = present[entry.key]
      try add(entry, object)
      for (field, name) in entry.spec.calendars {
        let calendar = ConfigKey(.calendar, namespace: entry.key.namespace, name: name)
        if goingAway.contains(calendar) {
          errors.append(
            entry.error(field, "calendar '\(name)' carries the label of --prune and is in no file"))
        } else if !described.contains(calendar) && present[calendar] == nil {
          errors.append(
            entry.error(field, "there is no calendar '\(name)' in namespace '\(entry.key.namespace)'"))
        }
      }
    }
    for object in pruned.sorted(by: { $1.key < $0.key }) {
      steps.append(Step(key: object.key, action: .delete, present: object, differences: []))
    }
  }

  private mutating func add(_ entry: ConfigEntry, _ object: ConfigObject?) throws {
    guard let object else {
      let whole = JSONDifference.between(.object([]), try entry.spec.comparable())
      steps.append(
        Step(key: entry.key, action: .create, entry: entry, differences: whole))
      return
    }
    guard !object.isBeingDeleted else {
      errors.append(
        ConfigError(entry.place, "\(entry.key): is being deleted; apply again once it is gone"))
      return
    }
    let differences = JSONDifference.between(try object.spec.comparable(), try entry.spec.comparable())
    guard differences.isEmpty || !object.isCancelled else {
      errors.append(
        ConfigError(
          entry.place,
          "\(entry.key): was cancelled, and cannot be changed; delete it first, or take it out of the file"))
      return
    }
    steps.append(
      Step(
        key: entry.key, action: differences.isEmpty ? .unchanged : .update, entry: entry, present: object,
        differences: differences))
  }

  /// Whether anything is to be done.
  public var isEmpty: Bool { steps.allSatisfy { $0.action == .unchanged } }

  /// How many steps do so.
  public func count(_ action: Action) -> Int { steps.count { $0.action == action } }
}
