import EtcdClient
import Logging
import Proto
import SchedulerCore

/// Reads alerts from etcd: no server but the leader has a copy, so any server answers alike.
struct AlertService: Sendable {
  let store: any EtcdStore
  let keyspace: Keyspace
  let logger: Logger

  /// A page of alerts, in the order of their keys.
  func list(_ request: ListAlertsRequest) async throws -> ListAlertsResponse {
    guard let size = Paging.size(request.pageSize) else { throw JobService.badPageSize }
    let job = try job(of: request)
    var range = KeyRange.prefix(job.map(keyspace.alerts) ?? keyspace.alerts)
    if let token = request.pageToken {
      guard keyspace.parse(alert: keyspace.alerts + token) != nil else { throw JobService.badPageToken }
      range = KeyRange(start: Array((keyspace.alerts + token).utf8) + [0], end: range.end)
    }
    let page: RangeResponse
    do throws(EtcdError) {
      page = try await store.range(RangeRequest(range, limit: Int64(size)))
    } catch {
      throw ServiceError(error)
    }
    let records = page.kvs.compactMap(record).filter {
      (job == nil || $0.key.job == job)
        && (request.namespace == nil || $0.key.job.namespace == request.namespace)
    }
    let last = page.more ? page.kvs.last?.key.dropFirst(keyspace.alerts.count) : nil
    return ListAlertsResponse(alerts: records, nextPageToken: last.map { String($0) })
  }

  private func job(of request: ListAlertsRequest) throws -> JobKey? {
    for (field, value) in [("namespace", request.namespace), ("job_id", request.jobID)] {
      guard let value, !Identifier.isValid(value) else { continue }
      throw ServiceError.invalid(field, "an identifier has \(Identifier.rule)")
    }
    return request.jobID.map {
      JobKey(namespace: request.namespace ?? JobSpec.Defaults.namespace, jobID: $0)
    }
  }

  private func record(_ pair: KeyValue) -> AlertRecord? {
    guard let key = keyspace.parse(alert: pair.key) else { return nil }
    do { return try AlertRecord(decoding: pair.value, key: key) } catch {
      logger.error(
        "an alert in etcd cannot be read and is passed over",
        metadata: ["key": "\(pair.key)", "error": "\(error)"])
      return nil
    }
  }
}
