"""A scripted HTTP/2 client: sends whatever octets a test wants, and reads frames with hyperframe and hpack."""
from __future__ import annotations

import itertools
import socket
import time
from dataclasses import dataclass, field

import wire
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

SERVICE = "/grpc.testing.TestService/"
# How long the server may take for an answer; it takes milliseconds, but test machines are slow at times.
PATIENCE = 8.0
# How long a server may take to close the socket after its GOAWAY.
CLOSING = 5.0


@dataclass
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    trailers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def fields(self) -> dict[str, str]:
        return self.headers | self.trailers

    @property
    def grpc_status(self) -> int | None:
        text = self.fields.get("grpc-status")
        return None if text is None else int(text)


class Peer:
    """One connection. Reading acknowledges SETTINGS and PING and gives window back, unless told not to."""

    def __init__(self, port: int, *entries: tuple[int, int], preface: bytes | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.gives_window = True
        self.frames: list[Frame] = []
        self.answers: dict[int, Answer] = {}
        self.server_settings: dict[int, int] = {}
        self.goaway: GoAwayFrame | None = None
        self.closed = False
        self._input = b""
        self._block: tuple[int, bytes, bool] | None = None
        self._streams = itertools.count(1, 2)
        self._pings = itertools.count(1)
        self.send(wire.PREFACE + wire.settings(*entries) if preface is None else preface)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    # Sending

    def send(self, *octets: bytes) -> None:
        try:
            self.socket.sendall(b"".join(octets))
        except (ConnectionError, TimeoutError):
            # The server has closed; what it said before is still to be read.
            pass

    def new_stream(self) -> int:
        return next(self._streams)

    def request_fields(
        self,
        method: str = "EmptyCall",
        extra: wire.Fields = (),
        without: tuple[str, ...] = (),
        changed: dict[str, str] | None = None,
    ) -> list[tuple[str, str]]:
        """The header fields of a gRPC request, in order, with changes."""
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": SERVICE + method,
            ":authority": "test",
            "te": "trailers",
            "content-type": "application/grpc",
        } | (changed or {})
        return [item for item in fields.items() if item[0] not in without] + list(extra)

    def block(self, *args, **kwargs) -> bytes:
        """A request's header block, compressed."""
        return self.encoder.encode(self.request_fields(*args, **kwargs))

    def start(self, *args, flags: int = 0, stream: int | None = None, **kwargs) -> int:
        """Sends a request's header block; its stream stays open unless `flags` end it."""
        stream = self.new_stream() if stream is None else stream
        self.send(wire.frame(wire.HEADERS, wire.END_HEADERS | flags, stream, self.block(*args, **kwargs)))
        return stream

    def end(self, stream: int, body: bytes = wire.message()) -> None:
        """Sends a body that ends the stream; by default one empty message."""
        self.send(wire.frame(wire.DATA, wire.END_STREAM, stream, body))

    def call(self, *args, body: bytes = wire.message(), **kwargs) -> Answer:
        stream = self.start(*args, **kwargs)
        self.end(stream, body)
        return self.answer(stream)

    # Receiving

    def receive(self, seconds: float = PATIENCE) -> Frame | None:
        """The next frame; None when the server has closed the connection."""
        deadline = time.monotonic() + seconds
        while True:
            if len(self._input) >= 9:
                parsed, length = Frame.parse_frame_header(memoryview(self._input)[:9])
                if len(self._input) >= 9 + length:
                    parsed.parse_body(memoryview(self._input)[9 : 9 + length])
                    self._input = self._input[9 + length :]
                    self._note(parsed)
                    return parsed
            if self.closed:
                return None
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no frame within {seconds} s; so far: {self.history()}")
            self.socket.settimeout(left)
            try:
                octets = self.socket.recv(1 << 16)
            except ConnectionError:
                octets = b""
            except TimeoutError:
                continue
            finally:
                self.socket.settimeout(PATIENCE)
            self.closed = not octets
            self._input += octets

    def history(self) -> str:
        return ", ".join(repr(frame) for frame in self.frames[-12:]) or "nothing"

    def _note(self, got: Frame) -> None:
        self.frames.append(got)
        if len(self.frames) > 2_000:
            del self.frames[:1_000]
        answer = self.answers.setdefault(got.stream_id, Answer()) if got.stream_id else None
        match got:
            case SettingsFrame():
                if "ACK" not in got.flags:
                    self.server_settings.update(got.settings)
                    self.send(wire.frame(wire.SETTINGS, wire.ACK))
            case PingFrame():
                if "ACK" not in got.flags:
                    self.send(wire.ping(got.opaque_data, wire.ACK))
            case GoAwayFrame():
                self.goaway = got
            case RstStreamFrame():
                answer.reset = got.error_code
            case HeadersFrame() | ContinuationFrame():
                begun = self._block or (got.stream_id, b"", "END_STREAM" in got.flags)
                self._block = (begun[0], begun[1] + got.data, begun[2])
                if "END_HEADERS" in got.flags:
                    fields = dict(self.decoder.decode(self._block[1]))
                    if answer.headers:
                        answer.trailers |= fields
                    else:
                        answer.headers = fields
                    answer.ended |= self._block[2]
                    self._block = None
            case DataFrame():
                answer.data += got.data
                answer.ended |= "END_STREAM" in got.flags
                if self.gives_window and got.flow_controlled_length:
                    self.send(wire.window_update(0, got.flow_controlled_length))
                    if not answer.ended:
                        self.send(wire.window_update(got.stream_id, got.flow_controlled_length))

    def until(self, done, what: str, seconds: float = PATIENCE) -> None:
        """Reads frames until `done()`."""
        deadline = time.monotonic() + seconds
        while not done():
            assert self.receive(max(deadline - time.monotonic(), 0.01)) is not None, (
                f"the connection was closed before {what}; so far: {self.history()}"
            )

    def answer(self, stream: int, seconds: float = PATIENCE) -> Answer:
        """Waits until a stream is over, in order or by a reset."""
        answer = self.answers.setdefault(stream, Answer())
        self.until(lambda: answer.ended or answer.reset is not None, f"stream {stream} ended", seconds)
        return answer

    def fence(self) -> list[Frame]:
        """Sends a PING and waits for its answer: the server has seen all that was sent. Returns what came meanwhile."""
        mark = next(self._pings).to_bytes(8, "big")
        begin = len(self.frames)
        self.send(wire.ping(mark))
        self.until(
            lambda: any(
                isinstance(got, PingFrame) and got.opaque_data == mark and "ACK" in got.flags
                for got in self.frames[begin:]
            ),
            "the PING was answered",
        )
        return self.frames[begin:]

    # Expectations

    def expect_serving(self) -> None:
        """The connection is in good order: a call on it succeeds."""
        answer = self.call("EmptyCall")
        assert (answer.headers.get(":status"), answer.grpc_status, answer.data) == ("200", 0, wire.message()), answer

    def expect_connection_error(self, *codes: int) -> None:
        """A GOAWAY with one of the codes, then the end of the connection."""
        self.until(lambda: self.goaway is not None, "a GOAWAY came")
        assert self.goaway.error_code in codes, f"expected one of the codes {codes}, got {self.goaway}"
        self.expect_close(CLOSING)

    def expect_close(self, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while self.receive(deadline - time.monotonic()) is not None:
            pass

    def expect_stream_error(self, stream: int, *codes: int) -> None:
        """A RST_STREAM with one of the codes; the connection goes on. RFC 9113, 5.4: an endpoint may treat a stream error
        as a connection error, so that is accepted too, with the same codes."""
        answer = self.answers.setdefault(stream, Answer())
        self.until(lambda: answer.reset is not None or self.goaway is not None, f"stream {stream} was reset")
        if self.goaway is not None:
            return self.expect_connection_error(*codes)
        assert answer.reset in codes, f"expected one of the codes {codes}, got {answer.reset}"
        self.expect_serving()


def window_sizes(frames: list[Frame], stream: int) -> list[int]:
    """The increments that the server gave to a stream."""
    return [got.window_increment for got in frames if isinstance(got, WindowUpdateFrame) and got.stream_id == stream]
