import Proto
import Synchronization

/// How etcd's space stands, as this server saw it last: written by the housekeeping, shown by the API and the metrics.
final class StorageBoard: Sendable {
  private let state = Mutex<StorageStatus?>(nil)

  /// Nil before the first look: this server has never led.
  var status: StorageStatus? { state.withLock { $0 } }

  /// Changes it.
  func update(_ change: (inout StorageStatus) -> Void) {
    state.withLock { status in
      var changed = status ?? StorageStatus()
      change(&changed)
      status = changed
    }
  }
}
