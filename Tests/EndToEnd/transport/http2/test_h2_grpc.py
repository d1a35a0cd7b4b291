"""gRPC over HTTP/2: requests that break gRPC's rules, and odd ones that do not."""
from __future__ import annotations

import gzip
import urllib.parse

import wire
from case_table import Case, Cases
from raw_server import Server
from peer import Answer, Peer
from wire import CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, frame, message

case = Cases()

# Status codes of gRPC.
OK, CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 1, 2, 4, 8, 12, 13
MIB = 1 << 20
# How much a server may grow by messages that it refuses because of their announced size.
REFUSED_GROWTH = 8 * MIB


def expect_status(peer: Peer, code: int, answer: Answer) -> None:
    """A status, in good order: HTTP 200, gRPC's content type. The connection goes on."""
    assert answer.headers.get(":status") == "200", answer
    assert answer.headers.get("content-type", "").startswith("application/grpc"), answer
    assert answer.grpc_status == code, answer
    peer.expect_serving()


# Content type (gRPC over HTTP/2, "Requests")

REFUSED_TYPES = ["text/plain", "application/json", "application/grpc-web", "application/grpcx", "application/grp", ""]
ACCEPTED_TYPES = ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8", "Application/GRPC"]


def content_type_is_415(content_type: str):
    def script(peer: Peer) -> None:
        answer = peer.call(changed={"content-type": content_type})
        assert answer.headers.get(":status") == "415", answer
        peer.expect_serving()

    return script


def content_type_is_served(content_type: str):
    def script(peer: Peer) -> None:
        expect_status(peer, OK, peer.call(changed={"content-type": content_type}))

    return script


for _type in REFUSED_TYPES:
    case("content-type", f"'{_type}' is HTTP 415")(content_type_is_415(_type))
for _type in ACCEPTED_TYPES:
    case("content-type", f"'{_type}' is served")(content_type_is_served(_type))


@case("content-type", "none is HTTP 415")
def _(peer: Peer) -> None:
    answer = peer.call(without=("content-type",))
    assert answer.headers.get(":status") == "415", answer
    peer.expect_serving()


# Method, path, te


@case("method", "GET is HTTP 405")
def _(peer: Peer) -> None:
    assert peer.call(changed={":method": "GET"}).headers.get(":status") == "405"
    peer.expect_serving()


@case("path", "an unknown method is UNIMPLEMENTED")
def _(peer: Peer) -> None:
    expect_status(peer, UNIMPLEMENTED, peer.call("NoSuchMethod"))


@case("path", "an unknown service is UNIMPLEMENTED")
def _(peer: Peer) -> None:
    expect_status(peer, UNIMPLEMENTED, peer.call(changed={":path": "/no.such.Service/Method"}))


@case("path", "a path without a service is UNIMPLEMENTED")
def _(peer: Peer) -> None:
    expect_status(peer, UNIMPLEMENTED, peer.call(changed={":path": "/"}))


@case("te", "a request without te is served: it only tells that proxies understand trailers")
def _(peer: Peer) -> None:
    expect_status(peer, OK, peer.call(without=("te",)))


# Timeout

BAD_TIMEOUTS = ["soon", "", "S", "5", "-1S", "1.5S", "123456789S", "5 S", "5s", "0x1S", "+5S"]
GOOD_TIMEOUTS = ["99999999H", "99999999M", "99999999S", "10000000u", "60000m"]


def bad_timeout(text: str):
    return lambda peer: expect_status(peer, INTERNAL, peer.call(extra=[("grpc-timeout", text)]))


def good_timeout(text: str):
    return lambda peer: expect_status(peer, OK, peer.call(extra=[("grpc-timeout", text)]))


for _text in BAD_TIMEOUTS:
    case("grpc-timeout", f"'{_text}' is malformed: INTERNAL")(bad_timeout(_text))
for _text in GOOD_TIMEOUTS:
    case("grpc-timeout", f"'{_text}' is served")(good_timeout(_text))


@case("grpc-timeout", "a deadline that passes is DEADLINE_EXCEEDED")
def _(peer: Peer) -> None:
    stream = peer.start("FullDuplexCall", extra=[("grpc-timeout", "50m")])
    expect_status(peer, DEADLINE_EXCEEDED, peer.answer(stream))


# Compression (grpc/doc/compression.md)


@case("compression", "a compressed message without grpc-encoding is INTERNAL")
def _(peer: Peer) -> None:
    body = message(gzip.compress(wire.simple_request(1)), flag=1)
    expect_status(peer, INTERNAL, peer.call("UnaryCall", body=body))


@case("compression", "a compressed message with grpc-encoding identity is INTERNAL")
def _(peer: Peer) -> None:
    body = message(gzip.compress(wire.simple_request(1)), flag=1)
    expect_status(peer, INTERNAL, peer.call("UnaryCall", body=body, extra=[("grpc-encoding", "identity")]))


@case("compression", "an unknown grpc-encoding is UNIMPLEMENTED and names what is accepted")
def _(peer: Peer) -> None:
    answer = peer.call(extra=[("grpc-encoding", "snappy")])
    assert "gzip" in answer.fields.get("grpc-accept-encoding", ""), answer
    expect_status(peer, UNIMPLEMENTED, answer)


@case("compression", "a compression flag of neither 0 nor 1 is INTERNAL")
def _(peer: Peer) -> None:
    expect_status(peer, INTERNAL, peer.call(body=message(b"", flag=2), extra=[("grpc-encoding", "gzip")]))


@case("compression", "a gzip message that is none is INTERNAL")
def _(peer: Peer) -> None:
    body = message(b"this is not gzip", flag=1)
    expect_status(peer, INTERNAL, peer.call("UnaryCall", body=body, extra=[("grpc-encoding", "gzip")]))


@case("compression", "gzip is served, next to uncompressed messages of the same call")
def _(peer: Peer) -> None:
    plain = wire.input_request(1_000)
    body = message(gzip.compress(plain), flag=1) + message(plain)
    answer = peer.call("StreamingInputCall", body=body, extra=[("grpc-encoding", "gzip")])
    assert answer.data == message(wire.number(1, 2_000)), answer
    expect_status(peer, OK, answer)


# Messages


@case("message", "a request that ends inside a message is INTERNAL")
def _(peer: Peer) -> None:
    body = message(wire.simple_request(1, 100))
    for cut in (1, 4, 5, len(body) - 1):
        expect_status(peer, INTERNAL, peer.call("UnaryCall", body=body[:cut]))


@case("message", "two messages on a unary call are UNIMPLEMENTED")
def _(peer: Peer) -> None:
    expect_status(peer, UNIMPLEMENTED, peer.call(body=message() + message()))


@case("message", "no message on a unary call is UNIMPLEMENTED")
def _(peer: Peer) -> None:
    expect_status(peer, UNIMPLEMENTED, peer.call(body=b""))
    stream = peer.start(flags=END_STREAM)
    expect_status(peer, UNIMPLEMENTED, peer.answer(stream))


@case("message", "a message split at every octet is served")
def _(peer: Peer) -> None:
    body = message(wire.simple_request(7, 20))
    stream = peer.start("UnaryCall")
    for index in range(len(body)):
        peer.send(frame(DATA, 0, stream, body[index : index + 1]))
    peer.send(frame(DATA, END_STREAM, stream))
    answer = peer.answer(stream)
    assert wire.payload(7) in answer.data, answer
    expect_status(peer, OK, answer)


@case("message", "a message split in two at every place is served")
def _(peer: Peer) -> None:
    body = message(wire.input_request(20)) * 2
    for cut in range(1, len(body)):
        stream = peer.start("StreamingInputCall")
        peer.send(frame(DATA, 0, stream, body[:cut]))
        peer.end(stream, body[cut:])
        assert peer.answer(stream).data == message(wire.number(1, 40)), (cut, peer.answer(stream))


@case("message", "many messages in one DATA frame are served")
def _(peer: Peer) -> None:
    one = message(wire.input_request(3))
    count = (1 << 14) // len(one)
    assert peer.call("StreamingInputCall", body=one * count).data == message(wire.number(1, 3 * count))


# Metadata


@case("grpc-message", "a status message is percent-encoded on the wire")
def _(peer: Peer) -> None:
    text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608 100%\t\n"
    answer = peer.call("UnaryCall", body=message(wire.simple_request(status=(2, text))))
    sent = answer.fields["grpc-message"]
    assert sent.isascii() and sent.isprintable(), sent
    assert urllib.parse.unquote(sent, errors="strict") == text, sent
    expect_status(peer, UNKNOWN, answer)


@case("grpc-message", "a percent sign that encodes nothing in the request's metadata does no harm")
def _(peer: Peer) -> None:
    extra = [("grpc-message", "100% %zz %"), ("x-grpc-test-echo-initial", "100% %zz %")]
    answer = peer.call(extra=extra)
    assert answer.headers["x-grpc-test-echo-initial"] == "100% %zz %", answer
    expect_status(peer, OK, answer)


ECHO = "x-grpc-test-echo-trailing-bin"


@case("metadata", "-bin values are taken with and without padding, and sent without")
def _(peer: Peer) -> None:
    for text in ("q6ur", "AP8=", "AP8", "/w==", "/w", ""):
        answer = peer.call(extra=[(ECHO, text)])
        assert answer.trailers[ECHO] == text.rstrip("="), answer
    peer.expect_serving()


@case("metadata", "a -bin value that is not base64 does no harm")
def _(peer: Peer) -> None:
    expect_status(peer, OK, peer.call(extra=[(ECHO, "!not base64!")]))


@case("metadata", "more header fields than the limit are RESOURCE_EXHAUSTED")
def _(peer: Peer) -> None:
    extra = [(f"x-{number}", "y" * 200) for number in range(75)]
    expect_status(peer, RESOURCE_EXHAUSTED, peer.call(extra=extra))


# How a call ends


@case("end", "RST_STREAM right after the headers is a cancellation, and costs nobody else anything")
def _(peer: Peer) -> None:
    for _ in range(50):
        stream = peer.start("FullDuplexCall")
        peer.send(wire.rst_stream(stream, CANCEL))
    peer.expect_serving()


@case("end", "trailers from the client end its request")
def _(peer: Peer) -> None:
    stream = peer.start("StreamingInputCall")
    peer.send(frame(DATA, 0, stream, message(wire.input_request(5))))
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.encoder.encode([("x-checksum", "1")])))
    answer = peer.answer(stream)
    assert answer.data == message(wire.number(1, 5)), answer
    expect_status(peer, OK, answer)


@case("end", "a call that the server ends early is stopped by RST_STREAM with NO_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start("NoSuchMethod")
    answer = peer.answer(stream)
    peer.until(lambda: answer.reset is not None, "the server stopped the request")
    assert answer.reset == NO_ERROR, answer
    expect_status(peer, UNIMPLEMENTED, answer)


@case.each()
def test_grpc(case: Case, server: Server) -> None:
    case.run(server)


def test_oversize_is_refused_without_allocating(server: Server) -> None:
    """[message: one that announces more than the limit is RESOURCE_EXHAUSTED, and nothing is reserved for it]"""
    with server.connect() as peer:
        peer.expect_serving()
        before = server.rss
        for size in (4 * MIB + 1, 1 << 30, 2**32 - 1):
            for _ in range(20):
                stream = peer.start("UnaryCall")
                peer.send(frame(DATA, 0, stream, b"\x00" + size.to_bytes(4, "big")))
                expect_status(peer, RESOURCE_EXHAUSTED, peer.answer(stream))
        growth = server.rss - before
        print(f"60 oversize messages: the server grew by {growth / MIB:.1f} MiB")
        assert growth < REFUSED_GROWTH, f"the server grew by {growth} bytes"


def test_gzip_bomb_is_refused_without_allocating(server: Server) -> None:
    """[message: one that inflates to more than the limit is RESOURCE_EXHAUSTED, and is not inflated]"""
    bomb = message(gzip.compress(bytes(256 * MIB), 9), flag=1)
    with server.connect() as peer:
        peer.expect_serving()
        before = server.rss
        stream = peer.start("UnaryCall", extra=[("grpc-encoding", "gzip")])
        parts = [bomb[at : at + (1 << 14)] for at in range(0, len(bomb), 1 << 14)]
        for part in parts[:-1]:
            peer.send(frame(DATA, 0, stream, part))
        peer.end(stream, parts[-1])
        expect_status(peer, RESOURCE_EXHAUSTED, peer.answer(stream))
        growth = server.rss - before
        print(f"a bomb of 256 MiB: the server grew by {growth / MIB:.1f} MiB")
        assert growth < 32 * MIB, f"the server grew by {growth} bytes"
