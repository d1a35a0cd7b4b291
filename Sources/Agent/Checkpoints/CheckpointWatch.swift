import Glibc
import SchedulerCore

/// Notices that tasks have written checkpoints: inotify(7), one instance for all of them, nothing is polled.
/// Belongs to the reactor's thread.
final class CheckpointWatch {
  /// Readable when there is something to take; -1 where the kernel gives none.
  let descriptor: Int32
  private var refs: [Int32: AttemptRef] = [:]
  private var watches: [AttemptRef: Int32] = [:]
  private var buffer = [UInt8](repeating: 0, count: AgentLimits.checkpointEventBytes)

  init() { descriptor = inotify_init1(O_NONBLOCK | O_CLOEXEC) }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Watches an attempt's folder. False when the kernel does not: what its task saves is then seen at its end alone.
  func add(_ ref: AttemptRef, _ folder: CheckpointFolder) -> Bool {
    // A file is whole when it was closed or came under its name; IN_ONLYDIR and IN_DONT_FOLLOW: no link is followed.
    let mask = Mask.closeWrite | Mask.movedTo | Mask.onlyFolder | Mask.followNoLink
    let watch = inotify_add_watch(descriptor, folder.path, mask)
    guard watch >= 0 else { return false }
    refs[watch] = ref
    watches[ref] = watch
    return true
  }

  /// Whether the attempt is watched.
  func has(_ ref: AttemptRef) -> Bool { watches[ref] != nil }

  /// Watches it no more.
  func remove(_ ref: AttemptRef) {
    guard let watch = watches.removeValue(forKey: ref) else { return }
    refs[watch] = nil
    inotify_rm_watch(descriptor, watch)
  }

  /// The attempts whose checkpoints may have changed since the last call.
  func take() -> Set<AttemptRef> {
    var changed = Set<AttemptRef>()
    // A task may write faster than this reads: the rest is for the next turn.
    for _ in 0..<AgentLimits.checkpointReadsPerTurn {
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      collect(buffer[..<count], into: &changed)
    }
    return changed
  }

  /// Events lie one behind the other: watch, mask, cookie, length of the name (32 bits each), the name with NULs behind it.
  private func collect(_ bytes: ArraySlice<UInt8>, into changed: inout Set<AttemptRef>) {
    var at = bytes.startIndex
    while at + Mask.headerBytes <= bytes.endIndex {
      let (watch, mask, length) = bytes.withUnsafeBytes { raw in
        let offset = at - bytes.startIndex
        return (
          raw.loadUnaligned(fromByteOffset: offset, as: Int32.self),
          raw.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self),
          Int(raw.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
        )
      }
      let name = bytes[
        min(at + Mask.headerBytes, bytes.endIndex)..<min(at + Mask.headerBytes + length, bytes.endIndex)]
      at += Mask.headerBytes + length
      if mask & Mask.overflow != 0 {
        // Some were lost; whoever has nothing new is found out when its file is read.
        changed.formUnion(watches.keys)
      } else if let ref = refs[watch],
        name.prefix(while: { $0 != 0 }).elementsEqual(CheckpointFolder.dataName.utf8)
      {
        changed.insert(ref)
      }
    }
  }

  /// From <sys/inotify.h>.
  private enum Mask {
    static let closeWrite: UInt32 = 0x8
    static let movedTo: UInt32 = 0x80
    static let overflow: UInt32 = 0x4000
    static let onlyFolder: UInt32 = 0x0100_0000
    static let followNoLink: UInt32 = 0x0200_0000
    static let headerBytes = 16
  }
}
