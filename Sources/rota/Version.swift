/// The program's version: here and nowhere else.
enum Version {
  static let text = "0.1.0"
}
