import SchedulerCore

/// Answers questions about logs, beside the core: reading files must not delay decisions.
actor LogService {
  private let core: AgentCore
  private var reader: LogReader

  /// - Parameter root: the folder of all attempts.
  init(core: AgentCore, root: String) {
    self.core = core
    reader = LogReader(root: root)
  }

  /// Answers a query; an error is in the reply.
  func answer(_ query: LogQuery) async -> LogReply {
    // Asked first: what the task writes before it ends is in the files by then.
    let isLive = await core.isLive(query.ref)
    return reader.answer(query, isLive: isLive)
  }
}
