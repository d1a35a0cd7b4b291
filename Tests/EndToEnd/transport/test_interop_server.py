"""gRPC's interoperability cases with grpcio as the client and `interop-server` as the server.

The names are those of grpc/doc/interop-test-descriptions.md."""
from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from interop import (
    INITIAL_KEY,
    INITIAL_VALUE,
    SPECIAL_MESSAGE,
    TRAILING_KEY,
    TRAILING_VALUE,
    InteropServer,
    WireTap,
    pb,
    pb_grpc,
)

TIMEOUT = 30
# The largest message that the server takes: the default of TransportLimits.
RECEIVE_LIMIT = 4 * 1024 * 1024
# What bombs may add to the server's memory: a few messages of the limit, not all of them at their full size.
BOMB_MEMORY = 64 * 1024 * 1024
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def server() -> Iterator[InteropServer]:
    with InteropServer() as running:
        yield running


@pytest.fixture
def channel(server: InteropServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}", options=UNLIMITED) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> pb_grpc.TestServiceStub:
    return pb_grpc.TestServiceStub(channel)


@pytest.fixture
def tapped(server: InteropServer) -> Iterator[tuple[pb_grpc.TestServiceStub, WireTap]]:
    """A stub whose traffic is counted; the connection is made already."""
    with WireTap(server.port) as tap:
        with grpc.insecure_channel(f"127.0.0.1:{tap.port}", options=UNLIMITED) as opened:
            stub = pb_grpc.TestServiceStub(opened)
            stub.EmptyCall(pb.Empty(), timeout=TIMEOUT)
            tap.reset()
            yield stub, tap


def payload(size: int) -> pb.Payload:
    return pb.Payload(body=bytes(size))


def fails(code: grpc.StatusCode, call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code, caught.value.details()
    return caught.value


def large_request() -> pb.SimpleRequest:
    return pb.SimpleRequest(response_size=314159, payload=payload(271828))


def output_request(*sizes: int) -> pb.StreamingOutputCallRequest:
    return pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=size) for size in sizes])


class Requests:
    """A stream of requests that stays open until it is told to end."""

    def __init__(self, *first: object) -> None:
        self.ready = threading.Condition()
        self.waiting = list(first)
        self.ended = False

    def send(self, request: object) -> None:
        with self.ready:
            self.waiting.append(request)
            self.ready.notify()

    def end(self) -> None:
        with self.ready:
            self.ended = True
            self.ready.notify()

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> object:
        with self.ready:
            self.ready.wait_for(lambda: self.waiting or self.ended, TIMEOUT)
            if self.waiting:
                return self.waiting.pop(0)
            raise StopIteration


def test_empty_unary(stub):
    assert stub.EmptyCall(pb.Empty(), timeout=TIMEOUT) == pb.Empty()


def test_large_unary(stub):
    assert stub.UnaryCall(large_request(), timeout=TIMEOUT).payload == payload(314159)


def test_client_streaming(stub):
    requests = [pb.StreamingInputCallRequest(payload=payload(size)) for size in (27182, 8, 1828, 45904)]
    assert stub.StreamingInputCall(iter(requests), timeout=TIMEOUT).aggregated_payload_size == 74922


def test_server_streaming(stub):
    sizes = [31415, 9, 2653, 58979]
    responses = stub.StreamingOutputCall(output_request(*sizes), timeout=TIMEOUT)
    assert [response.payload for response in responses] == [payload(size) for size in sizes]


def test_ping_pong(stub):
    requests = Requests()
    responses = stub.FullDuplexCall(requests, timeout=TIMEOUT)
    for sent, wanted in ((27182, 31415), (8, 9), (1828, 2653), (45904, 58979)):
        request = output_request(wanted)
        request.payload.CopyFrom(payload(sent))
        requests.send(request)
        assert next(responses).payload == payload(wanted)
    requests.end()
    assert list(responses) == []
    assert responses.code() == grpc.StatusCode.OK


def test_half_duplex(stub):
    requests = [output_request(size) for size in (31415, 9)]
    responses = stub.HalfDuplexCall(iter(requests), timeout=TIMEOUT)
    assert [len(response.payload.body) for response in responses] == [31415, 9]


def test_empty_stream(stub):
    assert list(stub.FullDuplexCall(iter(()), timeout=TIMEOUT)) == []


def test_custom_metadata(stub):
    metadata = ((INITIAL_KEY, INITIAL_VALUE), (TRAILING_KEY, TRAILING_VALUE))
    _, unary = stub.UnaryCall.with_call(large_request(), metadata=metadata, timeout=TIMEOUT)
    request = output_request(314159)
    duplex = stub.FullDuplexCall(iter([request]), metadata=metadata, timeout=TIMEOUT)
    assert len(list(duplex)) == 1
    for call in (unary, duplex):
        assert (INITIAL_KEY, INITIAL_VALUE) in call.initial_metadata()
        assert (TRAILING_KEY, TRAILING_VALUE) in call.trailing_metadata()


def test_status_code_and_message(stub):
    status = pb.EchoStatus(code=2, message="test status message")
    unary = pb.SimpleRequest(response_status=status)
    duplex = pb.StreamingOutputCallRequest(response_status=status)
    calls = (
        lambda: stub.UnaryCall(unary, timeout=TIMEOUT),
        lambda: list(stub.FullDuplexCall(iter([duplex]), timeout=TIMEOUT)),
    )
    for call in calls:
        assert fails(grpc.StatusCode.UNKNOWN, call).details() == "test status message"


def test_special_status_message(stub):
    request = pb.SimpleRequest(response_status=pb.EchoStatus(code=2, message=SPECIAL_MESSAGE))
    error = fails(grpc.StatusCode.UNKNOWN, lambda: stub.UnaryCall(request, timeout=TIMEOUT))
    assert error.details() == SPECIAL_MESSAGE


def test_unimplemented_method(stub):
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.UnimplementedCall(pb.Empty(), timeout=TIMEOUT))


def test_unimplemented_service(channel):
    other = pb_grpc.UnimplementedServiceStub(channel)
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: other.UnimplementedCall(pb.Empty(), timeout=TIMEOUT))


def test_cancel_after_begin(stub):
    requests = Requests()
    call = stub.StreamingInputCall.future(requests, timeout=TIMEOUT)
    call.cancel()
    requests.end()
    assert call.code() == grpc.StatusCode.CANCELLED
    assert stub.EmptyCall(pb.Empty(), timeout=TIMEOUT) == pb.Empty()


def test_cancel_after_first_response(stub):
    requests = Requests(output_request(31415))
    call = stub.FullDuplexCall(requests, timeout=TIMEOUT)
    assert next(call).payload == payload(31415)
    call.cancel()
    requests.end()
    assert call.code() == grpc.StatusCode.CANCELLED
    assert stub.EmptyCall(pb.Empty(), timeout=TIMEOUT) == pb.Empty()


def test_timeout_on_sleeping_server(stub):
    requests = Requests(pb.StreamingOutputCallRequest(payload=payload(27182)))
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(stub.FullDuplexCall(requests, timeout=0.05)))
    requests.end()
    # The deadline also ends a response that is on its way.
    slow = pb.StreamingOutputCallRequest(
        response_parameters=[pb.ResponseParameters(size=1), pb.ResponseParameters(size=1, interval_us=20_000_000)]
    )
    responses = stub.StreamingOutputCall(slow, timeout=1)
    assert len(next(responses).payload.body) == 1
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: next(responses))


def test_concurrent_large_unary(stub):
    calls = [stub.UnaryCall.future(large_request(), timeout=TIMEOUT) for _ in range(100)]
    assert all(call.result().payload == payload(314159) for call in calls)


def test_client_compressed_unary(tapped):
    stub, tap = tapped
    request = large_request()
    request.expect_compressed.value = True
    # The server looks: a message that is not compressed is found out.
    fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: stub.UnaryCall(request, timeout=TIMEOUT))
    tap.reset()
    response = stub.UnaryCall(request, timeout=TIMEOUT, compression=grpc.Compression.Gzip)
    assert response.payload == payload(314159)
    assert tap.to_server < 10_000 and tap.to_client > 314159
    request.expect_compressed.value = False
    assert stub.UnaryCall(request, timeout=TIMEOUT).payload == payload(314159)


def test_server_compressed_unary(tapped):
    stub, tap = tapped
    request = large_request()
    for compressed in (True, False):
        request.response_compressed.value = compressed
        tap.reset()
        assert stub.UnaryCall(request, timeout=TIMEOUT).payload == payload(314159)
        assert tap.to_client < 10_000 if compressed else tap.to_client > 314159


def test_client_compressed_streaming(stub):
    def request(body: bytes, expect_compressed: bool) -> pb.StreamingInputCallRequest:
        return pb.StreamingInputCallRequest(
            payload=pb.Payload(body=body), expect_compressed=pb.BoolValue(value=expect_compressed)
        )

    def send(*requests: pb.StreamingInputCallRequest, **options: object) -> pb.StreamingInputCallResponse:
        return stub.StreamingInputCall(iter(requests), timeout=TIMEOUT, **options)

    gzip = {"compression": grpc.Compression.Gzip}
    zeros, noise = request(bytes(27182), True), request(os.urandom(45904), False)
    fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: send(zeros))
    # What gzip does not make smaller travels as it is, in the same stream.
    assert send(zeros, noise, zeros, **gzip).aggregated_payload_size == 27182 + 45904 + 27182
    fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: send(request(bytes(27182), False), **gzip))


def test_server_compressed_streaming(tapped):
    stub, tap = tapped
    request = pb.StreamingOutputCallRequest(
        response_parameters=[
            pb.ResponseParameters(size=31415, compressed=pb.BoolValue(value=True)),
            pb.ResponseParameters(size=92653, compressed=pb.BoolValue(value=False)),
        ]
    )
    sizes = [len(response.payload.body) for response in stub.StreamingOutputCall(request, timeout=TIMEOUT)]
    assert sizes == [31415, 92653]
    # The second one in full, the first one as next to nothing.
    assert 92653 < tap.to_client < 92653 + 10_000


def test_oversize(stub):
    request = pb.SimpleRequest(payload=payload(RECEIVE_LIMIT + 1))
    fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: stub.UnaryCall(request, timeout=TIMEOUT))
    assert stub.EmptyCall(pb.Empty(), timeout=TIMEOUT) == pb.Empty()


def test_gzip_bomb(stub, server):
    """16 MiB that travel as 16 KiB, 24 times at once, in unary calls and in streams."""
    assert stub.EmptyCall(pb.Empty(), timeout=TIMEOUT) == pb.Empty()
    before = server.memory("VmHWM")
    bomb = payload(16 * 1024 * 1024)
    gzip = {"timeout": 3 * TIMEOUT, "compression": grpc.Compression.Gzip}
    calls = [stub.UnaryCall.future(pb.SimpleRequest(payload=bomb), **gzip) for _ in range(12)]
    calls += [
        stub.StreamingInputCall.future(iter([pb.StreamingInputCallRequest(payload=bomb)]), **gzip) for _ in range(12)
    ]
    for call in calls:
        assert call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, call.details()
        assert str(RECEIVE_LIMIT) in call.details()
    grown = server.memory("VmHWM") - before
    print(f"24 bombs of 16 MiB: the server's memory grew by {grown >> 20} MiB")
    assert grown < BOMB_MEMORY
    assert stub.EmptyCall(pb.Empty(), timeout=TIMEOUT) == pb.Empty()


def test_gzip_bomb_in_small_pieces(stub, server):
    """Messages just below the limit, so many that all at once they would take 240 MiB."""
    before = server.memory("VmHWM")
    size = RECEIVE_LIMIT - 1024
    request = pb.StreamingInputCallRequest(payload=payload(size))
    response = stub.StreamingInputCall(
        iter([request] * 60), timeout=3 * TIMEOUT, compression=grpc.Compression.Gzip
    )
    assert response.aggregated_payload_size == 60 * size
    grown = server.memory("VmHWM") - before
    print(f"60 messages of 4 MiB: the server's memory grew by {grown >> 20} MiB")
    assert grown < BOMB_MEMORY
