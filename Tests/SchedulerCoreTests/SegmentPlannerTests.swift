import Testing

@testable import SchedulerCore

/// Who is to own which segment.
struct SegmentPlannerTests {
  private static let full = SegmentPlanner.fullShare

  private func apply(_ moves: [SegmentPlanner.Move], to owners: inout [Int: String]) {
    for move in moves { owners[move.segment] = move.owner }
  }

  private func counts(_ owners: [Int: String]) -> [String: Int] {
    owners.values.reduce(into: [:]) { $0[$1, default: 0] += 1 }
  }

  @Test func theFirstServerGetsAllAndAnotherHalf() {
    var owners: [Int: String] = [:]
    apply(SegmentPlanner.moves(segmentCount: 256, owners: owners, shares: ["a": Self.full]), to: &owners)
    #expect(counts(owners) == ["a": 256])
    let moves = SegmentPlanner.moves(
      segmentCount: 256, owners: owners, shares: ["a": Self.full, "b": Self.full])
    #expect(moves.count == 128 && moves.allSatisfy { $0.owner == "b" })
  }

  @Test func nobodyIsAbleSoNothingMoves() {
    #expect(SegmentPlanner.moves(segmentCount: 4, owners: [0: "a"], shares: ["a": 0]).isEmpty)
    #expect(SegmentPlanner.moves(segmentCount: 4, owners: [:], shares: [:]).isEmpty)
  }

  @Test func aReducedShareIsThatMuchSmaller() {
    var owners: [Int: String] = [:]
    let all = ["a": Self.full, "b": Self.full, "c": Self.full]
    apply(SegmentPlanner.moves(segmentCount: 256, owners: owners, shares: all), to: &owners)
    let moves = SegmentPlanner.moves(
      segmentCount: 256, owners: owners, shares: all.merging(["b": 750]) { $1 })
    apply(moves, to: &owners)
    #expect(counts(owners)["b"] == 64, "three quarters of a third")
    #expect(counts(owners)["a"] == 96 && counts(owners)["c"] == 96)
    #expect(moves.allSatisfy { $0.owner != "b" })
  }

  /// Servers come, go, drain and are held back in any order: each time everything has an owner who may have it,
  /// it is even, no move was needless, and a second look moves nothing.
  @Test(arguments: 0..<300) func anyHistoryEndsEven(seed: Int) {
    var random = SplitMix(seed: UInt64(seed))
    let segmentCount = [1, 7, 16, 256].randomElement(using: &random) ?? 256
    let names = (0..<9).map { "s\($0)" }
    var shares: [String: Int] = [:]
    var owners: [Int: String] = [:]
    for _ in 0..<25 {
      let name = names.randomElement(using: &random) ?? "s0"
      shares[name] = [nil, 0, 500, 1_000, 1_000, 1_000].randomElement(using: &random) ?? nil
      if Bool.random(using: &random) { owners = owners.filter { shares[$0.value] != nil } }
      let before = owners
      let moves = SegmentPlanner.moves(segmentCount: segmentCount, owners: owners, shares: shares)
      #expect(moves == SegmentPlanner.moves(segmentCount: segmentCount, owners: owners, shares: shares))
      apply(moves, to: &owners)
      let able = shares.filter { $0.value > 0 }
      guard !able.isEmpty else {
        #expect(moves.isEmpty)
        continue
      }
      #expect(owners.count == segmentCount && owners.values.allSatisfy { able[$0] != nil })
      let held = counts(owners)
      let largest = able.values.max() ?? 0
      let full = able.filter { $0.value == largest }.map { held[$0.key] ?? 0 }
      #expect((full.max() ?? 0) - (full.min() ?? 0) <= 1)
      for (id, share) in able where share < largest {
        #expect(held[id] ?? 0 == segmentCount * share / (able.count * largest))
      }
      // What had to move: the homeless, and what somebody has beyond the new number.
      let kept = counts(before.filter { able[$0.value] != nil })
      let needed = segmentCount - kept.reduce(0) { $0 + min($1.value, held[$1.key] ?? 0) }
      #expect(moves.count == needed)
      #expect(SegmentPlanner.moves(segmentCount: segmentCount, owners: owners, shares: shares).isEmpty)
    }
  }
}
