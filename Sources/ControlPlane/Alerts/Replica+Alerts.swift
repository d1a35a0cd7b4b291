import SchedulerCore

/// What alerts need of the leader on this server.
extension Replica {
  /// The term of this server that does not know the alerts of earlier leaders yet; nil where there is none.
  var termWithoutAlerts: LeaderEpoch? { leader.flatMap { $0.awaitsAlerts ? $0.epoch : nil } }

  /// All alerts as they are in etcd, read within a term.
  func loaded(_ alerts: [AlertRecord], term: LeaderEpoch) {
    guard leader?.epoch == term else { return }
    let now = Timestamp.now()
    leader?.alertsLoaded(alerts, cache, now: now)
    turn(now: now)
  }

  /// Somebody was told of an alert, or not.
  func told(_ key: AlertKey, delivery: Int, _ telling: LeaderMachine.Telling, term: LeaderEpoch) {
    guard leader?.epoch == term else { return }
    let now = Timestamp.now()
    leader?.told(key, delivery: delivery, telling, now: now)
    turn(now: now)
  }
}
