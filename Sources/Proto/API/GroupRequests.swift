import SchedulerCore

/// A concurrency group's object as the API shows it.
public struct GroupView: Hashable, Sendable {
  /// The group.
  public var record: GroupRecord
  /// Names this state of it, for `if_match`.
  public var etag: String
  /// How many runs of the group are with agents.
  public var running: Int
  /// How many others of it have not ended.
  public var waiting: Int

  /// Makes a view.
  public init(record: GroupRecord, etag: String, running: Int = 0, waiting: Int = 0) {
    self.record = record
    self.etag = etag
    self.running = running
    self.waiting = waiting
  }
}

/// Asks for a group's object to be created or replaced.
public struct PutGroupRequest: Hashable, Sendable {
  /// Which.
  public var key: GroupKey
  /// What it says.
  public var spec: GroupSpec
  /// The etag that it must have; `*` for any that exists; nil when it may exist or not.
  public var ifMatch: String?
  /// Names the change, so that it may be sent again when its answer was lost; nil for a new name each time.
  public var idempotencyKey: String?

  /// Makes a request.
  public init(
    key: GroupKey, spec: GroupSpec, ifMatch: String? = nil, idempotencyKey: String? = nil
  ) {
    self.key = key
    self.spec = spec
    self.ifMatch = ifMatch
    self.idempotencyKey = idempotencyKey
  }
}

/// Asks for one group's object.
public struct GetGroupRequest: Hashable, Sendable {
  /// Which.
  public var key: GroupKey

  /// Makes a request.
  public init(key: GroupKey) { self.key = key }
}

/// Asks for a page of groups, by namespace and name.
public struct ListGroupsRequest: Hashable, Sendable {
  /// Only this namespace; nil for all.
  public var namespace: String?
  /// At most `Paging.maximumSize`; 0 for the default.
  public var pageSize: Int
  /// What the page before ended with; nil for the first.
  public var pageToken: String?

  /// Makes a request.
  public init(namespace: String? = nil, pageSize: Int = 0, pageToken: String? = nil) {
    self.namespace = namespace
    self.pageSize = pageSize
    self.pageToken = pageToken
  }
}

/// A page of groups.
public struct ListGroupsResponse: Hashable, Sendable {
  /// The groups, by namespace and name.
  public var groups: [GroupView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(groups: [GroupView], nextPageToken: String? = nil) {
    self.groups = groups
    self.nextPageToken = nextPageToken
  }
}

/// Asks for a group's object to be deleted.
public struct DeleteGroupRequest: Hashable, Sendable {
  /// Which.
  public var key: GroupKey
  /// The etag that it must have; nil for any.
  public var ifMatch: String?

  /// Makes a request.
  public init(key: GroupKey, ifMatch: String? = nil) {
    self.key = key
    self.ifMatch = ifMatch
  }
}

/// Says that a group's object has been deleted.
public struct DeleteGroupResponse: Hashable, Sendable {
  /// Makes an answer.
  public init() {}
}
