"""grpcio as the server for the Swift client under test. Prints its port; ends when its standard input is closed."""

import sys
import time
from concurrent import futures

import grpc


def echo(request, context):
    metadata = dict(context.invocation_metadata())
    if "echo" in metadata:
        context.send_initial_metadata((("echo", metadata["echo"]),))
    if "echo-bin" in metadata:
        context.set_trailing_metadata((("echo-bin", metadata["echo-bin"]),))
    return request


def total(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def ping_pong(requests, context):
    yield from requests


def fail(request, context):
    code, _, message = request.decode().partition(" ")
    context.set_trailing_metadata((("reason", "asked"),))
    status = next(status for status in grpc.StatusCode if status.value[0] == int(code))
    context.abort(status, message)


def hang(request, context):
    while context.is_active():
        time.sleep(0.01)
    return b""


def time_left(request, context):
    return str(context.time_remaining()).encode()


def main():
    handlers = grpc.method_handlers_generic_handler(
        "test.Test",
        {
            "Echo": grpc.unary_unary_rpc_method_handler(echo),
            "Sum": grpc.stream_unary_rpc_method_handler(total),
            "Count": grpc.unary_stream_rpc_method_handler(count),
            "PingPong": grpc.stream_stream_rpc_method_handler(ping_pong),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
            "Hang": grpc.unary_unary_rpc_method_handler(hang),
            "TimeLeft": grpc.unary_unary_rpc_method_handler(time_left),
        },
    )
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    for line in sys.stdin:
        if line.strip() == "shutdown":
            server.stop(5).wait()
            print("stopped", flush=True)
    server.stop(None).wait()


main()
