/// Whose submissions are counted together.
public enum RateScope: Hashable, Sendable, CustomStringConvertible {
  /// Those of a caller who has shown who it is.
  case client(String)
  /// Those of callers who have not, by the `user_id` that they give; empty where they give none.
  case user(String)
  /// Those to a namespace, whoever makes them.
  case namespace(String)

  /// Whether it is a namespace.
  var isNamespace: Bool { if case .namespace = self { true } else { false } }

  /// For people.
  public var description: String {
    switch self {
    case .client(let name): "client '\(name)'"
    case .user(""): "callers without a user_id"
    case .user(let name): "user '\(name)'"
    case .namespace(let name): "namespace '\(name)'"
    }
  }

  /// As servers write it to each other: the kind, a colon, and the name.
  public var text: String {
    switch self {
    case .client(let name): "client:" + name
    case .user(let name): "user:" + name
    case .namespace(let name): "namespace:" + name
    }
  }

  /// Reads what `text` has written.
  public init?(text: String) {
    guard let colon = text.firstIndex(of: ":"), text.utf8.count <= RateLimits.nameBytes else { return nil }
    let name = String(text[text.index(after: colon)...])
    switch text[..<colon] {
    case "client": self = .client(name)
    case "user": self = .user(name)
    case "namespace": self = .namespace(name)
    default: return nil
    }
  }
}

/// What a server asks the leader for: tokens of one bucket.
public struct TokenRequest: Hashable, Sendable {
  /// Which bucket.
  public var scope: RateScope
  /// Submissions that wait for an answer.
  public var waiting: Int
  /// So many more are expected at once.
  public var ahead: Int
  /// How many tokens are missing in the cluster's bucket, as far as this server knows. A leader that has not heard of
  /// this server yet believes it.
  public var missing: Double

  /// Makes a request.
  public init(scope: RateScope, waiting: Int, ahead: Int, missing: Double) {
    self.scope = scope
    self.waiting = waiting
    self.ahead = ahead
    self.missing = missing
  }
}

/// What the leader answers.
public struct TokenGrant: Hashable, Sendable {
  /// How many submissions the server may let pass.
  public var tokens: Int
  /// When there will be another token, microseconds from now; 0 where nobody has to wait.
  public var retryMicros: Int64
  /// How many tokens are missing now in the cluster's bucket.
  public var missing: Double

  /// Makes a grant.
  public init(tokens: Int, retryMicros: Int64, missing: Double) {
    self.tokens = tokens
    self.retryMicros = retryMicros
    self.missing = missing
  }
}
