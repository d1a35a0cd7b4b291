/// How lists are cut into pages.
public enum Paging {
  /// The size of a page where none is asked for.
  public static let defaultSize = 100
  /// The largest page.
  public static let maximumSize = 1_000

  /// The size of the page for a request that asks for `requested`, where 0 means the default; nil where
  /// the request is out of bounds.
  public static func size(_ requested: Int) -> Int? {
    if requested == 0 { return defaultSize }
    return (1...maximumSize).contains(requested) ? requested : nil
  }
}
