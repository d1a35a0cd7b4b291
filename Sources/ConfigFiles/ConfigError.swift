/// A place in a configuration file.
public struct ConfigPlace: Hashable, Sendable, CustomStringConvertible {
  /// The file, as the user named it.
  public var file: String
  /// From 1; 0 for the file as a whole.
  public var line: Int
  /// In characters, from 1.
  public var column: Int

  /// Makes a place.
  public init(file: String, line: Int = 0, column: Int = 0) {
    self.file = file
    self.line = line
    self.column = column
  }

  /// `jobs.yaml:12:3`, as compilers say it.
  public var description: String { line == 0 ? file : "\(file):\(line):\(column)" }
}

/// What is wrong with a configuration file, and where.
public struct ConfigError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Where.
  public var place: ConfigPlace
  /// What is wrong, what was expected.
  public var message: String

  /// Makes an error.
  public init(_ place: ConfigPlace, _ message: String) {
    self.place = place
    self.message = message
  }

  /// `place: message`.
  public var description: String { "\(place): \(message)" }
}
