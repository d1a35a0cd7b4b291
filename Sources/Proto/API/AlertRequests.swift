import SchedulerCore

/// Asks for a page of alerts.
public struct ListAlertsRequest: Hashable, Sendable {
  /// Only this namespace's; nil for all.
  public var namespace: String?
  /// Only this job's, whose namespace is `namespace`, or the default one.
  public var jobID: String?
  /// At most `Paging.maximumSize`; 0 for the default.
  public var pageSize: Int
  /// What the page before ended with; nil for the first.
  public var pageToken: String?

  /// Makes a request.
  public init(
    namespace: String? = nil, jobID: String? = nil, pageSize: Int = 0, pageToken: String? = nil
  ) {
    self.namespace = namespace
    self.jobID = jobID
    self.pageSize = pageSize
    self.pageToken = pageToken
  }
}

/// A page of alerts.
public struct ListAlertsResponse: Hashable, Sendable {
  /// The alerts; they may be fewer than asked for before the last page.
  public var alerts: [AlertRecord]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(alerts: [AlertRecord], nextPageToken: String? = nil) {
    self.alerts = alerts
    self.nextPageToken = nextPageToken
  }
}
