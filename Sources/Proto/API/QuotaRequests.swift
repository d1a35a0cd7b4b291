import JSON
import SchedulerCore

/// A quota as the API shows it.
public struct QuotaView: Hashable, Sendable {
  /// The quota.
  public var record: QuotaRecord
  /// What its namespace uses.
  public var use: NamespaceUse
  /// Names this state of it, for `if_match`.
  public var etag: String

  /// Makes a view.
  public init(record: QuotaRecord, use: NamespaceUse, etag: String) {
    self.record = record
    self.use = use
    self.etag = etag
  }

  /// Writes the quota as an object: what is allowed, what is used, and how it stands.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("namespace", record.namespace)
      record.spec.writeJSON(to: &json)
      json.key("use")
      json.object { json in
        json.member("jobs", use.jobs)
        json.member("queued_runs", use.queuedRuns)
        json.member("running_runs", use.runningRuns)
      }
      json.member("generation", record.generation)
      json.member("etag", etag)
      json.member("created_at", record.createdAt.rfc3339)
      json.member("updated_at", record.updatedAt.rfc3339)
    }
  }
}

/// Asks for the quota of a namespace to be created or replaced.
public struct PutQuotaRequest: Hashable, Sendable {
  /// Whose.
  public var namespace: String
  /// What the namespace may use.
  public var spec: QuotaSpec
  /// The etag that it must have; `*` for any that exists; nil when it may exist or not.
  public var ifMatch: String?
  /// Names the change, so that it may be sent again when its answer was lost; nil for a new name each time.
  public var idempotencyKey: String?

  /// Makes a request.
  public init(namespace: String, spec: QuotaSpec, ifMatch: String? = nil, idempotencyKey: String? = nil) {
    self.namespace = namespace
    self.spec = spec
    self.ifMatch = ifMatch
    self.idempotencyKey = idempotencyKey
  }
}

/// Asks for the quota of a namespace.
public struct GetQuotaRequest: Hashable, Sendable {
  /// Whose.
  public var namespace: String

  /// Makes a request.
  public init(namespace: String) { self.namespace = namespace }
}

/// Asks for a page of quotas, by namespace.
public struct ListQuotasRequest: Hashable, Sendable {
  /// At most `Paging.maximumSize`; 0 for the default.
  public var pageSize: Int
  /// What the page before ended with; nil for the first.
  public var pageToken: String?

  /// Makes a request.
  public init(pageSize: Int = 0, pageToken: String? = nil) {
    self.pageSize = pageSize
    self.pageToken = pageToken
  }
}

/// A page of quotas.
public struct ListQuotasResponse: Hashable, Sendable {
  /// The quotas, by namespace.
  public var quotas: [QuotaView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(quotas: [QuotaView], nextPageToken: String? = nil) {
    self.quotas = quotas
    self.nextPageToken = nextPageToken
  }
}

/// Asks for the quota of a namespace to be deleted.
public struct DeleteQuotaRequest: Hashable, Sendable {
  /// Whose.
  public var namespace: String
  /// The etag that it must have; nil for any.
  public var ifMatch: String?

  /// Makes a request.
  public init(namespace: String, ifMatch: String? = nil) {
    self.namespace = namespace
    self.ifMatch = ifMatch
  }
}

/// Says that a quota has been deleted.
public struct DeleteQuotaResponse: Hashable, Sendable {
  /// Makes an answer.
  public init() {}
}
