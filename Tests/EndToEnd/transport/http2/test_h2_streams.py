"""HTTP/2 sections 3 to 5: preface, frame format, header blocks, the life of streams, errors, extensions."""
from __future__ import annotations

import wire
from case_table import Case, Cases
from raw_server import Server
from hyperframe.frame import SettingsFrame
from peer import Answer, Peer
from wire import (
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    HAS_PRIORITY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PING,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    frame,
)

case = Cases()
DEFAULT_FRAME_SIZE = 1 << 14
# With no window the server cannot finish its response: a request that has ended leaves its stream half-closed (remote).
NO_WINDOW = (INITIAL_WINDOW_SIZE, 0)


# 3.5 Connection preface (3.4 in RFC 9113)


@case("3.5/1", "SETTINGS is the first frame that the server sends")
def _(peer: Peer) -> None:
    first = peer.receive()
    assert isinstance(first, SettingsFrame) and "ACK" not in first.flags, first
    peer.expect_serving()


@case("3.5/2", "an invalid preface ends the connection", preface=b"INVALID CONNECTION PREFACE\r\n\r\n")
def _(peer: Peer) -> None:
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("3.5/3", "the preface has to be followed by SETTINGS", preface=wire.PREFACE + wire.ping())
def _(peer: Peer) -> None:
    peer.expect_connection_error(PROTOCOL_ERROR)


# 4.1 Frame format


@case("4.1/1", "a frame of unknown type is ignored")
def _(peer: Peer) -> None:
    peer.send(frame(0xFF, 0, 0, b"unknown"))
    peer.fence()
    peer.expect_serving()


@case("4.1/2", "undefined flags are ignored")
def _(peer: Peer) -> None:
    peer.send(frame(PING, 0xFE, 0, b"flagged!"))
    got = peer.fence()
    assert b"flagged!" in [getattr(one, "opaque_data", None) for one in got], got
    peer.expect_serving()


@case("4.1/3", "the reserved bit of the stream identifier is ignored")
def _(peer: Peer) -> None:
    peer.send(frame(PING, 0, 1 << 31, b"reserved"))
    got = peer.fence()
    assert b"reserved" in [getattr(one, "opaque_data", None) for one in got], got
    peer.expect_serving()


# 4.2 Frame size


@case("4.2/1", "a DATA frame of 2^14 octets is accepted")
def _(peer: Peer) -> None:
    head = len(wire.simple_request(0, 16_000)) + 5 - 16_000
    body = wire.message(wire.simple_request(0, DEFAULT_FRAME_SIZE - head))
    assert len(body) == DEFAULT_FRAME_SIZE
    assert peer.call("UnaryCall", body=body).grpc_status == 0


@case("4.2/2", "a DATA frame larger than SETTINGS_MAX_FRAME_SIZE is FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start("UnaryCall")
    peer.send(frame(DATA, END_STREAM, stream, bytes(DEFAULT_FRAME_SIZE + 1)))
    peer.expect_stream_error(stream, FRAME_SIZE_ERROR)


@case("4.2/3", "a HEADERS frame larger than SETTINGS_MAX_FRAME_SIZE is a connection error FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    block = peer.block(extra=[("x-large", "~" * (DEFAULT_FRAME_SIZE + 1))])
    assert len(block) > DEFAULT_FRAME_SIZE
    peer.send(frame(HEADERS, END_HEADERS, 1, block))
    peer.expect_connection_error(FRAME_SIZE_ERROR)


# 4.3 Header compression


@case("4.3/1", "an invalid header block is a connection error COMPRESSION_ERROR")
def _(peer: Peer) -> None:
    # A literal with a new name that announces 10 octets and has one.
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x0ax"))
    peer.expect_connection_error(COMPRESSION_ERROR)


@case("4.3/2", "PRIORITY inside a header block is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(HEADERS, 0, 1, peer.block()), wire.priority(1))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("4.3/3", "HEADERS of another stream inside a header block are a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(HEADERS, 0, 1, peer.block()), frame(HEADERS, END_HEADERS, 3, peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


# 5.1 Stream states


@case("5.1/1", "idle: DATA is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(DATA, END_STREAM, 1, b"test"))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("5.1/2", "idle: RST_STREAM is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.rst_stream(1))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("5.1/3", "idle: WINDOW_UPDATE is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.window_update(1, 100))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("5.1/4", "idle: CONTINUATION is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(CONTINUATION, END_HEADERS, 1, peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


def half_closed(peer: Peer) -> int:
    """A stream that this side has ended and the server has not."""
    stream = peer.start("UnaryCall")
    peer.end(stream, wire.message(wire.simple_request(10)))
    peer.fence()
    return stream


@case("5.1/5", "half-closed (remote): DATA is STREAM_CLOSED", NO_WINDOW)
def _(peer: Peer) -> None:
    stream = half_closed(peer)
    peer.send(frame(DATA, END_STREAM, stream, b"test"))
    expect_closed(peer, stream)


@case("5.1/6", "half-closed (remote): HEADERS are STREAM_CLOSED", NO_WINDOW)
def _(peer: Peer) -> None:
    stream = half_closed(peer)
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.block()))
    expect_closed(peer, stream)


@case("5.1/7", "half-closed (remote): CONTINUATION is STREAM_CLOSED or PROTOCOL_ERROR", NO_WINDOW)
def _(peer: Peer) -> None:
    stream = half_closed(peer)
    peer.send(frame(CONTINUATION, END_HEADERS, stream, peer.block()))
    peer.expect_connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


def expect_closed(peer: Peer, stream: int) -> None:
    """STREAM_CLOSED for a stream; the connection may end with it, or must serve another call."""
    answer = peer.answers.setdefault(stream, Answer())
    peer.until(lambda: answer.reset is not None or peer.goaway is not None, "the stream was reset")
    if peer.goaway is not None:
        return peer.expect_connection_error(STREAM_CLOSED)
    assert answer.reset == STREAM_CLOSED, answer
    peer.send(wire.settings((INITIAL_WINDOW_SIZE, 65_535)))
    peer.expect_serving()


def reset_by_us(peer: Peer) -> int:
    """A stream that this side has reset."""
    stream = peer.start("FullDuplexCall")
    peer.send(wire.rst_stream(stream, CANCEL))
    peer.fence()
    return stream


def finished(peer: Peer) -> int:
    """A stream that both sides have ended."""
    stream = peer.start()
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0
    return stream


@case("5.1/8", "closed by our RST_STREAM: DATA is STREAM_CLOSED")
def _(peer: Peer) -> None:
    stream = reset_by_us(peer)
    peer.send(frame(DATA, END_STREAM, stream, b"test"))
    peer.expect_stream_error(stream, STREAM_CLOSED)


@case("5.1/9", "closed by our RST_STREAM: HEADERS are STREAM_CLOSED")
def _(peer: Peer) -> None:
    stream = reset_by_us(peer)
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.block()))
    peer.expect_stream_error(stream, STREAM_CLOSED)


@case("5.1/10", "closed by our RST_STREAM: CONTINUATION is STREAM_CLOSED or PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = reset_by_us(peer)
    peer.send(frame(CONTINUATION, END_HEADERS, stream, peer.block()))
    peer.expect_connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("5.1/11", "closed by END_STREAM: DATA is STREAM_CLOSED")
def _(peer: Peer) -> None:
    stream = finished(peer)
    peer.send(frame(DATA, END_STREAM, stream, b"test"))
    peer.expect_stream_error(stream, STREAM_CLOSED)


@case("5.1/12", "closed by END_STREAM: HEADERS are STREAM_CLOSED")
def _(peer: Peer) -> None:
    stream = finished(peer)
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.block()))
    peer.expect_stream_error(stream, STREAM_CLOSED)


@case("5.1/13", "closed by END_STREAM: CONTINUATION is STREAM_CLOSED or PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = finished(peer)
    peer.send(frame(CONTINUATION, END_HEADERS, stream, peer.block()))
    peer.expect_connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("5.1/14", "closed by the server's RST_STREAM: what was on its way is discarded")
def _(peer: Peer) -> None:
    # The server rejects the path before the request has ended, and says NO_ERROR to what follows.
    stream = peer.start("NoSuchMethod")
    answer = peer.answer(stream)
    peer.until(lambda: answer.reset is not None, "the server stopped the request")
    assert answer.grpc_status == 12, answer
    peer.send(frame(DATA, 0, stream, b"on its way"), frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.block()))
    peer.fence()
    assert peer.goaway is None
    peer.expect_serving()


# 5.1.1 Stream identifiers


@case("5.1.1/1", "an even-numbered stream is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 2, peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("5.1.1/2", "a stream number smaller than an earlier one is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(
        frame(HEADERS, END_HEADERS | END_STREAM, 5, peer.block()),
        frame(HEADERS, END_HEADERS | END_STREAM, 3, peer.block()),
    )
    # Stream 3 was closed when 5 was opened (RFC 9113, 5.1.1), so STREAM_CLOSED says it as well.
    peer.expect_connection_error(PROTOCOL_ERROR, STREAM_CLOSED)


# 5.1.2 Stream concurrency


@case("5.1.2/1", "more streams than SETTINGS_MAX_CONCURRENT_STREAMS are refused")
def _(peer: Peer) -> None:
    peer.fence()
    limit = peer.server_settings[MAX_CONCURRENT_STREAMS]
    streams = [peer.start("FullDuplexCall") for _ in range(limit)]
    one_too_many = peer.start("FullDuplexCall")
    answer = peer.answers.setdefault(one_too_many, Answer())
    peer.until(lambda: answer.reset is not None or peer.goaway is not None, "the stream was refused")
    if peer.goaway is not None:
        return peer.expect_connection_error(PROTOCOL_ERROR)
    assert answer.reset in (PROTOCOL_ERROR, REFUSED_STREAM)
    # The others are unharmed, and each that ends makes room for one.
    peer.end(streams[0], b"")
    assert peer.answer(streams[0]).grpc_status == 0
    peer.expect_serving()


# 5.3.1 Stream dependencies. RFC 9113 deprecates them and asks for nothing here: ignoring is in order, and so is what RFC 7540
# asked for, a stream error.


@case("5.3.1/1", "HEADERS that depend on their own stream: PROTOCOL_ERROR, or ignored")
def _(peer: Peer) -> None:
    stream = peer.new_stream()
    block = wire.dependency(stream) + peer.block()
    peer.send(frame(HEADERS, END_HEADERS | HAS_PRIORITY, stream, block))
    expect_refused_or_served(peer, stream)


@case("5.3.1/2", "PRIORITY that depends on its own stream: PROTOCOL_ERROR, or ignored")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.priority(stream, on=stream))
    expect_refused_or_served(peer, stream)


def expect_refused_or_served(peer: Peer, stream: int) -> None:
    peer.end(stream)
    answer = peer.answers.setdefault(stream, Answer())
    peer.until(lambda: answer.ended or answer.reset is not None or peer.goaway is not None, "an outcome")
    if peer.goaway is not None:
        return peer.expect_connection_error(PROTOCOL_ERROR)
    assert answer.grpc_status == 0 or answer.reset == PROTOCOL_ERROR, answer
    peer.expect_serving()


# 5.4.1 Connection errors


@case("5.4.1/1", "after a connection error the server closes the connection")
def _(peer: Peer) -> None:
    peer.send(frame(PING, 0, 0, b"short"))
    peer.expect_close()


@case("5.4.1/2", "a connection error is announced by GOAWAY with the last stream that was processed")
def _(peer: Peer) -> None:
    stream = finished(peer)
    peer.send(frame(PING, 0, 0, b"short"))
    peer.expect_connection_error(FRAME_SIZE_ERROR)
    assert peer.goaway is not None and peer.goaway.last_stream_id == stream, peer.goaway


# 5.5 Extensions


@case("5.5/1", "an unknown extension frame is ignored, on the connection and on a stream")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(0x16, 0, 0, b"extension"), frame(0x16, 0xFF, stream, b"extension"))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("5.5/2", "an unknown extension frame inside a header block is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(HEADERS, END_STREAM, 1, peer.block()), frame(0x16, 0, 0, b"extension"))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("5.5/3", "unknown settings are ignored and acknowledged")
def _(peer: Peer) -> None:
    peer.fence()
    begin = len(peer.frames)
    peer.send(frame(SETTINGS, payload=b"\xff\xff\x00\x00\x00\x01"))
    peer.until(
        lambda: any(isinstance(got, SettingsFrame) and "ACK" in got.flags for got in peer.frames[begin:]),
        "SETTINGS were acknowledged",
    )
    peer.expect_serving()


@case.each()
def test_http2(case: Case, server: Server) -> None:
    case.run(server)
