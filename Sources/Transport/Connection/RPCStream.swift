import NIOCore

/// What a connection keeps of one call. Confined to the connection's event loop.
class RPCStream {
  let id: Int32
  let call: Call
  var reader: LengthPrefixedReader
  /// The outbound body, once headers were sent.
  var body: OutboundBody?
  /// Received bytes that the stream's window was not given back for.
  var uncredited = 0
  /// The part of the incomplete message's bytes that the window was given back for.
  var creditedPartialBytes = 0

  /// Whether the peer takes what is sent.
  var sendProgress = SendProgress()

  init(id: Int32, call: Call, reader: LengthPrefixedReader) {
    self.id = id
    self.call = call
    self.reader = reader
  }
}
