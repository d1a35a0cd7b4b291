import ArgumentParser
import SchedulerCore

/// A length of time, as `30m` or `1h30m`.
struct DurationArgument: ExpressibleByArgument, CustomStringConvertible {
  let millis: Int64

  init(millis: Int64) { self.millis = millis }

  init?(argument: String) {
    guard let millis = try? DurationText.parse(argument) else { return nil }
    self.millis = millis
  }

  var description: String { DurationText.format(milliseconds: millis) }
  var defaultValueDescription: String { description }
}

/// A number of bytes, as `512MiB`.
struct BytesArgument: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int64

  init(bytes: Int64) { self.bytes = bytes }

  init?(argument: String) {
    guard let bytes = try? ByteText.parse(argument) else { return nil }
    self.bytes = bytes
  }

  var description: String { ByteText.format(bytes) }
  var defaultValueDescription: String { description }
}

/// A rate, as `1000/1m`, or `off`.
struct RateArgument: ExpressibleByArgument, CustomStringConvertible {
  /// Nil for no bound.
  let rate: SubmitRate?

  init(rate: SubmitRate?) { self.rate = rate }

  init?(argument: String) {
    if argument == "off" {
      rate = nil
    } else if let rate = try? SubmitRate(parsing: argument) {
      self.rate = rate
    } else {
      return nil
    }
  }

  var description: String { rate?.description ?? "off" }
  var defaultValueDescription: String { description }
}

/// A listening or remote address, as `127.0.0.1:7070` or `[::1]:7070`.
struct AddressArgument: ExpressibleByArgument, CustomStringConvertible, Hashable {
  let hostPort: HostPort
  var host: String { hostPort.host }
  var port: Int { hostPort.port }

  init(host: String, port: Int) { hostPort = HostPort(host: host, port: port) }

  init?(argument: String) {
    guard let hostPort = HostPort(argument) else { return nil }
    self.hostPort = hostPort
  }

  var description: String { hostPort.description }
  var defaultValueDescription: String { description }
}

/// Several addresses with commas between them, all of them with `https://` before them or none.
struct AddressList: ExpressibleByArgument, CustomStringConvertible {
  let addresses: [AddressArgument]
  /// Whether they begin with `https://`.
  let isSecure: Bool

  private static let secureScheme = "https://"

  init(_ addresses: [AddressArgument]) {
    self.addresses = addresses
    isSecure = false
  }

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    let isSecure = parts.allSatisfy { $0.hasPrefix(Self.secureScheme) }
    let addresses = parts.compactMap {
      AddressArgument(argument: String(isSecure ? $0.dropFirst(Self.secureScheme.count) : $0))
    }
    guard !addresses.isEmpty, addresses.count == parts.count else { return nil }
    self.addresses = addresses
    self.isSecure = isSecure
  }

  var description: String {
    addresses.map { (isSecure ? Self.secureScheme : "") + $0.description }.joined(separator: ",")
  }
  var defaultValueDescription: String { description }
}

/// `NAME=VALUE`.
struct PairArgument: ExpressibleByArgument {
  let name: String
  let value: String

  init?(argument: String) {
    guard let equals = argument.firstIndex(of: "="), equals != argument.startIndex else { return nil }
    name = String(argument[..<equals])
    value = String(argument[argument.index(after: equals)...])
  }
}

extension [PairArgument] {
  /// As a dictionary; the last of equal names counts.
  var dictionary: [String: String] {
    Dictionary(map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
  }
}

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
  /// Aligned columns.
  case table
  /// One JSON document, with the field names of REST.
  case json
}

/// The states that a user may filter by.
enum StatusArgument: String, ExpressibleByArgument, CaseIterable {
  case pending, running, completed, failed, cancelled

  var status: JobStatus {
    switch self {
    case .pending: .pending
    case .running: .running
    case .completed: .completed
    case .failed: .failed
    case .cancelled: .cancelled
    }
  }
}
