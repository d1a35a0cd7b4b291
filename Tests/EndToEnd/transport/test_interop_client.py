"""gRPC's interoperability cases with `interop-client` as the client: against grpcio as the server, and against a scripted
peer for what no real server does on demand.

The names are those of grpc/doc/interop-test-descriptions.md and http2-interop-test-descriptions.md."""
from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from interop import WireTap, executable
from interop_service import Server
from scripted_server import SCRIPTS, ScriptedServer

TIMEOUT = 60

CASES = """
empty_unary large_unary client_streaming server_streaming ping_pong empty_stream custom_metadata
status_code_and_message special_status_message unimplemented_method unimplemented_service cancel_after_begin
cancel_after_first_response timeout_on_sleeping_server concurrent_large_unary server_compressed_unary
server_compressed_streaming gzip_bomb
""".split()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def run_client(case: str, port: int) -> str:
    """Runs a case, which has to succeed. What the client logged."""
    argv = [str(executable("interop-client")), case, "127.0.0.1", str(port)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"ok {case}\n"
    return done.stderr


@pytest.mark.parametrize("case", CASES)
def test_against_grpcio(case: str, server: Server) -> None:
    run_client(case, server.port)


@pytest.mark.parametrize("case, least, most", [
    # What is compressed counts as nothing; the first of two calls, and the second of two messages.
    ("client_compressed_unary", 271828, 271828 + 10_000),
    ("client_compressed_streaming", 45904, 45904 + 10_000),
])
def test_compressed_against_grpcio(case: str, least: int, most: int, server: Server) -> None:
    with WireTap(server.port) as tap:
        run_client(case, tap.port)
        assert least < tap.to_server < most


@pytest.mark.parametrize("case", sorted(SCRIPTS))
def test_against_scripted_peer(case: str) -> None:
    with ScriptedServer(SCRIPTS[case]) as server:
        log = run_client(case, server.port)
        server.check()
    print(log)
