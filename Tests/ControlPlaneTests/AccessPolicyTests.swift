import Certificates
import Testing

@testable import ControlPlane

@Suite struct AccessPolicyTests {
  private static func identity(_ role: PeerIdentity.Role) -> PeerIdentity {
    PeerIdentity(cluster: "demo", role: role, name: "n")!
  }

  @Test(arguments: [
    ("/grpc.health.v1.Health/Check", AccessPolicy.Audience.anybody),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", .anybody),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", .anybody),
    ("/rota.v1.AgentSession/Connect", .agents),
    ("/rota.v1.AgentSession/Logs", .agents),
    ("/rota.v1.Jobs/Submit", .users),
    ("/rota.v1.Runs/Logs", .users),
    ("/rota.v1.Agents/List", .users),
    ("/rota.v1.Cluster/Get", .users),
    ("/rota.v1.Schedules/Preview", .users),
    ("/rota.v1.Calendars/Put", .users),
    ("/rota.v1.Queues/Pause", .users),
    ("/rota.v1.Backfills/Create", .users),
    ("/rota.v1.Events/Watch", .users),
    ("/rota.v1.Peers/LeaseTokens", .servers),
    ("/rota.v1.AgentSessionX/Connect", .users),
    ("/grpc.health.v1.HealthX/Check", .users),
    ("/something.New/Method", .users),
    ("", .users),
  ])
  func methodsAreFor(_ path: String, _ audience: AccessPolicy.Audience) {
    #expect(AccessPolicy.audience(ofMethod: path) == audience)
  }

  @Test(arguments: [
    ("/healthz", AccessPolicy.Audience.anybody), ("/v1/healthz", .anybody), ("/readyz", .anybody),
    ("/v1/readyz", .anybody), ("/jobs", .users), ("/v1/jobs", .users), ("/metrics", .users), ("/", .users),
    ("/healthz/", .users), ("/v1/v1/healthz", .users), ("/x/healthz", .users), ("/HEALTHZ", .users),
  ])
  func pathsAreFor(_ path: String, _ audience: AccessPolicy.Audience) {
    #expect(AccessPolicy.audience(ofPath: path) == audience)
  }

  /// Every caller against every audience.
  @Test func theTable() {
    let roles: [PeerIdentity.Role] = [.server, .client, .agent]
    let callers: [Caller] = [.anonymous, .stranger("why")] + roles.map { .known(Self.identity($0)) }
    func outcome(_ caller: Caller, _ audience: AccessPolicy.Audience) -> ServiceError.Kind? {
      do throws(ServiceError) {
        try AccessPolicy.check(caller, for: audience)
        return nil
      } catch {
        return error.kind
      }
    }
    typealias Kind = ServiceError.Kind
    let no = Kind.permissionDenied
    #expect(callers.map { outcome($0, .anybody) } == [nil, nil, nil, nil, nil])
    #expect(callers.map { outcome($0, .users) } == [.unauthenticated, no, nil, nil, no])
    #expect(callers.map { outcome($0, .agents) } == [.unauthenticated, no, no, no, nil])
    #expect(callers.map { outcome($0, .servers) } == [.unauthenticated, no, nil, no, no])
  }
}
