import Logging
import SchedulerCore

// What tasks save: from their files to the leader, and the answers back to them.

extension AgentCore {
  /// What was last sent of an attempt's checkpoint and is not known to be durable.
  struct SentCheckpoint: Sendable {
    /// 0: an earlier process of the agent may have sent something.
    var sequence: UInt64 = 0
    var mark: CheckpointMark?
  }

  /// Where an attempt's task saves; nil when a name in it is not valid.
  nonisolated func checkpoints(of ref: AttemptRef) -> CheckpointFolder? {
    folder.folder(of: ref)?.checkpoints
  }

  /// A content is about to be sent.
  ///
  /// - Parameter saved: what the task's folder said to be durable, before that was taken back.
  /// - Returns: whether it is to be sent: the session is the present one, and it is not durable already.
  func checkpointReady(
    _ request: AgentMachine.CheckpointRequest, _ mark: CheckpointMark, saved: CheckpointMark?, on id: UInt64
  ) -> Bool {
    guard isPresent(id) else { return false }
    // Something else that is on its way, or may be, would replace it.
    if sentCheckpoints[request.ref] == nil, let saved, saved.isOfSameContent(as: mark) {
      checkpointNotSent(request, saved: saved, on: id)
      return false
    }
    sentCheckpoints[request.ref] = SentCheckpoint(sequence: request.sequence, mark: mark)
    return true
  }

  /// There was nothing that could be sent, so what was durable is.
  func checkpointNotSent(
    _ request: AgentMachine.CheckpointRequest, saved: CheckpointMark?, on id: UInt64
  ) {
    // A later session looks at the file again, and what it sends must not be contradicted.
    guard isPresent(id) else { return }
    if var saved {
      // The task can have written anything there.
      saved.error = nil
      tell(request.ref, saved)
    }
    machine.checkpointNotSent(request)
    settle()
  }

  /// What an earlier process has saved, or has not, is not known: it is said again.
  func recoverCheckpoint(of ref: AttemptRef) {
    guard checkpoints(of: ref)?.hasData == true else { return }
    sentCheckpoints[ref] = SentCheckpoint()
    machine.checkpointChanged(ref)
  }

  /// Tells a task what became of its checkpoint.
  func tell(_ answer: AgentMachine.CheckpointAnswer) {
    guard let sent = sentCheckpoints[answer.ref], sent.sequence == answer.sequence, var mark = sent.mark
    else {
      return
    }
    if answer.error == nil { sentCheckpoints[answer.ref] = nil }
    mark.error = answer.error
    tell(answer.ref, mark)
  }

  /// Writes a mark; a task that hears nothing takes its checkpoint as not saved.
  nonisolated func tell(_ ref: AttemptRef, _ mark: CheckpointMark) {
    if let error = mark.error {
      logger.warning("a checkpoint was not saved", metadata: ["run": "\(ref.run)", "error": "\(error)"])
    }
    do throws(AgentError) { try checkpoints(of: ref)?.tell(mark) } catch {
      logger.warning(
        "a task cannot be told what became of its checkpoint",
        metadata: ["run": "\(ref.run)", "error": "\(error)"])
    }
  }
}
