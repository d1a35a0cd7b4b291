"""HTTP/2 servers that follow a script: what a client must survive, and no real server does on demand.

A script answers grpc.testing.TestService's requests when they are complete, in its own way. The cases are those of
grpc/doc/http2-interop-test-descriptions.md, and a few more about calls that a server refuses."""
from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from interop import pb

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = 1 << 24
MAX_FRAME = 16_384
NO_ERROR, REFUSED_STREAM = 0, 7


@dataclass
class Request:
    stream: int
    path: str
    data: bytes = b""

    @property
    def method(self) -> str:
        return self.path.rpartition("/")[2]

    def messages(self) -> list[bytes]:
        found, rest = [], self.data
        while rest:
            flag, length = struct.unpack(">BI", rest[:5])
            assert flag == 0 and len(rest) >= 5 + length, "a compressed or truncated message"
            found.append(rest[5 : 5 + length])
            rest = rest[5 + length :]
        return found

    def answer(self) -> bytes:
        """What a well-behaved server would say, with its prefixes."""
        messages = self.messages()
        if self.method == "UnaryCall":
            size = pb.SimpleRequest.FromString(messages[0]).response_size
            answers = [pb.SimpleResponse(payload=pb.Payload(body=bytes(size)))]
        elif self.method == "StreamingInputCall":
            sizes = [len(pb.StreamingInputCallRequest.FromString(each).payload.body) for each in messages]
            answers = [pb.StreamingInputCallResponse(aggregated_payload_size=sum(sizes))]
        elif self.method == "FullDuplexCall":
            sizes = [
                parameters.size
                for each in messages
                for parameters in pb.StreamingOutputCallRequest.FromString(each).response_parameters
            ]
            answers = [pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(size))) for size in sizes]
        else:
            raise AssertionError(f"no answer to {self.path}")
        packed = [each.SerializeToString() for each in answers]
        return b"".join(struct.pack(">BI", 0, len(each)) + each for each in packed)


class Script:
    """Answers everything as it should be; scripts change a part of that."""

    settings: dict[int, int] = {}

    def __init__(self) -> None:
        self.served: list[tuple[int, Request]] = []  # with the number of the connection

    def begun(self, connection: Connection, request: Request) -> None:
        """A request's headers are here."""

    def complete(self, connection: Connection, request: Request) -> None:
        """A request is here."""
        self.served.append((connection.number, request))
        self.respond(connection, request)

    def respond(self, connection: Connection, request: Request) -> None:
        connection.send_headers(request.stream)
        connection.send_data(request.stream, request.answer())
        connection.send_trailers(request.stream)

    def check(self, connections: list[Connection]) -> None:
        """What has to have happened, once the client is done."""


class Connection(threading.Thread):
    def __init__(self, number: int, peer: socket.socket, script: Script) -> None:
        super().__init__(daemon=True)
        self.number, self.peer, self.script = number, peer, script
        self.encoder, self.decoder = Encoder(), Decoder()
        self.requests: dict[int, Request] = {}
        self.ping_acks: list[bytes] = []
        self.error: BaseException | None = None

    # What a script can say.

    def send(self, frame: Frame) -> None:
        self.peer.sendall(frame.serialize())

    def send_headers(self, stream: int) -> None:
        block = self.encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
        self.send(HeadersFrame(stream, block, flags=["END_HEADERS"]))

    def send_data(self, stream: int, data: bytes, chunk: int = MAX_FRAME) -> None:
        for start in range(0, len(data), chunk):
            self.send(DataFrame(stream, data[start : start + chunk]))

    def send_trailers(self, stream: int) -> None:
        block = self.encoder.encode([("grpc-status", "0")])
        self.send(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]))

    def send_goaway(self, last_stream: int) -> None:
        self.send(GoAwayFrame(0, last_stream_id=last_stream, error_code=NO_ERROR))

    def reset(self, stream: int, code: int) -> None:
        self.send(RstStreamFrame(stream, error_code=code))

    # The protocol.

    def run(self) -> None:
        try:
            assert self.read(len(PREFACE)) == PREFACE
            settings = {SettingsFrame.INITIAL_WINDOW_SIZE: WINDOW} | self.script.settings
            self.send(SettingsFrame(0, settings=settings))
            self.send(WindowUpdateFrame(0, window_increment=WINDOW))
            while True:
                header = self.read(9)
                frame, length = Frame.parse_frame_header(memoryview(header))
                frame.parse_body(memoryview(self.read(length)))
                self.received(frame)
        except (EOFError, ConnectionError):
            pass  # the client has left
        except BaseException as error:  # reported by the test
            self.error = error
        finally:
            self.peer.close()

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.peer.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def received(self, frame: Frame) -> None:
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame):
            if "ACK" in frame.flags:
                self.ping_acks.append(frame.opaque_data)
            else:
                self.send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, HeadersFrame):
            fields = dict(self.decoder.decode(frame.data))
            request = self.requests[frame.stream_id] = Request(frame.stream_id, fields[":path"])
            self.script.begun(self, request)
        elif isinstance(frame, DataFrame):
            request = self.requests[frame.stream_id]
            request.data += frame.data
            if frame.flow_controlled_length:
                self.send(WindowUpdateFrame(0, window_increment=frame.flow_controlled_length))
            if "END_STREAM" in frame.flags:
                self.script.complete(self, request)


class ScriptedServer:
    """A context manager; one thread for each connection."""

    def __init__(self, script: Callable[[], Script]) -> None:
        self.script = script()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.connections: list[Connection] = []
        self.acceptor = threading.Thread(target=self.accept, daemon=True)

    def __enter__(self) -> ScriptedServer:
        self.acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return  # closed
            connection = Connection(len(self.connections), peer, self.script)
            self.connections.append(connection)
            connection.start()

    def check(self) -> None:
        """To be called when the client has ended."""
        for connection in self.connections:
            connection.join(10)
            assert not connection.is_alive(), f"the client has left connection {connection.number} open"
            if connection.error:
                raise connection.error
        self.script.check(self.connections)


# The scripts.


class GoAway(Script):
    """GOAWAY with the first answer; what comes after it needs another connection."""

    def complete(self, connection: Connection, request: Request) -> None:
        if connection.number == 0:
            connection.send_goaway(request.stream)
        super().complete(connection, request)

    def check(self, connections: list[Connection]) -> None:
        assert [number for number, _ in self.served] == [0, 1]


class GoAwayWithStreams(Script):
    """GOAWAY in the middle of twelve calls, of which four are served and eight are not."""

    LAST = 7

    def begun(self, connection: Connection, request: Request) -> None:
        if connection.number == 0 and request.stream == 23:
            connection.send_goaway(self.LAST)

    def complete(self, connection: Connection, request: Request) -> None:
        if connection.number > 0 or request.stream <= self.LAST:
            super().complete(connection, request)

    def check(self, connections: list[Connection]) -> None:
        assert len(connections) == 2
        assert sorted(number for number, _ in self.served) == [0] * 4 + [1] * 8
        # Nothing was sent after the streams were given up, and every message of those that were made again came.
        by_method: dict[str, list[int]] = {}
        for _, request in self.served:
            by_method.setdefault(request.method, []).append(len(request.messages()))
        assert by_method == {"UnaryCall": [1] * 4, "StreamingInputCall": [20] * 4, "FullDuplexCall": [20] * 4}


class RefusedStream(Script):
    """REFUSED_STREAM for the first try; the second comes on the same connection."""

    def complete(self, connection: Connection, request: Request) -> None:
        if request.stream == 1:
            connection.reset(request.stream, REFUSED_STREAM)
        else:
            super().complete(connection, request)

    def check(self, connections: list[Connection]) -> None:
        assert len(connections) == 1
        assert sorted(connections[0].requests) == [1, 3]


class RefusedAlways(Script):
    """A server that refuses everything is asked twice, not for ever."""

    def complete(self, connection: Connection, request: Request) -> None:
        connection.reset(request.stream, REFUSED_STREAM)

    def check(self, connections: list[Connection]) -> None:
        assert [sorted(each.requests) for each in connections] == [[1, 3]]


class RstAfterHeader(Script):
    def respond(self, connection: Connection, request: Request) -> None:
        connection.send_headers(request.stream)
        connection.reset(request.stream, NO_ERROR)

    def check(self, connections: list[Connection]) -> None:
        # The server may have begun: the call must not be made again.
        assert len(self.served) == 1 and len(connections) == 1


class RstDuringData(RstAfterHeader):
    def respond(self, connection: Connection, request: Request) -> None:
        answer = request.answer()
        connection.send_headers(request.stream)
        connection.send_data(request.stream, answer[: len(answer) // 2])
        connection.reset(request.stream, NO_ERROR)


class RstAfterData(RstAfterHeader):
    def respond(self, connection: Connection, request: Request) -> None:
        connection.send_headers(request.stream)
        connection.send_data(request.stream, request.answer())
        connection.reset(request.stream, NO_ERROR)


class Ping(Script):
    """PINGs between all frames; every one has to be answered, with its own bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def ping(self, connection: Connection) -> None:
        self.sent.append(struct.pack(">Q", len(self.sent) + 1))
        connection.send(PingFrame(0, opaque_data=self.sent[-1]))

    def begun(self, connection: Connection, request: Request) -> None:
        self.ping(connection)

    def respond(self, connection: Connection, request: Request) -> None:
        self.ping(connection)
        connection.send_headers(request.stream)
        answer = request.answer()
        for start in range(0, len(answer), MAX_FRAME):
            self.ping(connection)
            connection.send_data(request.stream, answer[start : start + MAX_FRAME])
        self.ping(connection)
        connection.send_trailers(request.stream)

    def check(self, connections: list[Connection]) -> None:
        assert len(self.sent) > 20
        assert connections[0].ping_acks == self.sent


class MaxStreams(Script):
    """One stream at a time."""

    settings = {SettingsFrame.MAX_CONCURRENT_STREAMS: 1}

    def __init__(self) -> None:
        super().__init__()
        self.open = self.most = 0

    def begun(self, connection: Connection, request: Request) -> None:
        self.open += 1
        self.most = max(self.most, self.open)

    def respond(self, connection: Connection, request: Request) -> None:
        time.sleep(0.01)  # so that a second stream could show
        self.open -= 1  # before the client can know
        super().respond(connection, request)

    def check(self, connections: list[Connection]) -> None:
        assert len(connections) == 1 and len(self.served) == 16
        assert self.most == 1


class DataFramePadding(Script):
    """DATA frames with padding of every length, and frames of nothing but padding."""

    def respond(self, connection: Connection, request: Request) -> None:
        connection.send_headers(request.stream)
        answer, start, pad = request.answer(), 0, 0
        while start < len(answer):
            part = answer[start : start + 1 + 61 * pad]
            connection.send(DataFrame(request.stream, part, pad_length=pad, flags=["PADDED"]))
            start, pad = start + len(part), (pad + 1) % 256
            if pad % 64 == 0:
                connection.send(DataFrame(request.stream, b"", pad_length=255, flags=["PADDED"]))
        connection.send_trailers(request.stream)


SCRIPTS: dict[str, Callable[[], Script]] = {
    "goaway": GoAway,
    "goaway_with_streams": GoAwayWithStreams,
    "refused_stream": RefusedStream,
    "refused_always": RefusedAlways,
    "rst_after_header": RstAfterHeader,
    "rst_during_data": RstDuringData,
    "rst_after_data": RstAfterData,
    "ping": Ping,
    "max_streams": MaxStreams,
    "data_frame_padding": DataFramePadding,
}
