"""grpc.testing.TestService with grpcio, for clients under test."""
from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent import futures

import grpc

from interop import INITIAL_KEY, TRAILING_KEY, pb, pb_grpc

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def echo_metadata(context: grpc.ServicerContext) -> None:
    metadata = dict(context.invocation_metadata())
    if INITIAL_KEY in metadata:
        context.send_initial_metadata(((INITIAL_KEY, metadata[INITIAL_KEY]),))
    if TRAILING_KEY in metadata:
        context.set_trailing_metadata(((TRAILING_KEY, metadata[TRAILING_KEY]),))


def end_with(status: pb.EchoStatus, context: grpc.ServicerContext) -> None:
    for code in grpc.StatusCode:
        if status.code and code.value[0] == status.code:
            context.abort(code, status.message)


class TestService(pb_grpc.TestServiceServicer):
    __test__ = False  # not a test of pytest's

    def EmptyCall(self, request: pb.Empty, context: grpc.ServicerContext) -> pb.Empty:
        return pb.Empty()

    def UnaryCall(self, request: pb.SimpleRequest, context: grpc.ServicerContext) -> pb.SimpleResponse:
        echo_metadata(context)
        end_with(request.response_status, context)
        if request.response_compressed.value:
            context.set_compression(grpc.Compression.Gzip)
        return pb.SimpleResponse(payload=pb.Payload(body=bytes(request.response_size)))

    def StreamingInputCall(
        self, requests: Iterator[pb.StreamingInputCallRequest], context: grpc.ServicerContext
    ) -> pb.StreamingInputCallResponse:
        return pb.StreamingInputCallResponse(
            aggregated_payload_size=sum(len(request.payload.body) for request in requests)
        )

    def StreamingOutputCall(
        self, request: pb.StreamingOutputCallRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.StreamingOutputCallResponse]:
        end_with(request.response_status, context)
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        for parameters in request.response_parameters:
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            if parameters.interval_us:
                time.sleep(parameters.interval_us / 1e6)
            yield pb.StreamingOutputCallResponse(payload=pb.Payload(body=bytes(parameters.size)))

    def FullDuplexCall(
        self, requests: Iterator[pb.StreamingOutputCallRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamingOutputCallResponse]:
        echo_metadata(context)
        for request in requests:
            yield from self.StreamingOutputCall(request, context)


class Server:
    """A grpcio server of TestService on a free port of 127.0.0.1. A context manager."""

    def __enter__(self) -> Server:
        self.server = grpc.server(futures.ThreadPoolExecutor(32), options=UNLIMITED)
        pb_grpc.add_TestServiceServicer_to_server(TestService(), self.server)
        self.port: int = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop(None).wait()
