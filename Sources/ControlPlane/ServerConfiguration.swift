import Certificates
import EtcdClient
import SchedulerCore

/// What a server needs to know.
public struct ServerConfiguration: Sendable {
  /// The server's id, unique in the cluster.
  public var serverID: String
  /// The prefix of all keys, without a slash at its end.
  public var prefix = "/rota"
  /// Where REST listens.
  public var http: HostPort
  /// Where gRPC listens.
  public var grpc: HostPort
  /// Where agents and other servers reach gRPC; the listening address when nil.
  public var advertiseGRPC: HostPort?
  /// Where users reach REST; the listening address when nil.
  public var advertiseHTTP: HostPort?
  /// TLS for gRPC and REST, and towards other servers; nil for none.
  public var tls: TLSCredentials?
  /// How long others wait at most for this server after a crash, seconds; 2 at least.
  public var leaseTTLSeconds: Int64 = 5
  /// The TTL of the lease itself, seconds. etcd looks for lapsed leases twice a second, and agents need a moment to find
  /// the next leader: that comes on top.
  var grantedTTLSeconds: Int64 {
    max(ServerLimits.shortestLeaseSeconds, leaseTTLSeconds - ServerLimits.takeoverSeconds)
  }
  /// The time zones that schedules may name.
  public var zones = TimeZones.utcOnly
  /// How long ended jobs and runs are kept.
  public var retention: Duration = .seconds(7 * 24 * 3_600)
  /// How many ended runs of one job are kept.
  public var runsKeptPerJob = 100
  /// How often everything in etcd is listed and compared with what the watch has brought, varied by a fifth.
  public var relistInterval: Duration = .seconds(600)
  /// What a member's database may take before etcd raises NOSPACE, bytes: etcd's `--quota-backend-bytes`, which it does
  /// not tell. Its default is 2 GiB.
  public var etcdQuotaBytes: Int64 = 2 << 30
  /// Past this part of it less of what has ended is kept.
  public var etcdQuotaShare = 0.8
  /// How many sessions of agents a leader begins in a second; half as many may begin at once. Others are told when to
  /// come back.
  public var agentsPerSecond = 1_000
  /// What alerts may make the server do.
  public var alerts = AlertPolicy()
  /// How many jobs one client may submit, to all servers together; nil for as many as it likes.
  public var submitRate: SubmitRate? = .standard
  /// Rota's version, shown to users.
  public var version: String

  /// Makes a configuration with the defaults.
  public init(serverID: String, http: HostPort, grpc: HostPort, version: String) {
    self.serverID = serverID
    self.http = http
    self.grpc = grpc
    self.version = version
  }

  /// How fast agents are let in.
  var sessionRate: SessionGate.Rate {
    SessionGate.Rate(perSecond: agentsPerSecond, burst: max(1, agentsPerSecond / 2))
  }

  /// What etcd's space is held against.
  var pressure: StoragePressure { StoragePressure(quotaBytes: etcdQuotaBytes, share: etcdQuotaShare) }

  /// What the leader's machine is told.
  var machine: LeaderMachine.Configuration {
    var machine = LeaderMachine.Configuration()
    machine.retentionMillis = retention.components.seconds * 1_000
    machine.runsKeptPerJob = runsKeptPerJob
    return machine
  }
}
