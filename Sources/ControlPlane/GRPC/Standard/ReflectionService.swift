import NIOCore
import Proto
import Transport

/// gRPC's server reflection: what the services look like, from the descriptors of `proto/`. Versions `v1` and `v1alpha`
/// have the same messages.
struct ReflectionService: Sendable {
  static let names = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]

  /// The full names of the services that are told of.
  let services: [String]
  let descriptors: DescriptorPool

  /// - Parameter services: The full names of the server's other services.
  init(services: [String], descriptors: DescriptorPool = .shared) {
    self.services = (services + Self.names).sorted()
    self.descriptors = descriptors
  }

  var methods: [RPCMethod] {
    Self.names.map { name in
      .bidirectional("/\(name)/ServerReflectionInfo") { requests, _, writer in
        try await answering { try await converse(requests, writer) }
      }
    }
  }

  private func converse(_ requests: MessageStream, _ writer: ResponseWriter) async throws {
    // What the caller has from this stream already; at most all files.
    var sent: Set<String> = []
    while let batch = try await requests.nextBatch() {
      for buffer in batch {
        let request = try decode(ReflectionRequest.self, buffer)
        let response = ReflectionResponse(request: request, answer: answer(to: request.question, &sent))
        try await writer.send(ByteBuffer(bytes: response.wire()))
      }
    }
  }

  /// The answer to a question.
  /// - Parameter sent: The names of the files that the caller has got before. What it asks for is sent again, what
  ///   that needs is not.
  func answer(
    to question: ReflectionRequest.Question?, _ sent: inout Set<String>
  ) -> ReflectionResponse.Answer {
    switch question {
    case .services: .services(services)
    case .file(let name): files(descriptors.file(named: name), &sent)
    case .fileContaining(let symbol): files(descriptors.file(containing: symbol), &sent)
    case .fileContainingExtension: Self.notFound("no message has extensions here: all files are proto3")
    case .extensionNumbers(let type):
      descriptors.hasMessage(type)
        ? .extensionNumbers(of: type, []) : Self.notFound("there is no message of that name here")
    case nil:
      .error(
        code: Int32(StatusCode.invalidArgument.rawValue),
        message: "message_request: no known question is set")
    }
  }

  private func files(
    _ file: DescriptorPool.File?, _ sent: inout Set<String>
  ) -> ReflectionResponse.Answer {
    guard let file else { return Self.notFound("there is no file of that name, or with that symbol, here") }
    let news = descriptors.withDependencies(file).filter { $0.name == file.name || !sent.contains($0.name) }
    sent.formUnion(news.map(\.name))
    return .files(news.map(\.bytes))
  }

  private static func notFound(_ message: String) -> ReflectionResponse.Answer {
    .error(code: Int32(StatusCode.notFound.rawValue), message: message)
  }
}
