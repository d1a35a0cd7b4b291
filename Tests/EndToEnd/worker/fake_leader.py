"""A leader of its own process for tests of sessions: it says welcome and acknowledges nothing.

    python fake_leader.py PORT EPOCH

Each message of the agent is printed as one line: its kind, and for a status the run ids in it.
"""
from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc

from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_client._generated.rota.v1 import agent_session_pb2_grpc as services


class FakeLeader(services.AgentSessionServicer):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def Connect(self, requests: Iterator[pb.AgentMessage], context: grpc.ServicerContext) -> Iterator[Any]:
        for message in requests:
            kind = message.WhichOneof("message")
            print(kind, *(update.attempt.run_id for update in message.status.updates), flush=True)
            if kind == "hello":
                welcome = pb.Welcome(server_id="fake", leader_epoch=self.epoch)
                yield pb.ServerMessage(welcome=welcome)

    def Logs(self, requests: Iterator[pb.LogReply], context: grpc.ServicerContext) -> Iterator[Any]:
        for _ in requests:
            pass
        return iter(())


def main() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(8))
    services.add_AgentSessionServicer_to_server(FakeLeader(int(sys.argv[2])), server)
    assert server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}") == int(sys.argv[1])
    server.start()
    print("up", flush=True)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
    # GOAWAY, and the streams end after it.
    server.stop(0.5).wait()


main()
