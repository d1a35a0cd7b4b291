import Curl
import Foundation

/// Reads a page over HTTP.
struct MetricsFetcher {
  static let shared = MetricsFetcher()
  private let engine = try? CurlEngine()

  func get(_ url: String) async throws -> String {
    guard let engine else { throw BenchError("libcurl cannot be started") }
    var request = HTTPRequest(method: "GET", url: url)
    request.timeout = .seconds(5)
    return String(decoding: try await engine.perform(request).body, as: UTF8.self)
  }
}
