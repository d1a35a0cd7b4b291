"""Hand-made HTTP/2 frames against the Swift server under test: bad gRPC and abuse. Usage: raw_client.py PORT."""

import socket
import struct
import sys
import time
import traceback

from hpack import Decoder, Encoder

PORT = int(sys.argv[1])
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CASES = []


def case(function):
    CASES.append(function)
    return function


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def message(payload, flag=0):
    return struct.pack(">BI", flag, len(payload)) + payload


class Connection:
    def __init__(self, preface=PREFACE + frame(SETTINGS, 0, 0)):
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder, self.buffer, self.next = Encoder(), Decoder(), b"", 1
        self.send(preface)

    def send(self, data):
        self.socket.sendall(data)

    def request_block(self, path="/test.Test/Echo", content_type="application/grpc", extra=()):
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"), ("te", "trailers")]
        if content_type:
            fields.append(("content-type", content_type))
        return self.encoder.encode(fields + list(extra))

    def start(self, flags=0, **kwargs):
        stream, self.next = self.next, self.next + 2
        self.send(frame(HEADERS, END_HEADERS | flags, stream, self.request_block(**kwargs)))
        return stream

    def read(self, count):
        while len(self.buffer) < count:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        result, self.buffer = self.buffer[:count], self.buffer[count:]
        return result

    def frame(self):
        head = self.read(9)
        length = int.from_bytes(head[:3], "big")
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, self.read(length)

    def response(self, stream):
        """All header fields, trailers included, and all data."""
        fields, data = {}, b""
        while True:
            kind, flags, identifier, payload = self.frame()
            if kind == HEADERS:
                decoded = self.decoder.decode(payload)
                if identifier == stream:
                    fields.update(decoded)
            elif kind == GOAWAY:
                raise EOFError(f"GOAWAY {payload!r}")
            elif identifier != stream:
                continue
            elif kind == DATA:
                data += payload
            elif kind == RST_STREAM:
                fields["rst"] = int.from_bytes(payload, "big")
                return fields, data
            if flags & END_STREAM and kind in (HEADERS, DATA):
                return fields, data

    def until_closed(self):
        """The GOAWAY's error code, if one came before the connection was closed."""
        code = None
        try:
            while True:
                kind, _, _, payload = self.frame()
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        except (EOFError, ConnectionError):
            return code

    def alive(self):
        stream = self.start()
        self.send(frame(DATA, END_STREAM, stream, message(b"alive")))
        fields, data = self.response(stream)
        assert fields["grpc-status"] == "0" and data == message(b"alive"), (fields, data)


def status_of(body, **kwargs):
    connection = Connection()
    stream = connection.start(**kwargs)
    connection.send(frame(DATA, END_STREAM, stream, body))
    fields, _ = connection.response(stream)
    connection.alive()
    return fields


@case
def not_grpc_is_415():
    assert status_of(b"", content_type="text/plain")[":status"] == "415"
    assert status_of(b"", content_type=None)[":status"] == "415"
    assert status_of(b"", content_type="application/grpc-web")[":status"] == "415"


@case
def bad_grpc():
    assert status_of(message(b"x"), path="/test.Test/Nope")["grpc-status"] == "12"
    assert status_of(message(b"x", flag=1))["grpc-status"] == "13"
    fields = status_of(message(b"x"), extra=[("grpc-encoding", "snappy")])
    assert fields["grpc-status"] == "12" and fields["grpc-accept-encoding"] == "identity,gzip"
    assert status_of(message(b"xyz")[:-1])["grpc-status"] == "13"
    assert status_of(message(b"x") + message(b"y"))["grpc-status"] == "12"
    assert status_of(b"")["grpc-status"] == "12"
    assert status_of(struct.pack(">BI", 0, 2**32 - 1))["grpc-status"] == "8"
    assert status_of(message(b"x"), extra=[("grpc-timeout", "soon")])["grpc-status"] == "13"
    assert status_of(message(b"x"), extra=[("grpc-timeout", "99999999H")])["grpc-status"] == "0"
    assert status_of(message(b"x"), extra=[("grpc-timeout", "123456789S")])["grpc-status"] == "13"


@case
def message_split_at_every_byte():
    connection = Connection()
    stream = connection.start()
    wire = message(b"split me")
    for index in range(len(wire)):
        connection.send(frame(DATA, 0, stream, wire[index : index + 1]))
    connection.send(frame(DATA, END_STREAM, stream))
    fields, data = connection.response(stream)
    assert fields["grpc-status"] == "0" and data == wire


@case
def many_messages_in_one_frame():
    connection = Connection()
    stream = connection.start(path="/test.Test/Sum")
    connection.send(frame(DATA, END_STREAM, stream, message(b"ab") * 2000))
    fields, data = connection.response(stream)
    assert data == message(b"4000"), data


@case
def data_frame_padding():
    connection = Connection()
    stream = connection.start()
    for part in (message(b"padded")[:4], message(b"padded")[4:]):
        connection.send(frame(DATA, PADDED, stream, bytes([255]) + part + bytes(255)))
    connection.send(frame(DATA, END_STREAM, stream))
    fields, data = connection.response(stream)
    assert fields["grpc-status"] == "0" and data == message(b"padded")


@case
def padded_and_unpadded_binary_metadata():
    for text in ("q6ur", "AP8=", "AP8"):
        connection = Connection()
        stream = connection.start(extra=[("echo-bin", text)])
        connection.send(frame(DATA, END_STREAM, stream, message(b"")))
        fields, _ = connection.response(stream)
        assert fields["echo-bin"] == text.rstrip("="), fields


@case
def oversize_headers():
    connection = Connection()
    stream = connection.start(flags=END_STREAM, extra=[(f"x-{number}", "y" * 200) for number in range(75)])
    fields, _ = connection.response(stream)
    assert fields.get("grpc-status") == "8", fields
    connection.alive()


@case
def rapid_reset():
    connection = Connection()
    try:
        for _ in range(2000):
            stream = connection.start()
            connection.send(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))
    except ConnectionError:
        return
    connection.until_closed()


@case
def ping_flood():
    connection = Connection()
    try:
        for _ in range(100):
            connection.send(frame(PING, 0, 0, bytes(8)) * 100)
    except ConnectionError:
        return
    connection.until_closed()


@case
def settings_flood():
    connection = Connection()
    try:
        for _ in range(100):
            connection.send(frame(SETTINGS, 0, 0) * 100)
    except ConnectionError:
        return
    connection.until_closed()


@case
def empty_data_and_tiny_window_updates():
    for flood in (lambda stream: frame(DATA, 0, stream), lambda stream: frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1))):
        connection = Connection()
        stream = connection.start(path="/test.Test/PingPong")
        try:
            for _ in range(100):
                connection.send(flood(stream) * 100)
        except ConnectionError:
            continue
        connection.until_closed()


@case
def endless_continuation():
    connection = Connection()
    block = connection.request_block()
    connection.send(frame(HEADERS, 0, 1, block))
    try:
        for _ in range(1000):
            connection.send(frame(CONTINUATION, 0, 1, b""))
    except ConnectionError:
        return
    connection.until_closed()


@case
def slow_preface():
    begin = time.monotonic()
    connection = Connection(preface=PREFACE[:10])
    connection.until_closed()
    assert time.monotonic() - begin < 5


@case
def not_http2_at_all():
    connection = Connection(preface=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    connection.until_closed()


@case
def protocol_violations_end_the_connection():
    for bad in (
        frame(DATA, 0, 0, b"x"),
        frame(PING, 0, 0, b"short"),
        frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0)),
        frame(HEADERS, END_HEADERS, 2, Encoder().encode([(":method", "POST")])),
        struct.pack(">I", 2**23)[1:] + struct.pack(">BBI", DATA, 0, 1),
    ):
        connection = Connection()
        connection.send(bad)
        code = connection.until_closed()
        assert code not in (None, 0), (bad, code)


@case
def zero_window_stall():
    """A peer that never opens its window holds up its own call only."""
    connection = Connection(preface=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
    stream = connection.start()
    connection.send(frame(DATA, END_STREAM, stream, message(b"x")))
    other = Connection()
    other.alive()
    connection.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1000)))
    fields, data = connection.response(stream)
    assert data == message(b"x")


failures = 0
for function in CASES:
    try:
        function()
        print("ok", function.__name__, flush=True)
    except Exception:
        failures += 1
        print("FAILED", function.__name__, traceback.format_exc(), flush=True)
sys.exit(1 if failures else 0)
