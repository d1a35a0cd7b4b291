"""A gRPC proxy that loses answers: the server has done what it was asked, and the caller hears nothing of it."""
from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc


class LosingProxy:
    """Passes unary calls on to a server. Of the methods in `lose` it keeps so many answers to itself."""

    def __init__(self, target: str) -> None:
        self.lose: Counter[str] = Counter()
        """How many answers to each method are still to be lost, by the method's name: "Update"."""
        self.calls: Counter[str] = Counter()
        """How many calls of each method have come in."""
        self._channel = grpc.insecure_channel(target)
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((_Relay(self),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> LosingProxy:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def relay(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        name = method.rsplit("/", 1)[1]
        self.calls[name] += 1
        try:
            answer = self._channel.unary_unary(method)(request, timeout=20)
        except grpc.RpcError as error:
            context.set_trailing_metadata(error.trailing_metadata() or ())
            context.abort(error.code(), error.details() or "")
        if self.lose[name] > 0:
            self.lose[name] -= 1
            # What a client is told when the connection ends before the answer.
            context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")
        return answer


class _Relay(grpc.GenericRpcHandler):
    def __init__(self, proxy: LosingProxy) -> None:
        self._proxy = proxy

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        return grpc.unary_unary_rpc_method_handler(lambda request, context: self._proxy.relay(method, request, context))
