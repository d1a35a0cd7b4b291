/// The bounds of what is decoded.
public enum ProtoLimits {
  /// The largest message, bytes; the same as gRPC's usual default.
  public static let messageBytes = 4 << 20
  /// How much memory the unpacked C form of one message may take, bytes. A repeated field of empty
  /// messages takes two bytes each on the wire and some hundred unpacked, so this is a bound of its own.
  public static let unpackedBytes = 64 << 20
}
