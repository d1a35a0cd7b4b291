import Foundation
import JSON

/// One row of the result.
struct Row {
  var name: String
  /// The figures, in the order in which they are shown.
  var figures: [(name: String, value: Double)]
  /// What each process used during the measurement.
  var usage: [(process: String, usage: Usage)] = []
  /// The target, where there is one.
  var target: String?
}

/// The result: a table for people and JSON for programs.
struct Report {
  var rows: [Row] = []

  func printTable() {
    for row in rows {
      print(row.name + (row.target.map { "   (target: \($0))" } ?? ""))
      for figure in row.figures { print("    \(pad(figure.name, 34))\(format(figure.value))") }
      for (process, usage) in row.usage {
        print(
          "    \(pad(process, 34))\(format(usage.cpuSeconds)) s CPU, \(format(usage.peakRSSMiB)) MiB peak RSS"
        )
      }
    }
  }

  func json(commit: String) -> [UInt8] {
    var json = JSONWriter()
    json.object { json in
      json.member("commit", commit)
      json.member("cores", ProcessInfo.processInfo.activeProcessorCount)
      json.key("rows")
      json.array { json in for row in rows { write(row, to: &json) } }
    }
    return json.bytes + [0x0A]
  }

  private func write(_ row: Row, to json: inout JSONWriter) {
    json.object { json in
      json.member("name", row.name)
      if let target = row.target { json.member("target", target) }
      for figure in row.figures { json.member(figure.name, rounded(figure.value)) }
      json.key("processes")
      json.object { json in
        for (process, usage) in row.usage {
          json.key(process)
          json.object { json in
            json.member("cpu_seconds", rounded(usage.cpuSeconds))
            json.member("peak_rss_mib", rounded(usage.peakRSSMiB))
          }
        }
      }
    }
  }

  private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
  private func format(_ value: Double) -> String { String(format: value >= 100 ? "%.0f" : "%.2f", value) }
  private func pad(_ text: String, _ width: Int) -> String {
    text.padding(toLength: max(width, text.count), withPad: " ", startingAt: 0)
  }
}
