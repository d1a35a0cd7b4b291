import Proto
import SchedulerCore

/// Random values of quotas, and of what servers ask of each other.
extension Samples {
  mutating func quotaSpec() -> QuotaSpec {
    var spec = QuotaSpec()
    spec.maxJobs = maybe { 1 + $0.count(1_000) }
    spec.maxQueuedRuns = maybe { 1 + $0.count(1_000) }
    spec.maxRunningRuns = maybe { 1 + $0.count(1_000) }
    spec.submitRate = maybe { 1 + $0.count(1_000) }
    spec.submitBurst = maybe { 1 + $0.count(1_000) }
    spec.description = text()
    spec.labels = map()
    return spec
  }

  mutating func quota() -> QuotaView {
    var record = QuotaRecord(namespace: text(), spec: quotaSpec(), createdAt: time())
    record.generation = 1 + count(100)
    record.updatedAt = time()
    var use = NamespaceUse()
    use.jobs = count(1_000)
    use.queuedRuns = count(1_000)
    use.runningRuns = count(1_000)
    return QuotaView(record: record, use: use, etag: text())
  }

  mutating func rateScope() -> RateScope {
    switch count(2) {
    case 0: .client(text())
    case 1: .user(pick(["", text()]))
    default: .namespace(text())
    }
  }
}

extension MessageKind {
  /// Those of quotas and of servers among themselves.
  static let quotaKinds: [MessageKind] = [
    MessageKind { $0.quota() },
    MessageKind {
      PutQuotaRequest(
        namespace: $0.text(), spec: $0.quotaSpec(), ifMatch: $0.maybe { $0.text() },
        idempotencyKey: $0.maybe { $0.text() })
    },
    MessageKind { GetQuotaRequest(namespace: $0.text()) },
    MessageKind { ListQuotasRequest(pageSize: $0.number(), pageToken: $0.maybe { $0.text() }) },
    MessageKind {
      ListQuotasResponse(quotas: $0.many { $0.quota() }, nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind { DeleteQuotaRequest(namespace: $0.text(), ifMatch: $0.maybe { $0.text() }) },
    MessageKind { _ in DeleteQuotaResponse() },
    MessageKind {
      LeaseTokensRequest(
        serverID: $0.text(),
        request: TokenRequest(
          scope: $0.rateScope(), waiting: $0.count(1_000), ahead: $0.count(1_000),
          missing: Double($0.count(1_000)) / 7))
    },
    MessageKind {
      LeaseTokensResponse(
        grant: TokenGrant(
          tokens: $0.count(1_000), retryMicros: $0.millis(), missing: Double($0.count(1_000)) / 7))
    },
  ]
}
