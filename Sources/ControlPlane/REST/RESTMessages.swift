import HTTPTypes
import Hummingbird
import JSON
import Logging
import NIOCore
import Proto
import SchedulerCore

extension HTTPField.Name {
  /// draft-ietf-httpapi-idempotency-key-header.
  static var idempotencyKey: Self { Self("Idempotency-Key")! }  // A valid field name.
}

/// The query of a request: every name must be known, and given once.
struct RESTQuery: Sendable {
  private var values: [String: String] = [:]

  init(_ request: Request, allowing names: [String]) throws {
    for (name, value) in request.uri.queryParameters {
      guard names.contains(String(name)) else {
        let known = names.isEmpty ? "this path takes none" : "known here: " + names.joined(separator: ", ")
        throw ServiceError.invalid(String(name.prefix(64)), "is not a parameter of this path; \(known)")
      }
      guard values.updateValue(String(value), forKey: String(name)) == nil else {
        throw ServiceError.invalid(String(name), "is given twice")
      }
    }
  }

  /// A value; nil where it is absent or empty.
  subscript(name: String) -> String? { values[name].flatMap { $0.isEmpty ? nil : $0 } }

  func identifier(_ name: String) throws -> String? {
    guard let value = self[name] else { return nil }
    guard Identifier.isValid(value) else {
      throw ServiceError.invalid(name, "an identifier has \(Identifier.rule)")
    }
    return value
  }

  func word<Word: RawRepresentable & CaseIterable>(_ name: String, _ type: Word.Type) throws -> Word?
  where Word.RawValue == String {
    guard let value = self[name] else { return nil }
    guard let word = Word(rawValue: value) else {
      throw ServiceError.invalid(
        name, "must be one of " + Word.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return word
  }

  /// A whole number from 0; 0 where it is absent.
  func number(_ name: String) throws -> Int {
    guard let value = self[name] else { return 0 }
    guard let number = Int(value), number >= 0 else {
      throw ServiceError.invalid(name, "must be a whole number from 0")
    }
    return number
  }

  func flag(_ name: String) throws -> Bool {
    switch values[name] {
    case nil, "false", "0": return false
    case "true", "1", "": return true
    default: throw ServiceError.invalid(name, "must be true or false")
    }
  }
}

extension Request {
  /// The body, which must say that it is JSON and stay within bounds; it is refused before it is
  /// buffered where its length is announced.
  func jsonBody() async throws -> [UInt8] {
    let type = headers[.contentType]?.split(separator: ";").first.map { $0.lowercased() } ?? ""
    guard type.trimmingSpaces == "application/json" else {
      throw RESTFailure(
        status: .unsupportedMediaType, code: "unsupported_media_type", field: "Content-Type",
        message: "must be application/json")
    }
    let tooLarge = RESTFailure(
      status: .contentTooLarge, code: "too_large", field: "body",
      message: "must be at most \(ServerLimits.bodyBytes) bytes")
    if let length = headers[.contentLength].flatMap({ Int($0) }), length > ServerLimits.bodyBytes {
      throw tooLarge
    }
    do {
      let buffer = try await body.collect(upTo: ServerLimits.bodyBytes)
      return Array(buffer.readableBytesView)
    } catch is NIOTooManyBytesError {
      throw tooLarge
    }
  }
}

extension StringProtocol {
  fileprivate var trimmingSpaces: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }
}

/// A failure that only REST has.
struct RESTFailure: Error {
  var status: HTTPResponse.Status
  var code: String
  var field: String?
  var message: String
  /// When to try again, milliseconds; nil for what is usual for the status.
  var retryMillis: Int64?
}

/// Turns errors into answers: `{"error": {"code", "field", "message"}}`.
struct RESTErrors<Context: RequestContext>: RouterMiddleware {
  let metrics: ServerMetrics
  let logger: Logger

  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    metrics.httpRequests.add(1)
    do {
      return try await next(request, context)
    } catch {
      metrics.httpErrors.add(1)
      return response(for: failure(for: error, request))
    }
  }

  private func failure(for error: any Error, _ request: Request) -> RESTFailure {
    switch error {
    case let error as RESTFailure: return error
    case let error as ServiceError: return error.restFailure
    case let error as FieldError: return ServiceError.invalid(error).restFailure
    case let error as HTTPError where error.status == .notFound:
      return RESTFailure(
        status: .notFound, code: "not_found",
        message: "there is nothing at this path; see the README for the API")
    case let error as HTTPError:
      return RESTFailure(
        status: error.status, code: "http_error", message: error.body ?? error.status.reasonPhrase)
    default:
      logger.error(
        "a request failed unexpectedly",
        metadata: ["method": "\(request.method)", "path": "\(request.uri.path)", "error": "\(error)"])
      return RESTFailure(
        status: .internalServerError, code: "internal",
        message: "an unexpected error; the server's log has its facts")
    }
  }

  private func response(for failure: RESTFailure) -> Response {
    var response = Response.json(failure.status) { json in
      json.object { json in
        json.key("error")
        json.object { json in
          json.member("code", failure.code)
          if let field = failure.field { json.member("field", field) }
          json.member("message", failure.field.map { "\($0): \(failure.message)" } ?? failure.message)
        }
      }
    }
    if let millis = failure.retryMillis {
      // Whole seconds: rounded up, so that there is something by then.
      response.headers[.retryAfter] = "\(max(1, (millis + 999) / 1_000))"
    } else if failure.status == .tooManyRequests || failure.status == .serviceUnavailable {
      response.headers[.retryAfter] = "\(ServerLimits.retryDelay.components.seconds)"
    } else if failure.status.code == 507 {
      response.headers[.retryAfter] = "\(ServerLimits.noSpaceRetryDelay.components.seconds)"
    }
    return response
  }
}

extension ServiceError {
  /// The error as REST shows it.
  var restFailure: RESTFailure {
    let (status, code): (HTTPResponse.Status, String) =
      switch kind {
      case .invalid: (.badRequest, "invalid_argument")
      case .notFound: (.notFound, "not_found")
      case .alreadyExists: (.conflict, "already_exists")
      case .failedPrecondition: (.conflict, "failed_precondition")
      case .stale: (.preconditionFailed, "stale")
      case .aborted: (.conflict, "aborted")
      case .outOfRange: (.gone, "out_of_range")
      case .overloaded, .limited, .overQuota: (.tooManyRequests, "resource_exhausted")
      case .noSpace:
        (HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage"), "resource_exhausted")
      case .unauthenticated: (.unauthorized, "unauthenticated")
      case .permissionDenied: (.forbidden, "permission_denied")
      case .unavailable: (.serviceUnavailable, "unavailable")
      case .internalError: (.internalServerError, "internal")
      }
    return RESTFailure(
      status: status, code: code, field: field, message: message, retryMillis: retryMillis)
  }
}

extension Response {
  /// An answer in JSON.
  static func json(_ status: HTTPResponse.Status, _ write: (inout JSONWriter) -> Void) -> Response {
    var json = JSONWriter()
    write(&json)
    var buffer = ByteBuffer(bytes: json.bytes)
    buffer.writeStaticString("\n")
    return Response(
      status: status, headers: [.contentType: "application/json"], body: .init(byteBuffer: buffer))
  }
}

extension JSONWriter {
  /// Writes a page: an object with the items and, where there are, the next page's token and the revision
  /// that the page shows.
  mutating func list<Item>(
    _ name: String, _ items: [Item], next: String? = nil, revision: Int64? = nil,
    _ write: (Item, inout JSONWriter) -> Void
  ) {
    object { json in
      json.key(name)
      json.array { json in for item in items { write(item, &json) } }
      if let next { json.member("next_page_token", next) }
      if let revision { json.member("revision", revision) }
    }
  }
}
