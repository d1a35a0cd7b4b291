"""Thousands of agents that connect to a leader at once."""
from __future__ import annotations

import asyncio
import base64
import json
import random
import time
import urllib.request
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from cluster import Cluster
from rota_client._generated.rota.v1 import agent_session_pb2 as session
from rota_client._generated.rota.v1 import agent_session_pb2_grpc as stubs

AGENTS = 2_000
AGENTS_PER_SECOND = 100  # far fewer than this test asks for
STREAMS_PER_CHANNEL = 250
CONNECT_SECONDS = 90.0
MEMORY_BYTES_PER_AGENT = 100_000


def etcd_call(url: str, path: str, body: dict) -> dict:
    request = urllib.request.Request(f"{url}/v3/{path}", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def register(url: str, names: list[str]) -> dict[str, int]:
    """Writes the agents' keys, all on one lease, a hundred in a transaction; their create revisions."""
    lease = etcd_call(url, "lease/grant", {"TTL": 600})["ID"]
    created: dict[str, int] = {}
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        puts = []
        for name in part:
            record = {"worker_id": name, "host": "h", "slots": 1, "version": "t", "started_at": "2025-01-01T00:00:00Z"}
            put = {"key": encoded(f"/rota/agents/{name}"), "value": encoded(json.dumps(record)), "lease": lease}
            puts.append({"requestPut": put})
        answer = etcd_call(url, "kv/txn", {"success": puts})
        created |= dict.fromkeys(part, int(answer["header"]["revision"]))
    return created


@dataclass
class Tally:
    refusals: int = 0
    waits: list[float] = field(default_factory=list)
    welcomed: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)


async def agent(stub: stubs.AgentSessionStub, name: str, incarnation: int, tally: Tally, over: asyncio.Event) -> None:
    """Connects, and again when it is told to, as the protocol says."""
    while not over.is_set():
        call = stub.Connect()
        try:
            await call.write(session.AgentMessage(hello=session.Hello(worker_id=name, incarnation=incarnation)))
            first = await call.read()
            if first is not grpc.aio.EOF:
                assert first.HasField("welcome"), first
                tally.welcomed.add(name)
                await over.wait()
                call.cancel()
                return
            code = await call.code()
        except grpc.aio.AioRpcError as error:
            code = error.code()
        if code != grpc.StatusCode.RESOURCE_EXHAUSTED:
            tally.failures.append(f"{code}: {await call.details()}")
            return
        wait = await retry_delay(call)
        tally.refusals += 1
        tally.waits.append(wait)
        await asyncio.sleep(wait * random.uniform(1, 1.2))


async def retry_delay(call) -> float:
    """What `google.rpc.RetryInfo` says, seconds."""
    trailing = {key: value for key, value in await call.trailing_metadata()}
    details = rpc_status.status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert details.details[0].Unpack(info)
    return info.retry_delay.ToTimedelta().total_seconds()


async def connect_all(address: str, created: dict[str, int]) -> tuple[Tally, float]:
    tally, over = Tally(), asyncio.Event()
    names = list(created)
    count = -(-len(names) // STREAMS_PER_CHANNEL)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(count)]
    begun = time.monotonic()
    tasks = [
        asyncio.create_task(
            agent(stubs.AgentSessionStub(channels[index % count]), name, created[name], tally, over)
        )
        for index, name in enumerate(names)
    ]
    while len(tally.welcomed) + len(tally.failures) < len(names) and time.monotonic() - begun < CONNECT_SECONDS:
        await asyncio.sleep(0.1)
    took = time.monotonic() - begun
    over.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    for channel in channels:
        await channel.close(None)
    return tally, took


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.mark.alone
def test_thousands_connect_at_once():
    with Cluster(servers=1, agents=1, server_flags=["--agent-rate", str(AGENTS_PER_SECOND)]) as cluster:
        created = register(cluster.etcd.url, [f"many-{number:05}" for number in range(AGENTS)])
        before = resident_bytes(cluster.servers[0].pid)
        tally, took = asyncio.run(connect_all(cluster.servers[0].grpc, created))
        grown = resident_bytes(cluster.servers[0].pid) - before
        waits = sorted(tally.waits) or [0.0]
        print(
            f"{AGENTS} agents in {took:.1f} s, {tally.refusals} refusals, waits up to {waits[-1]:.1f} s, "
            f"{grown / AGENTS / 1024:.0f} KiB for each"
        )
        assert not tally.failures, tally.failures[:3]
        assert len(tally.welcomed) == AGENTS
        assert took > (AGENTS - AGENTS_PER_SECOND) / AGENTS_PER_SECOND * 0.9, "they were let in faster than was said"
        # Each has its turn: hardly anybody is sent away twice.
        assert 0 < tally.refusals < 2 * AGENTS
        assert all(0 < wait <= 30 for wait in tally.waits)
        assert grown < AGENTS * MEMORY_BYTES_PER_AGENT
        # The real agent was not disturbed, and the server still works.
        assert cluster.rota("submit", "--wait", "--", "true").returncode == 0
