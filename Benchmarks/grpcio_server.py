"""The gRPC server that a Python programmer would write, as a yardstick for `rota-bench`: one method that
answers with a fixed message. Usage: grpcio_server.py PORT METHOD RESPONSE_FILE"""

import sys
from concurrent import futures
from pathlib import Path

import grpc

THREADS = 16
# Its default is to refuse calls at random when more than 1,000 wait; the load has 5,000.
PENDING = 100_000


def main() -> None:
    port, method, response = sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()
    service, name = method.strip("/").split("/")
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: response)
    options = [
        ("grpc.server.max_pending_requests", PENDING),
        ("grpc.server.max_pending_requests_hard_limit", PENDING),
    ]
    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
    if server.add_insecure_port(f"127.0.0.1:{port}") == 0:
        sys.exit(f"port {port} is taken")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
