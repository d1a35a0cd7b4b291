import EtcdClient
import Proto
import SchedulerCore
import Synchronization

/// The quotas of all namespaces, where whoever submits can look without waiting for the replica.
final class QuotaBoard: Sendable {
  private let quotas = Mutex<[String: QuotaSpec]>([:])

  /// What a namespace may use; nil for as much as there is.
  subscript(namespace: String) -> QuotaSpec? { quotas.withLock { $0[namespace] } }

  func set(_ namespace: String, _ quota: QuotaSpec?) { quotas.withLock { $0[namespace] = quota } }
}

extension JobService {
  /// Takes what is about to be created from the quota of its namespace, if that has one.
  /// - Returns: What is to be given back by `Replica.release` once it is known what became of it; nil for nothing.
  /// - Throws: `ServiceError` of the kind `overQuota`.
  func reserve(
    _ wanted: QuotaDesk.Reservation, in namespace: String
  ) async throws(ServiceError) -> QuotaDesk.Reservation? {
    guard let quota = replica.quotas[namespace], quota.maxJobs != nil || quota.maxQueuedRuns != nil else {
      return nil
    }
    do throws(QuotaDesk.Excess) {
      try await replica.reserve(wanted, in: namespace, quota)
      return wanted
    } catch {
      metrics.submissionsOverQuota.add(1)
      throw ServiceError.overQuota(error, namespace)
    }
  }
}

extension Replica {
  /// Takes what is about to be created from a quota.
  func reserve(
    _ wanted: QuotaDesk.Reservation, in namespace: String, _ quota: QuotaSpec
  ) throws(QuotaDesk.Excess) {
    try quotaDesk.reserve(wanted, in: namespace, quota, used: cache.use(of: namespace))
  }

  /// It has been created, so that the cache shows it, or has come to nothing.
  func release(_ reservation: QuotaDesk.Reservation) { quotaDesk.release(reservation) }

  // MARK: Quotas

  /// The quota of a namespace; nil when it has none.
  func quota(_ namespace: String) -> Versioned<QuotaRecord>? { cache.quotas[namespace] }

  /// How many there are.
  var quotaCount: Int { cache.quotas.count }

  /// What a namespace uses.
  func use(of namespace: String) -> NamespaceUse { cache.use(of: namespace) }

  /// The quota of a namespace, with what it uses; nil when it has none.
  func quotaView(_ namespace: String) -> QuotaView? {
    cache.quotas[namespace].map {
      QuotaView($0.record, use: cache.use(of: namespace), createRevision: $0.createRevision)
    }
  }

  /// A page of quotas, by namespace, after that of the token.
  func listQuotas(after token: String?, limit: Int) -> ListQuotasResponse {
    let left = cache.quotas.keys.filter { namespace in token.map { namespace > $0 } ?? true }
    let page = left.sorted().prefix(limit)
    return ListQuotasResponse(
      quotas: page.compactMap(quotaView), nextPageToken: left.count > limit ? page.last : nil)
  }
}

extension ServiceError {
  /// A namespace has used up its quota.
  static func overQuota(_ excess: QuotaDesk.Excess, _ namespace: String) -> ServiceError {
    var error = ServiceError(
      kind: .overQuota,
      message:
        "namespace '\(namespace)' has \(excess.used) \(excess.what), and its quota's \(excess.field) is "
        + "\(excess.limit); wait until some have ended, or raise the quota")
    error.retryMillis = ServerLimits.quotaRetryDelay.components.seconds * 1_000
    return error
  }
}
