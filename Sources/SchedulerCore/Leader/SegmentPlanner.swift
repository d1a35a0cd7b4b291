/// Decides who owns which segment. Pure and deterministic: the same picture gives the same moves.
public enum SegmentPlanner {
  /// The share of a server that gets as much as any other.
  public static let fullShare = 1_000

  /// One segment and who is to have it.
  public struct Move: Hashable, Sendable {
    /// The segment.
    public var segment: Int
    /// Its next owner.
    public var owner: String

    /// Makes a move.
    public init(segment: Int, owner: String) {
      self.segment = segment
      self.owner = owner
    }
  }

  /// The fewest moves after which every segment has an owner and the segments are spread evenly: among servers
  /// with the largest share the numbers differ by at most one, and those with a smaller share have so much less.
  ///
  /// - Parameters:
  ///   - segmentCount: How many segments there are, numbered from 0.
  ///   - owners: Who has which segment now. Owners that `shares` does not name do not keep theirs.
  ///   - shares: The servers that may own segments, each with its share, up to `fullShare`; one with a share of 0
  ///     gets none and keeps none.
  /// - Returns: The moves, by segment. None while no server may own any: then all stays where it is.
  public static func moves(segmentCount: Int, owners: [Int: String], shares: [String: Int]) -> [Move] {
    var held: [String: Int] = [:]
    for segment in 0..<segmentCount {
      if let owner = owners[segment], shares[owner, default: 0] > 0 { held[owner, default: 0] += 1 }
    }
    var room = targets(segmentCount: segmentCount, held: held, shares: shares)
    guard !room.isEmpty else { return [] }
    var homeless: [Int] = []
    for segment in 0..<segmentCount {
      if let owner = owners[segment], let left = room[owner], left > 0 {
        room[owner] = left - 1
      } else {
        homeless.append(segment)
      }
    }
    // Each goes where most room is left, so that what one server loses is spread over the others.
    return homeless.compactMap { segment in
      guard let next = room.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }), next.value > 0 else {
        return nil
      }
      room[next.key] = next.value - 1
      return Move(segment: segment, owner: next.key)
    }
  }

  /// How many segments each server is to have; together as many as there are.
  private static func targets(
    segmentCount: Int, held: [String: Int], shares: [String: Int]
  ) -> [String: Int] {
    let able = shares.filter { $0.value > 0 }
    guard let largest = able.values.max() else { return [:] }
    var targets: [String: Int] = [:]
    var left = segmentCount
    for (id, share) in able where share < largest {
      targets[id] = segmentCount * share / (able.count * largest)
      left -= targets[id] ?? 0
    }
    let full = able.filter { $0.value == largest }.keys
    let (each, rest) = left.quotientAndRemainder(dividingBy: full.count)
    // Who has more already keeps one more: that saves a move.
    let order = full.sorted { (-held[$0, default: 0], $0) < (-held[$1, default: 0], $1) }
    for (place, id) in order.enumerated() { targets[id] = each + (place < rest ? 1 : 0) }
    return targets
  }
}
