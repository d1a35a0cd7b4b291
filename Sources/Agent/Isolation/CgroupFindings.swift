import SchedulerCore

/// What the kernel has counted of an attempt in its control groups.
struct CgroupFindings: Hashable, Sendable {
  /// Processes that it killed since the limit on memory was reached.
  var outOfMemoryKills: Int64 = 0
  /// Bytes.
  var memoryLimit: Int64?
  /// The most memory at once, bytes, cached pages of files included.
  var memoryPeak: Int64?
  /// How often the limit on processes refused another.
  var refusedForks: Int64 = 0

  /// What an attempt's end means in the light of this.
  func explain(_ end: AttemptEnd) -> AttemptEnd {
    var end = end
    // Not the larger of both: a resident set has pages that are shared with others and count for them.
    if let memoryPeak { end.usage?.maxRSSKiB = memoryPeak / 1_024 }
    var notes: [String] = []
    if outOfMemoryKills > 0 {
      if end.reason == .exited, !end.succeeded { end.reason = .outOfMemory }
      let limit = memoryLimit.map { " of \(ByteText.format($0))" } ?? ""
      let peak = memoryPeak.map { " (peak \(ByteText.format($0)))" } ?? ""
      notes.append(
        "out of memory: the kernel killed \(outOfMemoryKills) of its processes at the limit\(limit)\(peak)")
    }
    if refusedForks > 0, !end.succeeded {
      notes.append("the limit on processes refused it another one \(refusedForks) times")
    }
    if !notes.isEmpty { end.error = (notes + [end.error].compactMap { $0 }).joined(separator: "; ") }
    return end
  }
}
