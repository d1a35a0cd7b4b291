/// What a set of samples looks like.
struct Percentiles {
  private let sorted: [Double]

  init(_ samples: [Double]) { sorted = samples.sorted() }

  var p50: Double { share(0.5) }
  var p99: Double { share(0.99) }
  var maximum: Double { sorted.last ?? 0 }

  private func share(_ share: Double) -> Double {
    sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
  }

  /// The figures of a row.
  func figures(_ name: String) -> [(name: String, value: Double)] {
    [("\(name)_p50_ms", p50), ("\(name)_p99_ms", p99), ("\(name)_max_ms", maximum)]
  }
}
