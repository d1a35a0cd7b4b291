/// How late runs were created after they were due: totals for metrics, and percentiles of the last minute.
public struct LatenessRecorder: Sendable {
  /// The upper bounds of the totals' buckets, milliseconds; what is later is in none of them.
  public static let boundsMillis: [Int64] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 600_000, 3_600_000,
  ]

  /// What happened in the last minute.
  public struct Minute: Hashable, Sendable {
    /// How many runs were created.
    public var count = 0
    /// The median of how late they were, milliseconds, rounded up, within an eighth.
    public var p50Millis: Int64 = 0
    /// The 99th percentile.
    public var p99Millis: Int64 = 0
    /// The worst.
    public var maxMillis: Int64 = 0
  }

  /// How many were in each bucket of `boundsMillis`, and not in the one before.
  public private(set) var counts = [Int](repeating: 0, count: LatenessRecorder.boundsMillis.count)
  /// How many there were in all.
  public private(set) var total = 0
  /// The sum of all, milliseconds.
  public private(set) var sumMillis: Int64 = 0

  /// Ten seconds of the last minute.
  private struct Slice: Sendable {
    var number: Int64 = .min
    var counts: [UInt32] = []
    var maxMicros: Int64 = 0
  }

  private static let sliceMicros: Int64 = 10_000_000
  private static let sliceCount: Int64 = 6
  private var slices = [Slice](repeating: Slice(), count: Int(LatenessRecorder.sliceCount))

  /// Makes an empty recorder.
  public init() {}

  /// Notes that a run was created.
  public mutating func record(due: Timestamp, at now: Timestamp) {
    // A clock that was put back makes nothing early.
    let micros = max(0, now.microseconds - due.microseconds)
    total += 1
    sumMillis += micros / 1_000
    if let bucket = Self.boundsMillis.firstIndex(where: { micros <= $0 * 1_000 }) { counts[bucket] += 1 }
    let number = CivilTime.floorDivide(now.microseconds, by: Self.sliceMicros).quotient
    let place = Int(CivilTime.floorDivide(number, by: Self.sliceCount).rest)
    if slices[place].number != number {
      slices[place] = Slice(number: number, counts: [UInt32](repeating: 0, count: Self.cellCount))
    }
    slices[place].counts[Self.cell(of: micros)] += 1
    slices[place].maxMicros = max(slices[place].maxMicros, micros)
  }

  /// The last minute, to within ten seconds.
  public func lastMinute(at now: Timestamp) -> Minute {
    let number = CivilTime.floorDivide(now.microseconds, by: Self.sliceMicros).quotient
    let recent = slices.filter { $0.number > number - Self.sliceCount && $0.number <= number }
    var minute = Minute()
    var sums = [Int](repeating: 0, count: Self.cellCount)
    for slice in recent {
      for (cell, count) in slice.counts.enumerated() { sums[cell] += Int(count) }
      minute.maxMillis = max(minute.maxMillis, Self.millis(slice.maxMicros))
    }
    minute.count = sums.reduce(0, +)
    guard minute.count > 0 else { return minute }
    minute.p50Millis = min(Self.quantile(of: sums, (minute.count + 1) / 2), minute.maxMillis)
    minute.p99Millis = min(Self.quantile(of: sums, (minute.count * 99 + 99) / 100), minute.maxMillis)
    return minute
  }

  // MARK: Cells

  /// Cells of the window: eight for each doubling of the microseconds.
  private static let cellCount = 8 * 48

  private static func cell(of micros: Int64) -> Int {
    guard micros >= 8 else { return Int(micros) }
    let exponent = 63 - micros.leadingZeroBitCount
    return min(cellCount - 1, (exponent - 2) * 8 + Int(micros >> Int64(exponent - 3)) & 7)
  }

  /// The largest that falls into a cell, microseconds.
  private static func upperBound(of cell: Int) -> Int64 {
    guard cell >= 8 else { return Int64(cell) }
    let exponent = cell / 8 + 2
    return (Int64(8 + cell % 8 + 1) << Int64(exponent - 3)) - 1
  }

  private static func quantile(of sums: [Int], _ rank: Int) -> Int64 {
    var left = rank
    for (cell, count) in sums.enumerated() {
      left -= count
      if left <= 0 { return millis(upperBound(of: cell)) }
    }
    return 0
  }

  private static func millis(_ micros: Int64) -> Int64 { (micros + 999) / 1_000 }
}
