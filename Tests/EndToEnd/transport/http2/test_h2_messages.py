"""HTTP/2 section 8: requests that are malformed, and server push."""
from __future__ import annotations

import wire
from case_table import Case, Cases
from raw_server import Server
from peer import Peer
from wire import DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, PUSH_PROMISE, frame

case = Cases()


def expect_malformed(peer: Peer, fields: list[tuple[str, str]], flags: int = 0) -> None:
    """A request with these fields is a stream error PROTOCOL_ERROR (RFC 9113, 8.1.1)."""
    stream = peer.new_stream()
    peer.send(frame(HEADERS, END_HEADERS | flags, stream, peer.encoder.encode(fields)))
    peer.expect_stream_error(stream, PROTOCOL_ERROR)


# 8.1 Message framing


@case("8.1/1", "a second HEADERS frame without END_STREAM is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(HEADERS, END_HEADERS, stream, peer.encoder.encode([("x-trailer", "1")])))
    peer.expect_stream_error(stream, PROTOCOL_ERROR)


# 8.1.2 Header fields (8.2 in RFC 9113)


@case("8.1.2/1", "a field name in upper case is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(extra=[("X-TEST", "ok")]))


@case("8.1.2/2", "a field value with a line feed is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(extra=[("x-test", "a\nb")]))


@case("8.1.2/3", "a field name with a space is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(extra=[("x test", "ok")]))


@case("8.1.2/4", "a field value with NUL is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(extra=[("x-test", "a\x00b")]))


# 8.1.2.1 Pseudo-header fields (8.3)


@case("8.1.2.1/1", "an unknown pseudo-header field is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, [(":test", "ok")] + peer.request_fields())


@case("8.1.2.1/2", "a pseudo-header field of responses is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, [(":status", "200")] + peer.request_fields())


@case("8.1.2.1/3", "a pseudo-header field in trailers is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    trailers = peer.encoder.encode([(":method", "POST"), ("x-test", "ok")])
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers))
    peer.expect_stream_error(stream, PROTOCOL_ERROR)


@case("8.1.2.1/4", "a pseudo-header field after a regular one is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    fields = peer.request_fields(without=(":path",), extra=[(":path", "/grpc.testing.TestService/EmptyCall")])
    expect_malformed(peer, fields)


# 8.1.2.2 Connection-specific fields (8.2.2)

CONNECTION_FIELDS = {
    "connection": "keep-alive",
    "keep-alive": "timeout=5",
    "proxy-connection": "keep-alive",
    "transfer-encoding": "chunked",
    "upgrade": "h2c",
}


def refuses_connection_field(name: str, value: str):
    def script(peer: Peer) -> None:
        expect_malformed(peer, peer.request_fields(extra=[(name, value)]))

    return script


for _position, (_name, _value) in enumerate(CONNECTION_FIELDS.items()):
    case(f"8.1.2.2/1.{_position + 1}", f"the connection-specific field {_name} is PROTOCOL_ERROR")(
        refuses_connection_field(_name, _value)
    )


@case("8.1.2.2/2", "te other than trailers is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(changed={"te": "trailers, deflate;q=0.5"}))


# 8.1.2.3 Request pseudo-header fields (8.3.1)


@case("8.1.2.3/1", "an empty :path is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(changed={":path": ""}))


@case("8.1.2.3/2", "no :method is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(without=(":method",)))


@case("8.1.2.3/3", "no :scheme is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(without=(":scheme",)))


@case("8.1.2.3/4", "no :path is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(without=(":path",)))


@case("8.1.2.3/5", "two :method are PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, [(":method", "POST")] + peer.request_fields())


@case("8.1.2.3/6", "two :scheme are PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, [(":scheme", "http")] + peer.request_fields())


@case("8.1.2.3/7", "two :path are PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, [(":path", "/")] + peer.request_fields())


# 8.1.2.6 Malformed messages (8.1.1)


@case("8.1.2.6/1", "content-length that differs from the one DATA frame's length is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start(extra=[("content-length", "1")])
    peer.end(stream)
    peer.expect_stream_error(stream, PROTOCOL_ERROR)


@case("8.1.2.6/2", "content-length that differs from the sum of the DATA frames is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start(extra=[("content-length", "6")])
    peer.send(frame(DATA, 0, stream, wire.message()[:3]), frame(DATA, END_STREAM, stream, wire.message()[3:]))
    peer.expect_stream_error(stream, PROTOCOL_ERROR)


@case("8.1.2.6/3", "content-length that is no number is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    expect_malformed(peer, peer.request_fields(extra=[("content-length", "five")]))


@case("8.1.2.6/4", "content-length that fits is accepted")
def _(peer: Peer) -> None:
    assert peer.call(extra=[("content-length", "5")]).grpc_status == 0


# 8.2 Server push (8.4)


@case("8.2/1", "PUSH_PROMISE from a client is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(PUSH_PROMISE, END_HEADERS, 1, b"\x00\x00\x00\x02" + peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case.each()
def test_http2(case: Case, server: Server) -> None:
    case.run(server)
