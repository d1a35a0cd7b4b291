import EtcdClient
import Logging
import SchedulerCore

/// Reads checkpoints for the assignments that have to carry them: no server keeps a copy.
struct CheckpointReader: Sendable {
  private let store: any EtcdStore
  private let keyspace: Keyspace
  private let logger: Logger

  init(store: any EtcdStore, keyspace: Keyspace, logger: Logger) {
    self.store = store.with(requestTimeout: ServerLimits.checkpointPatience)
    self.keyspace = keyspace
    self.logger = logger
  }

  /// What etcd has of a checkpoint.
  enum Answer: Sendable {
    case data([UInt8])
    /// It is not there, or cannot be understood: the run has ended meanwhile, or has to wait until it is.
    case missing
    /// Another may be tried later.
    case etcdFails
  }

  /// Reads a run's checkpoint; what goes wrong is logged.
  func read(_ run: RunKey) async -> Answer {
    let key = keyspace.checkpoint(run)
    do throws(EtcdError) {
      guard let pair = try await store.get(key) else {
        logger.warning(
          "a checkpoint is not there: its run has ended, or waits until it is put back or the job is cancelled",
          metadata: ["key": "\(key)"])
        return .missing
      }
      return decode(pair)
    } catch {
      logger.warning(
        "a checkpoint cannot be read; trying again later", metadata: ["key": "\(key)", "error": "\(error)"])
      return .etcdFails
    }
  }

  private func decode(_ pair: KeyValue) -> Answer {
    do { return .data(try CheckpointRecord(decoding: pair.value).data) } catch {
      logger.error(
        "a checkpoint cannot be understood: its run waits until it is mended or the job is cancelled",
        metadata: ["key": "\(pair.key)", "error": "\(error)"])
      return .missing
    }
  }
}
