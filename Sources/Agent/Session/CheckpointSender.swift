import NIOCore
import Proto
import SchedulerCore
import Transport

/// Reads what tasks have saved, and sends it; beside the core, which decides but reads no files of tasks.
struct CheckpointSender: Sendable {
  let core: AgentCore
  let session: UInt64

  /// Sends what is in the attempt's file now.
  func send(_ request: AgentMachine.CheckpointRequest, over writer: ClientStreamWriter) async throws {
    guard let folder = core.checkpoints(of: request.ref) else { return }
    let saved = folder.saved
    // Before the content is read, so that `.saved` never names one while another is on its way.
    folder.takeBackSaved()
    switch folder.read() {
    case .nothing: await core.checkpointNotSent(request, saved: saved, on: session)
    case .refused(let mark):
      await core.checkpointNotSent(request, saved: saved, on: session)
      core.tell(request.ref, mark)
    case .data(let bytes):
      let mark = CheckpointMark(of: bytes)
      guard await core.checkpointReady(request, mark, saved: saved, on: session) else { return }
      let report = CheckpointReport(ref: request.ref, sequence: request.sequence, data: bytes)
      try await writer.send(ByteBuffer(bytes: AgentMessage.checkpoint(report).wire()))
    }
  }
}
