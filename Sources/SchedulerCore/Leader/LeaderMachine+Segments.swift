extension LeaderMachine {
  /// Bounds of the care for segments.
  public enum SegmentLimits {
    /// Segments that one proposal moves: with what guards them they fit into one transaction.
    public static let movesPerProposal = 100
    /// How long a move that was committed may take to come back by the watch before it is taken for undone.
    public static let patienceMillis: Int64 = 10_000
  }

  /// What the leader knows of segments and servers besides what the cache shows.
  struct SegmentDesk: Sendable {
    var judge = ServerJudge()
    /// The next owners of segments that the watch does not show with them yet.
    var pending: [Int: String] = [:]
    /// Proposals in flight.
    var proposals = 0
    /// Whether something has changed that may call for moves.
    var isStale = true
  }

  // MARK: Inputs

  /// A server's key was written or is gone.
  public mutating func serverChanged(_ id: String, _ cache: ClusterCache, now: Timestamp) {
    if let figures = cache.servers[id]?.record.figures {
      segmentDesk.judge.reported(id, figures, now: now)
    } else {
      segmentDesk.judge.forget(id)
    }
    segmentDesk.isStale = true
  }

  /// A segment has another owner, or none.
  public mutating func segmentChanged(_ number: Int) {
    segmentDesk.pending[number] = nil
    segmentDesk.isStale = true
  }

  // MARK: Moves

  /// Proposes what spreads the segments evenly, unless that is under way. Ownership changes as the transaction
  /// commits: the old owner's writes compare the segment's revision, which has passed then.
  mutating func spreadSegments(_ cache: ClusterCache) {
    guard segmentDesk.isStale, segmentDesk.proposals == 0 else { return }
    segmentDesk.isStale = false
    var owners = cache.segments.mapValues(\.record.serverID)
    owners.merge(segmentDesk.pending) { $1 }
    let moves = SegmentPlanner.moves(
      segmentCount: configuration.segmentCount, owners: owners, shares: shares(cache))
    var rest = moves[...]
    while !rest.isEmpty {
      propose(Array(rest.prefix(SegmentLimits.movesPerProposal)), cache)
      rest = rest.dropFirst(SegmentLimits.movesPerProposal)
    }
  }

  /// Servers that have told their lease, each with what it may have.
  private func shares(_ cache: ClusterCache) -> [String: Int] {
    cache.servers.filter { $0.value.record.lease != 0 }.mapValues {
      $0.record.draining ? 0 : segmentDesk.judge.share(of: $0.record.serverID)
    }
  }

  private mutating func propose(_ moves: [SegmentPlanner.Move], _ cache: ClusterCache) {
    var guards: [Proposal.Guard] = []
    var writes: [Proposal.Write] = []
    for id in Set(moves.map(\.owner)).sorted() {
      if let lease = cache.servers[id]?.record.lease { guards.append(.serverPresent(id, lease: lease)) }
    }
    for move in moves {
      guard let lease = cache.servers[move.owner]?.record.lease else { continue }
      let held = cache.segments[move.segment]?.modRevision ?? 0
      guards.append(.segmentUnchanged(move.segment, modRevision: held))
      writes.append(.segment(move.segment, SegmentRecord(serverID: move.owner), lease: lease))
      segmentDesk.pending[move.segment] = move.owner
    }
    segmentDesk.proposals += 1
    propose(.moveSegments(moves), guards: guards, writes: writes)
  }

  /// Some moves are through. Those that were committed stand until the watch shows the segments; others are
  /// planned again, from what the watch has shown by then.
  mutating func moved(
    _ moves: [SegmentPlanner.Move], _ outcome: ProposalOutcome, again later: Timestamp, now: Timestamp
  ) {
    segmentDesk.proposals -= 1
    if outcome == .committed {
      counters.segmentMoves += moves.count
      deadlines.set(.doubtMoves, at: now.adding(milliseconds: SegmentLimits.patienceMillis))
    } else {
      for move in moves where segmentDesk.pending[move.segment] == move.owner {
        segmentDesk.pending[move.segment] = nil
      }
      deadlines.set(.spreadSegments, at: later)
    }
  }

  /// What the watch has not shown for so long did not last, or was lost on the way: the cache counts.
  mutating func doubtMoves(now: Timestamp) {
    guard !segmentDesk.pending.isEmpty else { return }
    guard segmentDesk.proposals == 0 else {
      return deadlines.set(.doubtMoves, at: now.adding(milliseconds: SegmentLimits.patienceMillis))
    }
    segmentDesk.pending.removeAll()
    segmentDesk.isStale = true
  }

  // MARK: Facts

  /// Why a server has fewer segments than others; nil when it does not.
  public func heldBack(_ serverID: String) -> String? { segmentDesk.judge.heldBack(serverID) }

  /// A server's wall clock minus this one's, as its last report tells, milliseconds; nil before it has reported.
  public func clockOffsetMillis(of serverID: String) -> Int64? {
    segmentDesk.judge.offsetMillis(of: serverID)
  }
}
