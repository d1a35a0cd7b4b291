import Curl
import EtcdClient
import Logging
import SchedulerCore

/// Tells of alerts for the leader on this server: posts webhooks and runs commands. And reads what earlier leaders have
/// written, when this server begins to lead.
final class AlertSender: Sendable {
  /// Something that a leader wants told.
  struct Order: Sendable {
    var alert: AlertRecord
    var delivery: Int
    var term: LeaderEpoch
  }

  private let policy: AlertPolicy
  private let version: String
  private let engine: CurlEngine?
  private let logger: Logger
  private let orders: AsyncStream<Order>
  private let inbox: AsyncStream<Order>.Continuation

  init(_ policy: AlertPolicy, version: String, logger: Logger) {
    self.policy = policy
    self.version = version
    self.logger = logger
    engine = policy.webhookHosts.isEmpty ? nil : try? CurlEngine()
    // A leader orders no more than it may have told at a time.
    (orders, inbox) = AsyncStream.makeStream(of: Order.self)
  }

  /// Takes an order; its outcome is reported to the replica.
  func take(_ order: Order) { inbox.yield(order) }

  /// Works until the task is cancelled.
  func run(_ replica: Replica, _ store: any EtcdStore, _ keyspace: Keyspace) async {
    await withDiscardingTaskGroup { group in
      group.addTask { await self.loadForLeaders(replica, store, keyspace) }
      for await order in orders {
        group.addTask {
          let outcome = await self.tell(order.alert, delivery: order.delivery)
          await replica.told(order.alert.key, delivery: order.delivery, outcome, term: order.term)
        }
      }
      group.cancelAll()
    }
    await engine?.shutdown()
  }

  // MARK: Telling

  private func tell(_ alert: AlertRecord, delivery: Int) async -> LeaderMachine.Telling {
    guard alert.deliveries.indices.contains(delivery) else { return .impossible("there is no such delivery") }
    let target = alert.deliveries[delivery]
    let outcome: LeaderMachine.Telling
    switch target.kind {
    case .webhook: outcome = await post(alert, to: target.to)
    case .command:
      guard let path = policy.commands[target.to] else {
        return .impossible("the servers have no command '\(target.to)'; they are told by --alert-command")
      }
      outcome = await AlertCommand(path: path, alert: alert).run()
    }
    let facts: Logger.Metadata = [
      "namespace": "\(alert.key.job.namespace)", "job": "\(alert.key.job.jobID)",
      "alert": "\(alert.key.alertID)", "kind": "\(target.kind.rawValue)", "try": "\(target.tries + 1)",
    ]
    switch outcome {
    case .taken: logger.info("an alert was told", metadata: facts)
    case .failed(let why), .impossible(let why):
      logger.warning(
        "an alert could not be told", metadata: facts.merging(["error": "\(why)"]) { $1 })
    }
    return outcome
  }

  private func post(_ alert: AlertRecord, to url: String) async -> LeaderMachine.Telling {
    if let refusal = policy.refusal(of: url) { return .impossible(refusal) }
    guard let engine else { return .failed("this server could not set up libcurl") }
    let (job, id) = (alert.key.job, alert.key.alertID)
    let request = HTTPRequest(
      method: "POST", url: url,
      headers: [
        ("content-type", "application/json"), ("user-agent", "rota/\(version)"),
        ("idempotency-key", "\(job.namespace)/\(job.jobID)/\(id)"),
      ], body: alert.told, timeout: ServerLimits.alertPatience,
      maxResponseBytes: ServerLimits.alertResponseBytes)
    do throws(CurlError) {
      let response = try await engine.perform(request)
      return (200..<300).contains(response.status)
        ? .taken : .failed("the answer was HTTP \(response.status)")
    } catch {
      return .failed("\(error)")
    }
  }

  // MARK: Taking over

  /// Reads all alerts for each new leader on this server, until it could.
  private func loadForLeaders(_ replica: Replica, _ store: any EtcdStore, _ keyspace: Keyspace) async {
    while !Task.isCancelled {
      try? await Task.sleep(for: ServerLimits.alertLoadPause)
      guard let term = await replica.termWithoutAlerts else { continue }
      do throws(EtcdError) {
        await replica.loaded(try await alerts(in: store, keyspace), term: term)
      } catch {
        logger.warning(
          "the alerts cannot be read from etcd; trying again", metadata: ["error": "\(error)"])
      }
    }
  }

  private func alerts(
    in store: any EtcdStore, _ keyspace: Keyspace
  ) async throws(EtcdError) -> [AlertRecord] {
    var records: [AlertRecord] = []
    try await store.list(prefix: keyspace.alerts) { page in
      for pair in page {
        guard let key = keyspace.parse(alert: pair.key) else { continue }
        do { records.append(try AlertRecord(decoding: pair.value, key: key)) } catch {
          logger.error(
            "an alert in etcd cannot be read and is passed over",
            metadata: ["key": "\(pair.key)", "error": "\(error)"])
        }
      }
    }
    return records
  }
}
