"""An honest client in a process of its own, which calls a server all the time while somebody else abuses it.

As a script, `bystander.py PORT` calls EmptyCall with grpcio, one call after the other. For each line on its input it
prints what the calls since the last line came to, as JSON.
"""
from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

CALL_SECONDS = 10.0


@dataclass
class Calls:
    """Calls of a stretch of time. Latencies in seconds."""

    count: int
    p50: float
    p99: float
    failures: list[str]

    def __str__(self) -> str:
        return f"{self.count} calls, p50 {self.p50 * 1e3:.1f} ms, p99 {self.p99 * 1e3:.1f} ms"


class Bystander:
    """The process, from the test's side. A context manager."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __enter__(self) -> Bystander:
        argv = ["setpriv", "--pdeathsig", "KILL", sys.executable, __file__, str(self.port)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.calls()  # it is connected
        return self

    def calls(self) -> Calls:
        """The calls since the last time."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return Calls(**json.loads(self.process.stdout.readline()))

    def watch(self, seconds: float) -> Calls:
        self.calls()
        time.sleep(seconds)
        return self.calls()

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def main(port: int) -> None:
    import grpc

    lock = threading.Lock()
    latencies: list[float] = []
    failures: list[str] = []
    called = threading.Event()

    def call_on() -> None:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            empty_call = channel.unary_unary("/grpc.testing.TestService/EmptyCall")
            while True:
                begin = time.monotonic()
                failure = None
                try:
                    assert empty_call(b"", timeout=CALL_SECONDS) == b""
                except grpc.RpcError as error:
                    failure = f"{error.code()}: {error.details()}"
                with lock:
                    latencies.append(time.monotonic() - begin)
                    if failure:
                        failures.append(failure)
                called.set()
                time.sleep(0.002)

    threading.Thread(target=call_on, daemon=True).start()
    for _ in sys.stdin:
        called.wait()
        with lock:
            ordered, failed = sorted(latencies) or [0.0], list(failures)
            latencies.clear()
            failures.clear()
        at = [ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.99)]
        print(json.dumps({"count": len(ordered), "p50": at[0], "p99": at[1], "failures": failed[:5]}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
