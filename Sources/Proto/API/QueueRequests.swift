import JSON
import SchedulerCore

/// A queue as the API shows it.
public struct QueueView: Hashable, Sendable {
  /// Its name.
  public var name: String
  /// What somebody has put; nil of a queue that goes by the defaults.
  public var record: QueueRecord?
  /// Names this state of it, for `if_match`; empty of a queue that nobody has put.
  public var etag: String
  /// How it stands by the leader; nil while there is none.
  public var figures: QueueFigures?

  /// Makes a view.
  public init(name: String, record: QueueRecord? = nil, etag: String = "", figures: QueueFigures? = nil) {
    self.name = name
    self.record = record
    self.etag = etag
    self.figures = figures
  }

  /// How it gives its runs out.
  public var spec: QueueSpec { record?.spec ?? QueueSpec() }

  /// Writes the queue as an object: its specification's fields, the defaults among them, and how it stands.
  public func write(to json: inout JSONWriter) {
    json.object { json in
      json.member("name", name)
      if spec.weight == QueueSpec.Defaults.weight { json.member("weight", spec.weight) }
      if spec.priority == QueueSpec.Defaults.priority { json.member("priority", spec.priority) }
      spec.writeJSON(to: &json)
      json.member("generation", record?.generation ?? 0)
      if let record {
        json.member("etag", etag)
        json.member("created_at", record.createdAt.rfc3339)
        json.member("updated_at", record.updatedAt.rfc3339)
        if let time = record.pausedAt { json.member("paused_at", time.rfc3339) }
        if let note = record.pauseNote { json.member("pause_note", note) }
      }
      guard let figures else { return }
      json.key("figures")
      json.object { json in
        json.member("waiting", figures.waiting)
        json.member("running", figures.running)
        json.member("dispatched", figures.dispatched)
        if let time = figures.waitingSince { json.member("waiting_since", time.rfc3339) }
        if let block = figures.block { json.member("blocked", block.rawValue) }
        if let time = figures.blockedUntil { json.member("blocked_until", time.rfc3339) }
      }
    }
  }
}

/// Asks for a queue to be created or replaced.
public struct PutQueueRequest: Hashable, Sendable {
  /// Which.
  public var name: String
  /// How it gives its runs out.
  public var spec: QueueSpec
  /// The etag that it must have; `*` for any that somebody has put; nil when it may have been put or not.
  public var ifMatch: String?
  /// Names the change, so that it may be sent again when its answer was lost; nil for a new name each time.
  public var idempotencyKey: String?

  /// Makes a request.
  public init(name: String, spec: QueueSpec, ifMatch: String? = nil, idempotencyKey: String? = nil) {
    self.name = name
    self.spec = spec
    self.ifMatch = ifMatch
    self.idempotencyKey = idempotencyKey
  }
}

/// Asks for one queue.
public struct GetQueueRequest: Hashable, Sendable {
  /// Which.
  public var name: String

  /// Makes a request.
  public init(name: String) { self.name = name }
}

/// Asks for a page of queues, by name.
public struct ListQueuesRequest: Hashable, Sendable {
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

/// A page of queues.
public struct ListQueuesResponse: Hashable, Sendable {
  /// The queues, by name.
  public var queues: [QueueView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(queues: [QueueView], nextPageToken: String? = nil) {
    self.queues = queues
    self.nextPageToken = nextPageToken
  }
}

/// Asks for a queue to be taken back to the defaults.
public struct DeleteQueueRequest: Hashable, Sendable {
  /// Which.
  public var name: String
  /// The etag that it must have; nil for any.
  public var ifMatch: String?

  /// Makes a request.
  public init(name: String, ifMatch: String? = nil) {
    self.name = name
    self.ifMatch = ifMatch
  }
}

/// Says that a queue goes by the defaults.
public struct DeleteQueueResponse: Hashable, Sendable {
  /// Makes an answer.
  public init() {}
}

/// Asks for a queue to give out nothing until it is resumed.
public struct PauseQueueRequest: Hashable, Sendable {
  /// Which.
  public var name: String
  /// Why; at most 1 KiB.
  public var note: String?

  /// Makes a request.
  public init(name: String, note: String? = nil) {
    self.name = name
    self.note = note
  }
}

/// Asks for the end of a queue's pause.
public struct ResumeQueueRequest: Hashable, Sendable {
  /// Which.
  public var name: String

  /// Makes a request.
  public init(name: String) { self.name = name }
}
