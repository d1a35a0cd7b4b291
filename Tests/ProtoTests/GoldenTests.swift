import Proto
import SchedulerCore
import Testing

/// Bytes that Google's protobuf made of known values; `Tests/EndToEnd/proto/test_golden.py` made them and checks that they are
/// still what it makes.
@Suite struct GoldenTests {
  @Test func submitRequestIsWhatPythonMakes() throws {
    let golden =
      "0a067465616d2d6112076e696768746c791a026b312288010a047a6fc3ab52120a092f62696e2f6563686f0a00"
      + "0a03610062a201060a0141120131a201060a0142120132aa01042f737276b2010808011080cab5ee01ba0100c0"
      + "0103ca01140a02083c0a051080e59a7729000000000000e03fd00163da01100a047a6f6e6510031a0265751a02"
      + "7573e2011108ffffffffffffffffff0110988cebdc03e80102"
    var spec = JobSpec(task: .exec(argv: ["/bin/echo", "", "a\0b"]))
    spec.userID = "zoë"
    spec.env = ["A": "1", "B": "2"]
    spec.workingDirectory = "/srv"
    spec.timeoutMillis = 1_500
    spec.killGraceMillis = 0
    spec.maxRetries = 3
    spec.backoff = Backoff(curve: .list([60_000, 250]), jitter: 0.5)
    spec.priority = 99
    spec.constraints = [Constraint(label: "zone", op: .isIn, values: ["eu", "us"])]
    spec.executionTime = Timestamp(microseconds: -1)
    spec.onAgentLoss = .fail
    let request = SubmitRequest(namespace: "team-a", jobID: "nightly", idempotencyKey: "k1", spec: spec)
    #expect(hex(request.wire()) == golden)
    #expect(try SubmitRequest(wire: bytes(golden)) == request)
  }

  @Test func statusIsWhatPythonMakes() throws {
    let golden =
      "12860108ffffffffffffffffff0112650a160a0764656661756c7412016a1a01722002280730b96012090880e2"
      + "cfaa0610e8071a090881e2cfaa0610d00f200130093a066b696c6c65644206ff007461696c4a0208055a1d0900"
      + "0000000000e03f120468616c661a0c0880e2cfaa061080cab5ee011a1009000000000000d03f18808080808020"
      + "2001"
    let run = RunKey(job: JobKey(namespace: "default", jobID: "j"), runID: "r")
    let end = AttemptEnd(
      endedAt: Timestamp(microseconds: 1_700_000_001_000_002), reason: .exited, signal: 9, error: "killed",
      outputTail: [0xFF, 0] + Array("tail".utf8),
      usage: ResourceUsage(userCPUMicros: 5, systemCPUMicros: 0, maxRSSKiB: 0))
    let update = AttemptUpdate(
      ref: AttemptRef(run: run, attempt: 2, fence: 7, incarnation: 12_345),
      startedAt: Timestamp(microseconds: 1_700_000_000_000_001), end: end,
      progress: Progress(
        fraction: 0.5, message: "half", at: Timestamp(microseconds: 1_700_000_000_500_000)))
    var health = AgentHealth()
    health.cpu = 0.25
    health.memoryTotal = 1 << 40
    let message = AgentMessage.status(
      AgentStatus(sequence: .max, updates: [update], health: health, draining: true))
    #expect(hex(message.wire()) == golden)
    #expect(try AgentMessage(wire: bytes(golden)) == message)
  }

  @Test func aNamedTaskIsWhatPythonMakes() throws {
    let golden = "0a016e12016a221c72170a06726573697a65120d7b227769647468223a3332307dd00132"
    let spec = JobSpec(task: .task(name: "resize", payload: #"{"width":320}"#))
    let request = SubmitRequest(namespace: "n", jobID: "j", spec: spec)
    #expect(hex(request.wire()) == golden)
    #expect(try SubmitRequest(wire: bytes(golden)) == request)
  }

  @Test func checkpointsAreWhatPythonMakes() throws {
    let sent = "1a220a160a0764656661756c7412016a1a01722002280730b96010031a060068616c66ff"
    let answered = "2a210a160a0764656661756c7412016a1a01722002280730b96010031a057374616c65"
    let run = RunKey(job: JobKey(namespace: "default", jobID: "j"), runID: "r")
    let ref = AttemptRef(run: run, attempt: 2, fence: 7, incarnation: 12_345)
    let data = [0] + Array("half".utf8) + [0xFF]
    let message = AgentMessage.checkpoint(CheckpointReport(ref: ref, sequence: 3, data: data))
    #expect(hex(message.wire()) == sent)
    #expect(try AgentMessage(wire: bytes(sent)) == message)
    let answer = ServerMessage.checkpointAck(ref, sequence: 3, error: "stale")
    #expect(hex(answer.wire()) == answered)
    #expect(try ServerMessage(wire: bytes(answered)) == answer)
  }

  private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.utf8).map { UInt8($0 <= 57 ? $0 - 48 : $0 - 87) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }
}
