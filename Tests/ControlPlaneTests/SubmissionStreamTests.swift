import NIOCore
import Proto
import SchedulerCore
import Synchronization
import Testing
import Transport

@testable import ControlPlane

@Suite struct SubmissionStreamTests {
  private func message(_ jobID: String, script: String = "") -> ByteBuffer {
    var spec = JobSpec(task: .noop)
    if !script.isEmpty { spec.env = ["A": script] }
    return ByteBuffer(bytes: SubmitRequest(jobID: jobID, spec: spec).wire())
  }

  private func stream(of messages: [ByteBuffer]) -> AsyncStream<ByteBuffer> {
    AsyncStream { continuation in
      for message in messages { continuation.yield(message) }
      continuation.finish()
    }
  }

  private static func accepted(_ request: SubmitRequest) -> SubmitResponse {
    let key = JobKey(namespace: request.namespace, jobID: request.jobID ?? "made")
    return SubmitResponse(
      job: JobView(
        key: key, etag: "e", spec: request.spec, status: .pending, createdAt: Timestamp(microseconds: 0)),
      created: request.jobID != "known")
  }

  @Test func `each submission is by itself, and refusals keep their indices`() async throws {
    try await withReplica { server in
      let messages = [
        message("a"), ByteBuffer(bytes: [0xFF, 0xFF]), message("Not Allowed"), message("a"), message("b"),
      ]
      let submissions = SubmissionStream(submit: { try await server.jobs.submit($0) })
      let response = try await submissions.run(stream(of: messages))
      #expect((response.accepted, response.created, response.refused) == (2, 2, 3))
      #expect(response.refusals.map(\.index) == [1, 2, 3])
      #expect(response.refusals.map(\.code) == [3, 3, 6])
      #expect(response.refusals.map(\.jobID) == [nil, "Not Allowed", "a"])
      #expect(response.refusals[1].message.contains("job_id"))
      let key = JobKey(namespace: "default", jobID: "b")
      #expect(try await server.jobs.get(key).key == key)
    }
  }

  @Test func `what an earlier request has made counts as accepted`() async throws {
    let response = try await SubmissionStream(submit: { Self.accepted($0) })
      .run(stream(of: [message("new"), message("known")]))
    #expect((response.accepted, response.created, response.refused) == (2, 1, 0))
  }

  @Test func `no more is read than may be in flight`() async throws {
    let (source, continuation) = AsyncStream.makeStream(of: ByteBuffer.self)
    let total = 3 * ServerLimits.submitStreamInFlight
    for number in 0..<total { continuation.yield(message("j\(number)")) }
    continuation.finish()
    let (gate, opening) = AsyncStream.makeStream(of: Void.self)
    let most = Mutex((now: 0, ever: 0))
    let submission = SubmissionStream { request in
      most.withLock { $0 = ($0.now + 1, max($0.ever, $0.now + 1)) }
      for await _ in gate { break }
      most.withLock { $0.now -= 1 }
      return Self.accepted(request)
    }
    let running = Task { try await submission.run(source) }
    try await eventually("the window is full") {
      most.withLock { $0.now } == ServerLimits.submitStreamInFlight
    }
    opening.finish()
    #expect(try await running.value.accepted == total)
    #expect(most.withLock { $0.ever } == ServerLimits.submitStreamInFlight)
  }

  @Test func `large submissions go by their bytes`() async throws {
    let large = message("large", script: String(repeating: "x", count: ServerLimits.submitStreamBytes / 2))
    let most = Mutex((now: 0, ever: 0))
    let submission = SubmissionStream { request in
      most.withLock { $0 = ($0.now + 1, max($0.ever, $0.now + 1)) }
      for _ in 0..<100 { await Task.yield() }
      most.withLock { $0.now -= 1 }
      return Self.accepted(request)
    }
    let response = try await submission.run(stream(of: Array(repeating: large, count: 6)))
    #expect(response.accepted == 6)
    #expect(most.withLock { $0.ever } == 1)
  }

  @Test func `the first thousand refusals are told, in order`() async throws {
    let total = 2_600
    let submission = SubmissionStream { request in
      // The ends come in another order than the beginnings.
      for _ in 0..<(request.jobID?.hashValue.magnitude ?? 0) % 7 { await Task.yield() }
      throw ServiceError.invalid("spec", "never")
    }
    let response = try await submission.run(stream(of: (0..<total).map { message("j\($0)") }))
    #expect(response.refused == total)
    #expect(response.refusals.map(\.index) == Array(0..<SubmitStreamResponse.refusalsKept))
  }

  @Test func `a failure of the cluster ends the call and names the request`() async throws {
    let submission = SubmissionStream { request in
      if request.jobID == "second" { throw ServiceError.unavailable("etcd is away") }
      return Self.accepted(request)
    }
    let error = await #expect(throws: RPCError.self) {
      try await submission.run(stream(of: [message("first"), message("second")]))
    }
    #expect(error?.code == .unavailable)
    #expect(error?.message == "request 1 of the stream: etcd is away")
  }

  @Test func `while this server has too much to write, a submission waits`() async throws {
    let tries = Mutex(0)
    let submission = SubmissionStream { request in
      let number = tries.withLock { count in
        count += 1
        return count
      }
      if number < 3 { throw ServiceError.overloaded("too many changes wait") }
      return Self.accepted(request)
    }
    let response = try await submission.run(stream(of: [message("held-back")]))
    #expect(response.accepted == 1)
    #expect(tries.withLock { $0 } == 3)
  }
}
