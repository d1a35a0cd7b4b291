import Certificates
import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Holds the rates at which jobs may be submitted, in the whole cluster: this server leases tokens from the leader, in
/// batches, and a submission takes one. While there is no leader, or it cannot be reached, this server goes by its
/// own share.
actor SubmitGate {
  /// What one client may submit; nil for as much as it likes.
  private let clientRate: SubmitRate?
  private let serverID: String
  private let replica: Replica
  private let leaderLink: LeaderLink
  private let metrics: ServerMetrics
  private let logger: Logger
  private let start = ContinuousClock.now
  private var desk = RateDesk()
  /// The buckets of the whole cluster, while this server leads, and the term that they are of.
  private var book: (term: LeaderEpoch, book: RateBook)?
  /// The questions to the leader that are under way.
  private var questions: [RateScope: Task<Void, Never>] = [:]

  init(
    clientRate: SubmitRate?, serverID: String, replica: Replica, leaderLink: LeaderLink,
    metrics: ServerMetrics, logger: Logger
  ) {
    self.clientRate = clientRate
    self.serverID = serverID
    self.replica = replica
    self.leaderLink = leaderLink
    self.metrics = metrics
    self.logger = logger
  }

  /// Lets a submission pass.
  /// - Parameters:
  ///   - submitter: Whose it is.
  ///   - namespace: Where it goes, and what may be submitted there; nil where there is no rate.
  /// - Throws: `ServiceError` of the kind `limited`, with the time to wait.
  func pass(_ submitter: RateScope, namespace: (name: String, rate: SubmitRate)?) async throws(ServiceError) {
    var taken: RateScope?
    if let clientRate { taken = try await take(desk.place(for: submitter, at: now), clientRate) }
    guard let namespace else { return }
    do throws(ServiceError) {
      _ = try await take(.namespace(namespace.name), namespace.rate)
    } catch {
      if let taken { desk.giveBack(taken) }
      throw error
    }
  }

  /// Answers a server that asks for tokens; nil while this one does not lead.
  func lease(_ request: TokenRequest, to server: String) async -> TokenGrant? {
    guard let standing = await replica.rateStanding(of: request.scope) else { return nil }
    // Without a rate, which other servers may have been told or not seen yet, nobody has to wait.
    let configured = if case .namespace = request.scope { standing.namespaceRate } else { clientRate }
    guard let rate = configured else {
      return TokenGrant(tokens: request.waiting, retryMicros: 0, missing: 0)
    }
    if book?.term != standing.term { book = (standing.term, RateBook()) }
    return book?.book.lease(request, rate, to: server, of: standing.servers, at: now)
  }

  // MARK: Taking

  /// Takes a token, asking the leader as often as it takes. Returns where from.
  private func take(_ scope: RateScope, _ rate: SubmitRate) async throws(ServiceError) -> RateScope {
    var hasWaited = false
    while true {
      let servers = desk.isAlone(scope, at: now) ? await replica.serverCount : 1
      switch desk.take(scope, rate, hasWaited: hasWaited, servers: servers, at: now) {
      case .taken: return scope
      case .refused(let micros):
        metrics.submissionsLimited.add(1)
        throw Self.refusal(of: scope, rate, micros)
      case .ask(let request):
        let question = Task { await self.ask(request) }
        questions[scope] = question
        await question.value
      case .wait: await questions[scope]?.value
      }
      hasWaited = true
    }
  }

  private func ask(_ request: TokenRequest) async {
    let grant = await answer(to: request)
    questions[request.scope] = nil
    desk.answered(request.scope, grant, at: now)
  }

  /// Nil where there is nobody to ask.
  private func answer(to request: TokenRequest) async -> TokenGrant? {
    guard let leader = try? await replica.otherLeader() else { return await lease(request, to: serverID) }
    do {
      let answer = try await leaderLink.channel(to: leader).unary(
        "/rota.v1.Peers/LeaseTokens",
        ByteBuffer(bytes: LeaseTokensRequest(serverID: serverID, request: request).wire()),
        metadata: [LeaderLink.forwardedHeader: "1"], timeout: ServerLimits.tokenPatience)
      return try decode(LeaseTokensResponse.self, answer).grant
    } catch {
      logger.info(
        "the leader has given no tokens: this server goes by its own share",
        metadata: ["leader": "\(leader.serverID)", "error": "\(error)"])
      return nil
    }
  }

  private static func refusal(of scope: RateScope, _ rate: SubmitRate, _ micros: Int64) -> ServiceError {
    let millis = max(1, (micros + 999) / 1_000)
    let what: String =
      switch scope {
      case .namespace(let name): "namespace '\(name)' takes"
      case .client(""): "the clients beyond the \(RateLimits.buckets) busiest together may submit"
      default: "\(scope) may submit"
      }
    let rest = rate.burst == rate.count ? "" : ", \(rate.burst) at once"
    var error = ServiceError(
      kind: .limited,
      message:
        "\(what) \(rate.count) jobs in \(DurationText.format(milliseconds: rate.periodMillis))\(rest); "
        + "try again in \(DurationText.format(milliseconds: millis))")
    error.retryMillis = millis
    return error
  }

  /// Microseconds since this server began.
  private var now: Int64 {
    let passed = start.duration(to: .now).components
    return passed.seconds * 1_000_000 + passed.attoseconds / 1_000_000_000_000
  }
}

/// What the leader gives tokens by.
struct RateStanding: Sendable {
  var term: LeaderEpoch
  var servers: Int
  /// What a namespace takes, where tokens of one are asked for; nil for as much as comes.
  var namespaceRate: SubmitRate?
}

extension Replica {
  /// How many servers hold a lease.
  var serverCount: Int { max(1, cache.servers.count) }

  /// What tokens are given by; nil while this server does not lead.
  func rateStanding(of scope: RateScope) -> RateStanding? {
    guard let leader else { return nil }
    var standing = RateStanding(term: leader.epoch, servers: serverCount)
    if case .namespace(let name) = scope { standing.namespaceRate = cache.quotas[name]?.record.spec.rate }
    return standing
  }
}

extension SubmitRequest {
  /// Whose submissions this one counts among: those of the client that the certificate names or, where clients are
  /// not asked for one, of the user that the request names.
  func submitter(_ caller: Caller?) -> RateScope {
    if case .known(let identity) = caller { return .client("\(identity.role.rawValue)/\(identity.name)") }
    return .user(spec.userID)
  }
}
