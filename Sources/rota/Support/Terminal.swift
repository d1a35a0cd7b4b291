import Glibc

/// Writing to standard output and standard error, unbuffered and whole.
enum Terminal {
  static let errorIsTerminal = isatty(STDERR_FILENO) == 1

  /// Writes a line to standard output.
  static func print(_ line: String) { write(Array((line + "\n").utf8), to: STDOUT_FILENO) }

  /// Writes a line to standard error.
  static func note(_ line: String) { write(Array((line + "\n").utf8), to: STDERR_FILENO) }

  /// Says on standard error what went wrong: one sentence, after the program's name.
  static func complain(_ message: String) { note("rota: " + message) }

  /// Writes all bytes. When nobody reads any more (EPIPE), there is nothing left to do for this command, which
  /// ends as programs do that do not ignore SIGPIPE.
  static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = Glibc.poll(&poll, 1, -1)
      } else if errno != EINTR {
        Glibc.exit(errno == EPIPE ? 128 + SIGPIPE : 1)
      }
    }
  }

  /// A text without what could move the cursor, change colours or spill over lines.
  static func sanitised(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var clean = ""
    for scalar in text.unicodeScalars {
      if isControl(scalar) { clean += "\u{FFFD}" } else { clean.unicodeScalars.append(scalar) }
    }
    return clean
  }

  /// C0, DEL, C1, and the marks that turn the direction of writing.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}

/// Aligned columns.
struct Table {
  private var rows: [[String]]

  /// Makes a table with its heading.
  init(_ heading: [String]) { rows = [heading] }

  /// Adds a row; control characters are taken out.
  mutating func add(_ row: [String]) { rows.append(row.map(Terminal.sanitised)) }

  /// The lines, columns two spaces apart, without spaces at the ends.
  var lines: [String] {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        line += cell
        if column < row.count - 1 {
          line += String(repeating: " ", count: widths[column] - cell.count + 2)
        }
      }
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }

  /// Writes all lines to standard output.
  func print() { Terminal.print(lines.joined(separator: "\n")) }
}
