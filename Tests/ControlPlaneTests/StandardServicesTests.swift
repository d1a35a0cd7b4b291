import Proto
import SchedulerCore
import Testing
import Transport

@testable import ControlPlane

@Suite("Standard services")
struct StandardServicesTests {
  // MARK: Health

  @Test("A watch shows what is, then what changes, and ends with the board", .timeLimit(.minutes(1)))
  func watch() async throws {
    let board = HealthBoard(services: ["a", "b"])
    var news = try #require(board.watch("a")).makeAsyncIterator()
    #expect(await news.next() == .notServing)
    #expect(Set(board.set { _ in .serving }) == ["", "a", "b"])
    #expect(await news.next() == .serving)
    #expect(board.set { $0 == "b" ? .notServing : .serving } == ["b"])
    #expect(board.set { _ in .serving } == ["b"])
    // Nothing has changed for "a" meanwhile: the next thing it hears is the end.
    board.close()
    #expect(await news.next() == .notServing)
    #expect(await news.next() == nil)
    #expect(board.set { _ in .serving }.isEmpty, "a closed board stays as it is")
    #expect(board.status(of: "") == .notServing)
    var late = try #require(board.watch("a")).makeAsyncIterator()
    #expect(await late.next() == .notServing)
    #expect(await late.next() == nil)
  }

  @Test("Watches are bounded; those that end make room")
  func bounded() {
    let board = HealthBoard(services: [])
    var watches = (0..<ServerLimits.healthWatchers).map { _ in board.watch("x") }
    #expect(watches.allSatisfy { $0 != nil })
    #expect(board.watch("x") == nil)
    watches.removeLast()
    #expect(board.watch("x") != nil)
  }

  // MARK: Reflection

  @Test("What a caller has got before is not sent again, unless it is asked for")
  func sent() {
    let service = ReflectionService(services: ["rota.v1.Jobs"])
    var sent: Set<String> = []
    func count(_ name: String) -> Int? {
      guard case .files(let files) = service.answer(to: .file(named: name), &sent) else { return nil }
      return files.count
    }
    #expect(count("rota/v1/jobs.proto") == 4)
    #expect(count("rota/v1/jobs.proto") == 1)
    #expect(count("rota/v1/agents.proto") == 1, "it needs only what is there already")
    #expect(count("rota/v1/nothing.proto") == nil)
  }

  // MARK: Errors

  private func details(of error: any Error) throws -> StatusDetails {
    try StatusDetails(
      wire: try #require(rpcError(for: error).metadata.firstBinary("grpc-status-details-bin")))
  }

  @Test("Details name the field, or say when to come back")
  func errorDetails() throws {
    #expect(
      try details(of: FieldError(field: "a.b", message: "no"))
        == StatusDetails(code: 3, message: "a.b: no", violations: [.init(field: "a.b", description: "no")]))
    for error in [ServiceError.unavailable("x"), .overloaded("x")] {
      #expect(try details(of: error).retryMillis == 1_000)
    }
    #expect(try details(of: ServiceError(kind: .noSpace, message: "x")).retryMillis == 10_000)
    var busy = ServiceError.overloaded("x")
    busy.retryMillis = 2_500
    #expect(try details(of: busy).retryMillis == 2_500)
    for error in [ServiceError.notFound("x"), ServiceError(kind: .internalError, message: "x")] {
      #expect(rpcError(for: error).metadata.isEmpty, "waiting would not help")
    }
  }

  @Test("A status stays small enough for any client")
  func errorSize() throws {
    let long = String(repeating: "語", count: 100_000)
    let error = rpcError(for: ServiceError.invalid(long, long))
    let bytes = try #require(error.metadata.firstBinary("grpc-status-details-bin"))
    #expect(bytes.count * 4 / 3 + error.message.utf8.count * 3 < 8_000)
  }

  @Test(
    "A submission's errors name the field of the message",
    arguments: [
      ("job_id", "job_id"), ("namespace", "namespace"), ("idempotency_key", "idempotency_key"),
      ("exec", "spec.exec.argv"), ("exec[2]", "spec.exec.argv[2]"), ("shell.script", "spec.shell.script"),
      ("backoff[1]", "spec.backoff.list[1]"), ("backoff.jitter", "spec.backoff.jitter"),
      ("constraints[0].values[1]", "spec.constraints[0].values[1]"), ("env.A", "spec.env.A"),
      ("body", "spec"), ("schedules[1].cron", "spec.schedules[1].cron"), ("delay", "delay"),
      ("frequency", "frequency"), ("params.a", "spec.params.a"), ("if_match", "if_match"),
    ])
  func paths(field: String, path: String) {
    #expect(ServiceError.invalid(field, "no").ofSpecMessage.field == path)
  }
}
