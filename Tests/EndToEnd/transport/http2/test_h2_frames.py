"""HTTP/2 sections 6 and 7: each type of frame, settings, flow control, error codes."""
from __future__ import annotations

import wire
from case_table import Case, Cases
from raw_server import Server
from hyperframe.frame import DataFrame, PingFrame, SettingsFrame
from peer import Answer, Peer
from wire import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    frame,
)

case = Cases()


# 6.1 DATA


@case("6.1/1", "DATA on stream 0 is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(DATA, END_STREAM, 0, b"test"))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.1/2", "DATA on a stream that is neither open nor half-closed (local) is STREAM_CLOSED")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0
    peer.send(frame(DATA, 0, stream, b"test"))
    peer.expect_stream_error(stream, STREAM_CLOSED)


@case("6.1/3", "DATA with more padding than payload is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(DATA, END_STREAM | PADDED, stream, b"\x06test!"))
    peer.expect_connection_error(PROTOCOL_ERROR)


# 6.2 HEADERS


@case("6.2/1", "HEADERS without END_HEADERS followed by PRIORITY are a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(HEADERS, END_STREAM, 1, peer.block()), wire.priority(1))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.2/2", "HEADERS without END_HEADERS followed by HEADERS of another stream are a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    block = peer.block()
    peer.send(frame(HEADERS, END_STREAM, 1, block), frame(HEADERS, END_STREAM | END_HEADERS, 3, block))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.2/3", "HEADERS on stream 0 are a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 0, peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.2/4", "HEADERS with more padding than payload are a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    block = peer.block()
    peer.send(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, bytes([len(block) + 1]) + block))
    peer.expect_connection_error(PROTOCOL_ERROR)


# 6.3 PRIORITY


@case("6.3/1", "PRIORITY on stream 0 is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.priority(0))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.3/2", "PRIORITY of other than 5 octets is FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(PRIORITY, 0, stream, b"\x80\x00\x00\x01"))
    peer.expect_stream_error(stream, FRAME_SIZE_ERROR)


# 6.4 RST_STREAM


@case("6.4/1", "RST_STREAM on stream 0 is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.rst_stream(0))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.4/2", "RST_STREAM on an idle stream is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.rst_stream(1))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.4/3", "RST_STREAM of other than 4 octets is a connection error FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(RST_STREAM, 0, stream, b"\x00\x00\x00"))
    peer.expect_connection_error(FRAME_SIZE_ERROR)


# 6.5 SETTINGS


@case("6.5/1", "SETTINGS with ACK and a payload are a connection error FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(SETTINGS, ACK, 0, b"\x00\x01\x00\x00\x10\x00"))
    peer.expect_connection_error(FRAME_SIZE_ERROR)


@case("6.5/2", "SETTINGS on a stream are a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(SETTINGS, 0, 1, b"\x00\x03\x00\x00\x00\x64"))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.5/3", "SETTINGS of a length that 6 does not divide are a connection error FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(SETTINGS, 0, 0, b"\x00\x03\x00"))
    peer.expect_connection_error(FRAME_SIZE_ERROR)


@case("6.5.2/1", "SETTINGS_ENABLE_PUSH other than 0 or 1 is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.settings((ENABLE_PUSH, 2)))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.5.2/2", "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1 is FLOW_CONTROL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.settings((INITIAL_WINDOW_SIZE, 2**31)))
    peer.expect_connection_error(FLOW_CONTROL_ERROR)


@case("6.5.2/3", "SETTINGS_MAX_FRAME_SIZE below 2^14 is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.settings((MAX_FRAME_SIZE, (1 << 14) - 1)))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.5.2/4", "SETTINGS_MAX_FRAME_SIZE above 2^24-1 is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.settings((MAX_FRAME_SIZE, 1 << 24)))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.5.2/5", "a setting with an unknown identifier is ignored")
def _(peer: Peer) -> None:
    peer.send(wire.settings((0xFF, 1)))
    peer.fence()
    peer.expect_serving()


def payload_sizes(peer: Peer, stream: int) -> list[int]:
    """The sizes of the DATA frames that came on a stream; empty ones left out."""
    data = [got for got in peer.frames if isinstance(got, DataFrame) and got.stream_id == stream]
    return [len(got.data) for got in data if got.data]


def start_without_window(peer: Peer) -> int:
    """Asks for a response of 105 octets or so, without giving window back by itself."""
    peer.gives_window = False
    stream = peer.start("UnaryCall")
    peer.end(stream, wire.message(wire.simple_request(100)))
    return stream


def expect_data(peer: Peer, stream: int, count: int) -> None:
    """Exactly `count` octets of DATA have come when the server has nothing more to do."""
    answer = peer.answers.setdefault(stream, Answer())
    peer.until(lambda: len(answer.data) >= count and (count or answer.headers), f"{count} octets came")
    peer.fence()
    assert len(answer.data) == count and not answer.ended, answer


@case("6.5.3/1", "of several values of one setting in a frame, the last counts")
def _(peer: Peer) -> None:
    peer.send(wire.settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)))
    expect_data(peer, start_without_window(peer), 1)


@case("6.5.3/2", "SETTINGS are acknowledged, each frame once")
def _(peer: Peer) -> None:
    peer.send(wire.settings(), wire.settings((INITIAL_WINDOW_SIZE, 1_000)))
    peer.fence()
    acks = [got for got in peer.frames if isinstance(got, SettingsFrame) and "ACK" in got.flags]
    assert len(acks) == 3, acks


# 6.6 PUSH_PROMISE


@case("6.6/1", "PUSH_PROMISE from a client is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(PUSH_PROMISE, END_HEADERS, stream, b"\x00\x00\x00\x02" + peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


# 6.7 PING


@case("6.7/1", "PING is answered with the same payload")
def _(peer: Peer) -> None:
    peer.send(wire.ping(b"h2spec\x00\xff"))
    got = peer.fence()
    assert b"h2spec\x00\xff" in [one.opaque_data for one in got if isinstance(one, PingFrame) and "ACK" in one.flags]


@case("6.7/2", "PING with ACK is not answered")
def _(peer: Peer) -> None:
    peer.send(wire.ping(b"unasked!", ACK))
    got = peer.fence()
    assert b"unasked!" not in [one.opaque_data for one in got if isinstance(one, PingFrame)]
    peer.expect_serving()


@case("6.7/3", "PING on a stream is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(PING, 0, 1, bytes(8)))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.7/4", "PING of other than 8 octets is a connection error FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(PING, 0, 0, bytes(6)))
    peer.expect_connection_error(FRAME_SIZE_ERROR)


# 6.8 GOAWAY


@case("6.8/1", "GOAWAY on a stream is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.goaway(stream=1))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.8/2", "after the client's GOAWAY its open calls are finished and the connection is closed")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.goaway())
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0
    peer.expect_close()


# 6.9 WINDOW_UPDATE


@case("6.9/1", "an increment of 0 for the connection is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.window_update(0, 0))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.9/2", "an increment of 0 for a stream is PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.window_update(stream, 0))
    peer.expect_stream_error(stream, PROTOCOL_ERROR)


@case("6.9/3", "WINDOW_UPDATE of other than 4 octets is a connection error FRAME_SIZE_ERROR")
def _(peer: Peer) -> None:
    peer.send(frame(WINDOW_UPDATE, 0, 0, b"\x00\x00\x01"))
    peer.expect_connection_error(FRAME_SIZE_ERROR)


@case("6.9.1/1", "with a window of 1 octet the server sends 1 octet of DATA", (INITIAL_WINDOW_SIZE, 1))
def _(peer: Peer) -> None:
    stream = start_without_window(peer)
    expect_data(peer, stream, 1)
    assert payload_sizes(peer, stream) == [1]
    peer.send(wire.window_update(stream, 1_000))
    assert peer.answer(stream).grpc_status == 0


@case("6.9.1/2", "a connection window above 2^31-1 is a connection error FLOW_CONTROL_ERROR")
def _(peer: Peer) -> None:
    peer.send(wire.window_update(0, MAX_WINDOW), wire.window_update(0, MAX_WINDOW))
    peer.expect_connection_error(FLOW_CONTROL_ERROR)


@case("6.9.1/3", "a stream window above 2^31-1 is FLOW_CONTROL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.window_update(stream, MAX_WINDOW), wire.window_update(stream, MAX_WINDOW))
    peer.expect_stream_error(stream, FLOW_CONTROL_ERROR)


@case("6.9.1/4", "DATA beyond the window that the server gave is FLOW_CONTROL_ERROR")
def _(peer: Peer) -> None:
    peer.fence()
    # Messages that a server does not take off the stream, because it asked for none, keep its window shut.
    stream = peer.start("UnaryCall")
    window = peer.server_settings[INITIAL_WINDOW_SIZE]
    connection_window = 65_535 + sum(
        got.window_increment for got in peer.frames if got.type == WINDOW_UPDATE and got.stream_id == 0
    )
    flood = frame(DATA, 0, stream, bytes(1 << 14))
    # More than both windows, whatever is given back on the way, unless the call ends first.
    for _ in range((window + connection_window) // (1 << 14) + 2):
        peer.send(flood)
    peer.until(lambda: peer.goaway is not None or stream in peer.answers, "the server answered")
    if peer.goaway is not None:
        return peer.expect_connection_error(FLOW_CONTROL_ERROR)
    answer = peer.answer(stream)
    assert answer.reset in (FLOW_CONTROL_ERROR, NO_ERROR) or answer.grpc_status != 0, answer


@case("6.9.2/1", "a new SETTINGS_INITIAL_WINDOW_SIZE changes the windows of open streams", (INITIAL_WINDOW_SIZE, 0))
def _(peer: Peer) -> None:
    stream = start_without_window(peer)
    expect_data(peer, stream, 0)
    peer.send(wire.settings((INITIAL_WINDOW_SIZE, 1)))
    expect_data(peer, stream, 1)


@case("6.9.2/2", "a window that a new setting made negative has to become positive first", (INITIAL_WINDOW_SIZE, 3))
def _(peer: Peer) -> None:
    stream = start_without_window(peer)
    expect_data(peer, stream, 3)
    peer.send(wire.settings((INITIAL_WINDOW_SIZE, 2)))
    expect_data(peer, stream, 3)
    peer.send(wire.window_update(stream, 1))
    expect_data(peer, stream, 3)
    peer.send(wire.window_update(stream, 1))
    expect_data(peer, stream, 4)


@case("6.9.2/3", "a setting that lifts a stream's window above 2^31-1 is a connection error FLOW_CONTROL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.window_update(stream, MAX_WINDOW - 65_535), wire.settings((INITIAL_WINDOW_SIZE, 65_536)))
    peer.expect_connection_error(FLOW_CONTROL_ERROR)


@case("6.9.2/4", "SETTINGS_INITIAL_WINDOW_SIZE above the maximum is a connection error FLOW_CONTROL_ERROR")
def _(peer: Peer) -> None:
    peer.start()
    peer.send(wire.settings((INITIAL_WINDOW_SIZE, 2**31)))
    peer.expect_connection_error(FLOW_CONTROL_ERROR)


# 6.10 CONTINUATION


@case("6.10/1", "several CONTINUATION frames after HEADERS are accepted")
def _(peer: Peer) -> None:
    block = peer.block(extra=[("x-one", "1" * 40), ("x-two", "2" * 40)])
    stream = peer.new_stream()
    peer.send(
        frame(HEADERS, 0, stream, block[:7]),
        frame(CONTINUATION, 0, stream, block[7:30]),
        frame(CONTINUATION, END_HEADERS, stream, block[30:]),
    )
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0


@case("6.10/2", "CONTINUATION followed by another frame is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    block = peer.block()
    peer.send(
        frame(HEADERS, END_STREAM, 1, block[:4]), frame(CONTINUATION, 0, 1, block[4:]), frame(DATA, 0, 1, b"test")
    )
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.10/3", "CONTINUATION on stream 0 is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    block = peer.block()
    peer.send(frame(HEADERS, END_STREAM, 1, block[:4]), frame(CONTINUATION, END_HEADERS, 0, block[4:]))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.10/4", "CONTINUATION after HEADERS with END_HEADERS is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(CONTINUATION, END_HEADERS, stream, peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.10/5", "CONTINUATION after CONTINUATION with END_HEADERS is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    block = peer.block()
    peer.send(
        frame(HEADERS, 0, 1, block[:4]),
        frame(CONTINUATION, END_HEADERS, 1, block[4:]),
        frame(CONTINUATION, END_HEADERS, 1, peer.block()),
    )
    peer.expect_connection_error(PROTOCOL_ERROR)


@case("6.10/6", "CONTINUATION after DATA is a connection error PROTOCOL_ERROR")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(frame(DATA, 0, stream, b"test"), frame(CONTINUATION, END_HEADERS, stream, peer.block()))
    peer.expect_connection_error(PROTOCOL_ERROR)


# 7 Error codes


@case("7/1", "GOAWAY with an unknown error code has no special effect")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.goaway(code=0xFF))
    peer.end(stream)
    assert peer.answer(stream).grpc_status == 0
    peer.expect_close()
    assert peer.goaway is None or peer.goaway.error_code == NO_ERROR, peer.goaway


@case("7/2", "RST_STREAM with an unknown error code has no special effect")
def _(peer: Peer) -> None:
    stream = peer.start()
    peer.send(wire.rst_stream(stream, 0xFF))
    peer.fence()
    peer.expect_serving()


@case.each()
def test_http2(case: Case, server: Server) -> None:
    case.run(server)
