import EtcdClient
import Logging
import NIOCore
import Proto
import SchedulerCore
import Transport

/// Shows the cluster itself: what REST and gRPC call. Any server can be asked; the leader answers, since it alone knows
/// how it judges the others.
struct ClusterService: Sendable {
  let store: any EtcdStore
  let replica: Replica
  let barrier: ReadBarrier
  let leaderLink: LeaderLink
  let storage: StorageBoard
  let logger: Logger

  /// How the cluster stands. While etcd does not answer it is what this server saw last, and says so.
  func get(isForwarded: Bool) async -> ClusterInfo {
    if !isForwarded, let leader = try? await replica.otherLeader() {
      do {
        return try await ask(leader)
      } catch {
        // This server's own view, without what only the leader knows, is better than none.
        logger.info(
          "the leader has not told how the cluster stands",
          metadata: ["leader": "\(leader.serverID)", "error": "\(error)"])
      }
    }
    do {
      try await barrier.pass()
    } catch {
      var info = await replica.clusterInfo()
      if info.term != nil { info.storage = storage.status }
      info.etcdError = "etcd does not answer, so this may be old: \(error)"
      return info
    }
    var info = await replica.clusterInfo()
    if info.term != nil { info.storage = storage.status }
    do throws(EtcdError) {
      info.etcdMembers = try await members()
    } catch {
      info.etcdError = "\(error)"
    }
    return info
  }

  private func ask(_ leader: ServerRecord) async throws -> ClusterInfo {
    let answer = try await leaderLink.channel(to: leader).unary(
      "/rota.v1.Cluster/Get", ByteBuffer(bytes: GetClusterRequest().wire()),
      metadata: [LeaderLink.forwardedHeader: "1"], timeout: ServerLimits.clusterPatience)
    return try decode(ClusterInfo.self, answer)
  }

  private func members() async throws(EtcdError) -> [EtcdMemberView] {
    let listed = try await store.with(requestTimeout: ServerLimits.memberPatience).members()
    let views = await withTaskGroup(of: EtcdMemberView.self) { group in
      for member in listed { group.addTask { await view(of: member) } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    return views.sorted { ($0.name, $0.memberID) < ($1.name, $1.memberID) }
  }

  private func view(of member: Member) async -> EtcdMemberView {
    var view = EtcdMemberView(memberID: String(member.id, radix: 16))
    view.name = member.name
    view.clientURLs = member.clientURLs
    view.isLearner = member.isLearner
    guard let url = member.clientURLs.first else {
      view.error = "it has not told where clients reach it"
      return view
    }
    do throws(EtcdError) {
      let status = try await store.with(requestTimeout: ServerLimits.memberPatience).status(at: url)
      view.isLeader = status.leader == member.id
      view.version = status.version
      view.databaseBytes = status.dbSize
      view.databaseBytesInUse = status.dbSizeInUse
    } catch {
      view.error = "\(error)"
    }
    return view
  }
}
