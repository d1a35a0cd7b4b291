extension Backoff {
  /// What the parts of an exponential backoff are where only `initial` is given.
  public enum ExponentialDefaults {
    /// Each wait is twice the one before.
    public static let multiplier = 2.0
    /// The longest wait: an hour.
    public static let maxMillis: Int64 = 3_600_000
  }

  /// Makes a backoff of the parts that a user gave, as every format has them: a list, or an initial wait
  /// with a multiplier and a maximum, or neither for the standard list. Bounds are checked by
  /// `JobSpec.validate()`.
  public init(
    list: [Int64]?, initialMillis: Int64?, multiplier: Double?, maxMillis: Int64?, jitter: Double?
  ) throws(FieldError) {
    let jitter = jitter ?? Self.defaultJitter
    if let initialMillis {
      guard list == nil else {
        throw FieldError(field: "list", message: "cannot be given together with initial")
      }
      let curve = Curve.exponential(
        initialMillis: initialMillis, multiplier: multiplier ?? ExponentialDefaults.multiplier,
        maxMillis: maxMillis ?? max(initialMillis, ExponentialDefaults.maxMillis))
      self.init(curve: curve, jitter: jitter)
      return
    }
    guard multiplier == nil else { throw FieldError(field: "multiplier", message: "needs initial") }
    guard maxMillis == nil else { throw FieldError(field: "max", message: "needs initial") }
    self.init(curve: list.map { .list($0) } ?? Self.standard.curve, jitter: jitter)
  }
}
