import SchedulerCore

/// A server asks the leader for tokens of a rate that holds in the whole cluster.
public struct LeaseTokensRequest: Hashable, Sendable {
  /// Who asks.
  public var serverID: String
  /// What for.
  public var request: TokenRequest

  /// Makes a request.
  public init(serverID: String, request: TokenRequest) {
    self.serverID = serverID
    self.request = request
  }
}

/// What the leader answers.
public struct LeaseTokensResponse: Hashable, Sendable {
  /// The tokens.
  public var grant: TokenGrant

  /// Makes an answer.
  public init(grant: TokenGrant) { self.grant = grant }
}
