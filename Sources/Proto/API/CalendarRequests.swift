import SchedulerCore

/// A calendar as the API shows it.
public struct CalendarView: Hashable, Sendable {
  /// The calendar.
  public var record: CalendarRecord
  /// Names this state of it, for `if_match`.
  public var etag: String

  /// Makes a view.
  public init(record: CalendarRecord, etag: String) {
    self.record = record
    self.etag = etag
  }
}

/// Asks for a calendar to be created or replaced.
public struct PutCalendarRequest: Hashable, Sendable {
  /// Which.
  public var key: CalendarKey
  /// What it excludes.
  public var spec: CalendarSpec
  /// The etag that it must have; `*` for any that exists; nil when it may exist or not.
  public var ifMatch: String?
  /// Names the change, so that it may be sent again when its answer was lost; nil for a new name each time.
  public var idempotencyKey: String?

  /// Makes a request.
  public init(
    key: CalendarKey, spec: CalendarSpec, ifMatch: String? = nil, idempotencyKey: String? = nil
  ) {
    self.key = key
    self.spec = spec
    self.ifMatch = ifMatch
    self.idempotencyKey = idempotencyKey
  }
}

/// Asks for one calendar.
public struct GetCalendarRequest: Hashable, Sendable {
  /// Which.
  public var key: CalendarKey

  /// Makes a request.
  public init(key: CalendarKey) { self.key = key }
}

/// Asks for a page of calendars, by namespace and name.
public struct ListCalendarsRequest: Hashable, Sendable {
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

/// A page of calendars.
public struct ListCalendarsResponse: Hashable, Sendable {
  /// The calendars, by namespace and name.
  public var calendars: [CalendarView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(calendars: [CalendarView], nextPageToken: String? = nil) {
    self.calendars = calendars
    self.nextPageToken = nextPageToken
  }
}

/// Asks for a calendar that no job names to be deleted.
public struct DeleteCalendarRequest: Hashable, Sendable {
  /// Which.
  public var key: CalendarKey
  /// The etag that it must have; nil for any.
  public var ifMatch: String?

  /// Makes a request.
  public init(key: CalendarKey, ifMatch: String? = nil) {
    self.key = key
    self.ifMatch = ifMatch
  }
}

/// Says that a calendar has been deleted.
public struct DeleteCalendarResponse: Hashable, Sendable {
  /// Makes an answer.
  public init() {}
}
