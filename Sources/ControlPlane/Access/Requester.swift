import Transport

/// Who asks, for the record: what is paused, cancelled or triggered says by whom.
///
/// The name on the caller's certificate, where clients are asked for one; otherwise what the caller says of itself, which
/// nobody checks.
enum Requester {
  /// Where callers say who they are.
  static let header = "rota-user-id"
  /// The longest name, bytes.
  static let nameBytes = 128

  /// Of the call that is being answered.
  @TaskLocal static var current: String?

  /// What a caller says of itself; nil for what is no name.
  static func named(_ name: String?) -> String? {
    guard let name, !name.isEmpty, name.utf8.count <= nameBytes else { return nil }
    return name
  }
}

extension ServerCallContext {
  /// Who asks, for the record.
  var requester: String? { caller == nil ? Requester.named(metadata.first(Requester.header)) : callerName }
}
