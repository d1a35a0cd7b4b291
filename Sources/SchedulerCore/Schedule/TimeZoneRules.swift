/// What clocks show in one time zone: stretches of time with one offset from UTC each.
///
/// Times are whole seconds since 1970, UTC or local; a local time counts as if its zone were UTC. Stretches
/// with the same offset are one, whatever else changes between them (abbreviation, whether it counts as
/// daylight-saving time): only what clocks show matters here.
public final class TimeZoneRules: Sendable {
  /// The IANA name.
  public let name: String
  /// When each stretch begins, UTC; the first has always been there.
  private let starts: [Int64]
  /// How far local time is ahead of UTC in each stretch, seconds.
  private let offsets: [Int32]

  /// The beginning of the first stretch and the end of the last: far beyond all times that Rota accepts,
  /// with room to calculate.
  static let distantPast = Int64.min / 4
  static let distantFuture = Int64.max / 4

  /// How much two offsets can differ, seconds: RFC 8536 section 3.2 has them between -25 and +26 hours.
  static let reach: Int64 = 51 * 3_600

  /// Makes a zone of an offset, and later ones, each from an instant on. Instants have to rise.
  init(name: String, firstOffset: Int, transitions: [(at: Int64, offset: Int)]) {
    self.name = name
    var starts = [Self.distantPast]
    var offsets = [Int32(firstOffset)]
    for transition in transitions where Int32(transition.offset) != offsets[offsets.count - 1] {
      starts.append(transition.at)
      offsets.append(Int32(transition.offset))
    }
    self.starts = starts
    self.offsets = offsets
  }

  /// UTC, which needs no file.
  public static let utc = TimeZoneRules(name: "UTC", firstOffset: 0, transitions: [])

  // MARK: Stretches

  /// How many stretches there are.
  var count: Int { starts.count }

  /// The stretch that an instant is in.
  func index(at utc: Int64) -> Int {
    var low = 0
    var high = starts.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= utc { low = middle } else { high = middle }
    }
    return low
  }

  /// When a stretch begins, UTC.
  func start(_ index: Int) -> Int64 { starts[index] }

  /// When a stretch ends, UTC: the beginning of the next.
  func end(_ index: Int) -> Int64 { index + 1 < starts.count ? starts[index + 1] : Self.distantFuture }

  /// How far local time is ahead of UTC.
  func offset(_ index: Int) -> Int64 { Int64(offsets[index]) }

  /// The local times that a stretch shows.
  func localRange(_ index: Int) -> Range<Int64> {
    let offset = offset(index)
    return start(index) + offset..<end(index) + offset
  }

  /// The local times that clocks leave out where a stretch begins; empty where they are put back.
  func gap(before index: Int) -> Range<Int64> {
    guard index > 0 else { return 0..<0 }
    let from = start(index) + offset(index - 1)
    return from..<max(from, start(index) + offset(index))
  }

  // MARK: Times that are shown more than once, or never

  /// The first instant at which clocks show a local time; where none does, the first after the gap.
  func instant(of local: Int64) -> Int64 {
    var index = index(at: local - Self.reach)
    var afterGap: Int64?
    while index < count, start(index) <= local + Self.reach {
      if localRange(index).contains(local) { return local - offset(index) }
      if afterGap == nil, gap(before: index).contains(local) { afterGap = start(index) }
      index += 1
    }
    return afterGap ?? local - offset(count - 1)
  }

  /// An earlier stretch that shows a local time, which the stretch `index` shows too, or the gap before it
  /// leaves out.
  func earlier(showing local: Int64, before index: Int) -> Int? {
    let horizon = start(index) - Self.reach
    var other = index - 1
    while other >= 0, end(other) > horizon {
      if localRange(other).contains(local) { return other }
      other -= 1
    }
    return nil
  }

  /// A later stretch that shows a local time and begins before `horizon`; the last of several.
  func later(showing local: Int64, after index: Int, within horizon: Int64) -> Int? {
    var found: Int?
    var other = index + 1
    while other < count, start(other) < horizon {
      if localRange(other).contains(local) { found = other }
      other += 1
    }
    return found
  }

  /// The local times, around one in the gap before the stretch `index`, that are not this gap's own: another
  /// stretch shows them, or an earlier gap leaves them out. Nil for a time that no clock ever shows, and that
  /// this gap is the first to leave out.
  func others(coveringGapTime local: Int64, before index: Int) -> Range<Int64>? {
    if let other = earlier(showing: local, before: index) { return localRange(other) }
    if let other = later(showing: local, after: index - 1, within: start(index) + Self.reach) {
      return localRange(other)
    }
    var other = index - 1
    while other > 0, start(other) > start(index) - Self.reach {
      let gap = gap(before: other)
      if gap.contains(local) { return gap }
      other -= 1
    }
    return nil
  }
}
