"""What the interoperability tests share: the stubs of grpc.testing, the executables, and a wire tap."""
from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Self

from grpc_tools import protoc

CHECKOUT = Path(__file__).resolve().parents[3]
PROTO = CHECKOUT / "Tests" / "Interop" / "proto" / "grpc" / "testing"

# As a module of its own: below `grpc.testing`, where its package name would put it, there is grpcio itself.
_stubs = tempfile.TemporaryDirectory(prefix="rota-interop-stubs-")
if protoc.main(["", f"-I{PROTO}", f"--python_out={_stubs.name}", f"--grpc_python_out={_stubs.name}", "interop.proto"]):
    raise RuntimeError("the stubs of Tests/Interop/proto cannot be generated")
sys.path.insert(0, _stubs.name)

import interop_pb2 as pb  # noqa: E402,F401  (needs the folder above)
import interop_pb2_grpc as pb_grpc  # noqa: E402,F401

SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
INITIAL_KEY, INITIAL_VALUE = "x-grpc-test-echo-initial", "test_initial_metadata_value"
TRAILING_KEY, TRAILING_VALUE = "x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"


def executable(name: str) -> Path:
    """An executable of $ROTA_BIN, or of .build/release."""
    path = Path(os.environ.get("ROTA_BIN", CHECKOUT / ".build" / "release")) / name
    if not path.exists():
        raise RuntimeError(f"{path} is not there: run scripts/build-release, or set ROTA_BIN to the folder that has it")
    return path


class InteropServer:
    """The `interop-server` process. A context manager, which checks that SIGTERM ends it in order."""

    def __init__(self, *options: str) -> None:
        self.options = options

    def __enter__(self) -> Self:
        # Killed with the test run, even when that is killed itself.
        argv = ["setpriv", "--pdeathsig", "KILL", str(executable("interop-server")), *self.options]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port: int = json.loads(self.process.stdout.readline())["port"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            status = self.process.wait(20)
        finally:
            self.process.kill()
            if self.process.stdout:
                self.process.stdout.close()
        assert status == 0, f"interop-server ended with {status}"

    def memory(self, field: str) -> int:
        """Bytes of a field of /proc/PID/status, such as VmHWM."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
        raise AssertionError(f"no {field} in /proc/{self.process.pid}/status")


class WireTap:
    """A TCP proxy before a server, which counts: grpcio does not say which messages were compressed, bytes do."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.to_server = self.to_client = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.stopping, self.stop = socket.socketpair()
        self.selector.register(self.listener, selectors.EVENT_READ, None)
        self.selector.register(self.stopping, selectors.EVENT_READ, None)
        self.sockets: list[socket.socket] = [self.listener, self.stopping, self.stop]
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> WireTap:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.send(b"x")
        self.thread.join()
        self.selector.close()
        for each in self.sockets:
            each.close()

    def reset(self) -> None:
        self.to_server = self.to_client = 0

    def run(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.stopping:
                    return
                if key.fileobj is self.listener:
                    self.accept()
                else:
                    self.forward(key.fileobj, *key.data)

    def accept(self) -> None:
        client, _ = self.listener.accept()
        server = socket.create_connection(("127.0.0.1", self.target))
        self.sockets += [client, server]
        self.selector.register(client, selectors.EVENT_READ, (server, "to_server"))
        self.selector.register(server, selectors.EVENT_READ, (client, "to_client"))

    def forward(self, source: socket.socket, target: socket.socket, counter: str) -> None:
        try:
            data = source.recv(65536)
            target.sendall(data)
        except OSError:
            data = b""
        setattr(self, counter, getattr(self, counter) + len(data))
        if not data:
            self.selector.unregister(source)
            try:
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the other side has closed it already
