"""Bytes of HTTP/2 frames, gRPC messages and grpc.testing's protobuf messages, so raw that they can be wrong."""
from __future__ import annotations

import struct
from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# Frame types (RFC 9113, 6).
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0x0, 0x1, 0x2, 0x3, 0x4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0x5, 0x6, 0x7, 0x8, 0x9

# Flags.
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20

# Error codes (RFC 9113, 7).
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 0x5, 0x6, 0x7, 0x8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x9, 0xB

# Settings (RFC 9113, 6.5.2).
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 0x1, 0x2, 0x3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 0x4, 0x5, 0x6

MAX_WINDOW = 2**31 - 1

Fields = Iterable[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """One frame. `length` lies about the payload's length."""
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*entries: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *entry) for entry in entries))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", code))


def ping(payload: bytes = b"pingpong", flags: int = 0) -> bytes:
    return frame(PING, flags, payload=payload)


def dependency(on: int, weight: int = 16, exclusive: bool = False) -> bytes:
    """The five octets of a priority: what it depends on, and a weight from 1 to 256."""
    return struct.pack(">IB", on | (0x80000000 if exclusive else 0), weight - 1)


def priority(stream: int, on: int = 0, weight: int = 16, exclusive: bool = False) -> bytes:
    return frame(PRIORITY, stream=stream, payload=dependency(on, weight, exclusive))


def goaway(last: int = 0, code: int = NO_ERROR, stream: int = 0) -> bytes:
    return frame(GOAWAY, stream=stream, payload=struct.pack(">II", last, code))


def message(payload: bytes = b"", flag: int = 0) -> bytes:
    """A gRPC message with its five octets of prefix."""
    return struct.pack(">BI", flag, len(payload)) + payload


# The requests of grpc.testing.TestService, as far as the tests need them.


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def nested(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def payload(size: int) -> bytes:
    return nested(2, bytes(size))


def simple_request(
    response_size: int = 0, body: int = 0, status: tuple[int, str] | None = None
) -> bytes:
    """SimpleRequest: asks for `response_size` bytes, carries `body` bytes, may ask for a status."""
    out = number(2, response_size) + nested(3, payload(body))
    return out if status is None else out + nested(7, number(1, status[0]) + nested(2, status[1].encode()))


def streaming_request(*response_sizes: int, interval_us: int = 0) -> bytes:
    """StreamingOutputCallRequest: one response of each size."""
    return b"".join(nested(2, number(1, size) + number(2, interval_us)) for size in response_sizes)


def input_request(body: int) -> bytes:
    """StreamingInputCallRequest with `body` bytes."""
    return nested(1, payload(body))
