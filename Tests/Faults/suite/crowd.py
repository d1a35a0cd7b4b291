"""A crowd of agents that hold a lease and a session, and run nothing: they offer a kind of work that nobody submits.

    crowd.py ETCD-URLS COUNT STATE-FILE

All their keys hang on one lease, so that they lapse at once when that is revoked. They find the leader in etcd, and whenever
their sessions end all of them connect again, as docs/AGENT_PROTOCOL.md says. The state file has the lease, how many
have a session now, and how often one was refused or lost.
"""
from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

sys.path.append(str(Path(__file__).resolve().parents[3] / "clients" / "python"))
from rota_client._generated.rota.v1 import agent_session_pb2 as messages  # noqa: E402
from rota_client._generated.rota.v1 import agent_session_pb2_grpc as stubs  # noqa: E402

LEASE_SECONDS = 600
KEYS_PER_TRANSACTION = 100
STREAMS_PER_CHANNEL = 250
TELL_SECONDS = 0.5
LOOK_SECONDS = (0.2, 1.0)
AGAIN_SECONDS = (0.1, 3.0)
WELCOME_SECONDS = 10.0
PREFIX = "crowd-"


def etcd_call(urls: list[str], path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A call of the gateway, at whichever member answers."""
    failure: OSError | None = None
    for url in urls:
        request = urllib.request.Request(f"{url}/v3/{path}", json.dumps(body).encode(), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                document: dict[str, Any] = json.load(answer)
                return document
        except OSError as error:
            failure = error
    raise failure or OSError("no member of etcd was named")


def encoded(text: str) -> str:
    """As the gateway wants bytes."""
    return base64.b64encode(text.encode()).decode()


def register(urls: list[str], names: list[str]) -> tuple[str, dict[str, int]]:
    """Writes the keys of all; the lease, and the incarnation of each."""
    lease = str(etcd_call(urls, "lease/grant", {"TTL": LEASE_SECONDS})["ID"])
    incarnations: dict[str, int] = {}
    for start in range(0, len(names), KEYS_PER_TRANSACTION):
        part = names[start : start + KEYS_PER_TRANSACTION]
        puts = []
        for name in part:
            record = {
                "worker_id": name, "host": "crowd", "slots": 1, "version": "test", "kinds": ["task"],
                "tasks": ["nobody-asks-for-this"], "started_at": "2025-01-01T00:00:00Z",
            }  # fmt: skip
            key, value = encoded(f"/rota/agents/{name}"), encoded(json.dumps(record))
            puts.append({"requestPut": {"key": key, "value": value, "lease": lease}})
        answer = etcd_call(urls, "kv/txn", {"success": puts})
        incarnations |= dict.fromkeys(part, int(answer["header"]["revision"]))
    return lease, incarnations


class Crowd:
    """All of them, and where the leader is."""

    def __init__(self, urls: list[str], incarnations: dict[str, int], lease: str, state: Path) -> None:
        self.urls, self.incarnations, self.lease, self.state = urls, incarnations, lease, state
        self.leader = ""
        self.channels: list[grpc.aio.Channel] = []
        self.connected = 0
        self.ended = 0

    async def run(self) -> None:
        """Until it is killed."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.follow_leader(tasks))
            tasks.create_task(self.tell())
            for index, (name, incarnation) in enumerate(self.incarnations.items()):
                tasks.create_task(self.stay(index // STREAMS_PER_CHANNEL, name, incarnation))

    async def follow_leader(self, tasks: asyncio.TaskGroup) -> None:
        """Looks who leads; new channels for a new leader."""
        query = {
            "key": encoded("/rota/leader/"), "range_end": encoded("/rota/leader0"), "limit": "1",
            "sort_order": "ASCEND", "sort_target": "CREATE", "serializable": True,
        }  # fmt: skip
        while True:
            try:
                answer = await asyncio.to_thread(etcd_call, self.urls, "kv/range", query)
                found = [json.loads(base64.b64decode(pair["value"])) for pair in answer.get("kvs", [])]
            except (OSError, ValueError):
                found = []
            address = found[0]["grpc_address"] if found else self.leader
            if address != self.leader:
                old, self.leader = self.channels, address
                options = [("grpc.use_local_subchannel_pool", 1), ("grpc.keepalive_time_ms", 5000)]
                count = -(-len(self.incarnations) // STREAMS_PER_CHANNEL)
                self.channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]
                # Sessions with the old leader end as they would without us; some seconds later nobody needs these.
                for channel in old:
                    tasks.create_task(close_later(channel))
            await asyncio.sleep(random.uniform(*LOOK_SECONDS))

    async def tell(self) -> None:
        """Writes down how it stands."""
        while True:
            told = {"lease": self.lease, "connected": self.connected, "ended": self.ended, "leader": self.leader}
            new = self.state.with_suffix(".new")
            new.write_text(json.dumps(told))
            new.rename(self.state)
            await asyncio.sleep(TELL_SECONDS)

    async def stay(self, channel: int, name: str, incarnation: int) -> None:
        """One agent: connects, and again."""
        pause = AGAIN_SECONDS[0]
        while True:
            welcomed = False
            try:
                if self.channels:
                    call = stubs.AgentSessionStub(self.channels[channel]).Connect()
                    async with asyncio.timeout(WELCOME_SECONDS):
                        await call.write(messages.AgentMessage(hello=messages.Hello(worker_id=name, incarnation=incarnation)))
                        first = await call.read()
                    if first is not grpc.aio.EOF:
                        welcomed = True
                        self.connected += 1
                        while await call.read() is not grpc.aio.EOF:
                            pass  # it runs nothing, whatever it is told
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError):
                pass  # refused, lost, or the channel was closed for a new leader: it is counted, and tried again
            if welcomed:
                self.connected -= 1
                pause = AGAIN_SECONDS[0]
            self.ended += 1
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, AGAIN_SECONDS[1])


async def close_later(channel: grpc.aio.Channel) -> None:
    """Ends what is left on it."""
    await asyncio.sleep(WELCOME_SECONDS)
    await channel.close(None)


async def main(urls: str, count: str, state: str) -> None:
    members = urls.split(",")
    lease, incarnations = register(members, [f"{PREFIX}{number:05}" for number in range(int(count))])
    await Crowd(members, incarnations, lease, Path(state)).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
