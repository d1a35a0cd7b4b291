import EtcdClient
import Logging
import SchedulerCore

/// The leader's care for etcd: compacts history, and watches alarms and the database's size.
struct Housekeeping: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let metrics: ServerMetrics
  let logger: Logger

  /// Runs until the task is cancelled.
  func run() async {
    while !Task.isCancelled {
      try? await Task.sleep(for: ServerLimits.compactionInterval)
      guard !Task.isCancelled, await replica.leader != nil else { continue }
      do throws(EtcdError) {
        try await tidy()
      } catch {
        logger.warning("etcd could not be tidied; trying again later", metadata: ["error": "\(error)"])
      }
    }
  }

  private func tidy() async throws(EtcdError) {
    let status = try await store.status()
    metrics.databaseBytes.set(status.dbSize)
    metrics.databaseBytesInUse.set(status.dbSizeInUse)
    for alarm in try await store.alarms() {
      logger.critical(
        "etcd has raised an alarm", metadata: ["alarm": "\(alarm.kind)", "member": "\(alarm.memberID)"])
    }
    // What this server's own watch has not seen yet is never compacted away.
    let target = min(status.revision, await replica.revision) - ServerLimits.revisionsKept
    guard target > 0 else { return }
    do throws(EtcdError) {
      try await store.compact(revision: target, physical: false)
    } catch  where error.code == .compacted {
      return  // Somebody else has been here.
    }
  }
}
