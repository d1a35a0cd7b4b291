"""HTTP/2 frames in good order, all of which the server has to accept."""
from __future__ import annotations

import wire
from case_table import Case, Cases
from raw_server import Server
from peer import Answer, Peer
from wire import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HAS_PRIORITY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    frame,
)

case = Cases()


@case("generic 1/1", "a connection that begins as it should is served")
def _(peer: Peer) -> None:
    peer.expect_serving()


@case("generic 2/1", "PRIORITY on an idle stream is accepted")
def _(peer: Peer) -> None:
    peer.send(wire.priority(1))
    peer.expect_serving()


def stalled(peer: Peer) -> int:
    """A stream that this side has ended, while the server waits for window to answer on it."""
    stream = peer.start()
    peer.end(stream)
    answer = peer.answers.setdefault(stream, Answer())
    peer.until(lambda: answer.headers, "the response began")
    return stream


@case("generic 2/2", "WINDOW_UPDATE on a half-closed (remote) stream is accepted", (INITIAL_WINDOW_SIZE, 0))
def _(peer: Peer) -> None:
    stream = stalled(peer)
    peer.send(wire.window_update(stream, 100))
    assert peer.answer(stream).grpc_status == 0


@case("generic 2/3", "PRIORITY on a half-closed (remote) stream is accepted", (INITIAL_WINDOW_SIZE, 0))
def _(peer: Peer) -> None:
    stream = stalled(peer)
    peer.send(wire.priority(stream), wire.window_update(stream, 100))
    assert peer.answer(stream).grpc_status == 0


@case("generic 2/4", "RST_STREAM on a half-closed (remote) stream is accepted", (INITIAL_WINDOW_SIZE, 0))
def _(peer: Peer) -> None:
    stream = stalled(peer)
    peer.send(wire.rst_stream(stream), wire.settings((INITIAL_WINDOW_SIZE, 65_535)))
    peer.expect_serving()


@case("generic 2/5", "PRIORITY, WINDOW_UPDATE and RST_STREAM on a closed stream are accepted")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0
    peer.send(wire.priority(stream), wire.window_update(stream, 10), wire.rst_stream(stream))
    peer.fence()
    peer.expect_serving()


@case("generic 3.1/1", "one DATA frame")
def _(peer: Peer) -> None:
    assert peer.call("UnaryCall", body=wire.message(wire.simple_request(1, 100))).grpc_status == 0


@case("generic 3.1/2", "several DATA frames")
def _(peer: Peer) -> None:
    stream = peer.start("UnaryCall")
    body = wire.message(wire.simple_request(1, 100))
    peer.send(frame(DATA, 0, stream, body[:50]), frame(DATA, 0, stream), frame(DATA, END_STREAM, stream, body[50:]))
    assert peer.answer(stream).grpc_status == 0


@case("generic 3.1/3", "DATA with padding")
def _(peer: Peer) -> None:
    stream = peer.start("UnaryCall")
    body = wire.message(wire.simple_request(1, 100))
    for part in (body[:50], body[50:]):
        peer.send(frame(DATA, PADDED, stream, b"\xff" + part + bytes(255)))
    peer.send(frame(DATA, PADDED | END_STREAM, stream, b"\x00"))
    assert peer.answer(stream).grpc_status == 0


@case("generic 3.2/1", "HEADERS with padding")
def _(peer: Peer) -> None:
    stream = peer.new_stream()
    peer.send(frame(HEADERS, END_HEADERS | PADDED, stream, b"\x08" + peer.block() + bytes(8)))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("generic 3.2/2", "HEADERS with a priority")
def _(peer: Peer) -> None:
    stream = peer.new_stream()
    peer.send(frame(HEADERS, END_HEADERS | HAS_PRIORITY, stream, wire.dependency(0, 256, True) + peer.block()))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("generic 3.2/3", "HEADERS with padding and a priority")
def _(peer: Peer) -> None:
    stream = peer.new_stream()
    payload = b"\x03" + wire.dependency(0) + peer.block() + bytes(3)
    peer.send(frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, stream, payload))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("generic 3.3/1", "PRIORITY with the weights 1 and 256")
def _(peer: Peer) -> None:
    peer.send(wire.priority(1, weight=1), wire.priority(1, weight=256))
    peer.expect_serving()


@case("generic 3.3/2", "PRIORITY that depends on another stream, exclusively or not")
def _(peer: Peer) -> None:
    peer.send(wire.priority(3, on=1), wire.priority(5, on=1, exclusive=True))
    peer.expect_serving()


@case("generic 3.3/3", "PRIORITY for an idle stream, then HEADERS of a lower stream")
def _(peer: Peer) -> None:
    peer.send(wire.priority(7))
    peer.expect_serving()


@case("generic 3.4/1", "RST_STREAM on an open stream")
def _(peer: Peer) -> None:
    peer.send(wire.rst_stream(peer.start("FullDuplexCall")))
    peer.expect_serving()


@case("generic 3.5/1", "SETTINGS with every defined setting")
def _(peer: Peer) -> None:
    peer.send(wire.settings((1, 4_096), (2, 0), (3, 100), (4, 65_535), (5, 1 << 14), (6, 16_384)))
    peer.expect_serving()


@case("generic 3.9/1", "WINDOW_UPDATE of the connection")
def _(peer: Peer) -> None:
    peer.send(wire.window_update(0, 100_000))
    peer.expect_serving()


@case("generic 3.9/2", "WINDOW_UPDATE of a stream")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.window_update(stream, 100_000))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("generic 3.10/1", "CONTINUATION")
def _(peer: Peer) -> None:
    stream, block = peer.new_stream(), peer.block()
    peer.send(frame(HEADERS, 0, stream, block[:1]), frame(CONTINUATION, END_HEADERS, stream, block[1:]))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("generic 4/1", "a GET request is answered")
def _(peer: Peer) -> None:
    stream = peer.start(changed={":method": "GET"}, flags=END_STREAM)
    assert peer.answer(stream).headers[":status"] == "405"


@case("generic 4/2", "a HEAD request is answered without a body")
def _(peer: Peer) -> None:
    stream = peer.start(changed={":method": "HEAD"}, flags=END_STREAM)
    answer = peer.answer(stream)
    assert answer.headers[":status"] == "405" and answer.data == b"", answer


@case("generic 4/3", "a POST request with trailers is served")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(DATA, 0, stream, wire.message()))
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.encoder.encode([("x-trailer", "1")])))
    assert peer.answer(stream).grpc_status == 0


@case.each()
def test_http2(case: Case, server: Server) -> None:
    case.run(server)
