import SchedulerCore

/// Asks for a page of the agents that hold a lease, by id.
public struct ListAgentsRequest: Hashable, Sendable {
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

/// A page of the agents that hold a lease.
public struct ListAgentsResponse: Hashable, Sendable {
  /// The agents, in the order of their ids.
  public var agents: [AgentView]
  /// Asks for the next page; nil on the last.
  public var nextPageToken: String?

  /// Makes a page.
  public init(agents: [AgentView], nextPageToken: String? = nil) {
    self.agents = agents
    self.nextPageToken = nextPageToken
  }
}

/// Asks for an agent to get no new work.
public struct DrainAgentRequest: Hashable, Sendable {
  /// Which agent.
  public var agentID: String
  /// How long what it runs may go on, milliseconds; nil for ever, or until `deadline`.
  public var timeoutMillis: Int64?
  /// Until when what it runs may go on; only one of both may be given.
  public var deadline: Timestamp?
  /// Why; at most `DrainLimits.noteBytes`.
  public var note: String?

  /// Makes a request.
  public init(
    agentID: String, timeoutMillis: Int64? = nil, deadline: Timestamp? = nil, note: String? = nil
  ) {
    self.agentID = agentID
    self.timeoutMillis = timeoutMillis
    self.deadline = deadline
    self.note = note
  }
}

/// Asks for an agent's drain to be taken back.
public struct UndrainAgentRequest: Hashable, Sendable {
  /// Which agent.
  public var agentID: String

  /// Makes a request.
  public init(agentID: String) { self.agentID = agentID }
}

/// Says that an agent is not drained.
public struct UndrainAgentResponse: Hashable, Sendable {
  /// Whether it was.
  public var wasDrained: Bool

  /// Makes a response.
  public init(wasDrained: Bool) { self.wasDrained = wasDrained }
}
