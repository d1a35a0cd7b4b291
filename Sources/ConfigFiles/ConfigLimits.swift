/// The bounds of what configuration files may say.
public enum ConfigLimits {
  /// The longest file, bytes.
  public static let fileBytes = 8 << 20
  /// The most files of one command.
  public static let files = 1_000
  /// Folders inside each other.
  public static let folderDepth = 16
  /// The most documents of one command, in all files together.
  public static let documents = 10_000
  /// The most values of one file, once its aliases have been followed: a few lines of YAML can stand for billions.
  public static let values = 500_000
  /// The most errors that are shown.
  public static let shownErrors = 20
}
