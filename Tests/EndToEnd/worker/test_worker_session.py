"""The worker's session by itself, with a leader made for the test: dead peers, GOAWAY, deposed leaders."""
from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import CHECKOUT
from processes import Child, free_port, wait_until
from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_worker import wire
from rota_worker.machine import Machine
from rota_worker.model import Assignment, AttemptRef, End, EndReason, Health
from rota_worker.session import Leader, LeaderFinder, SessionLoop

FOREVER = 1 << 60


class Leaders(LeaderFinder):
    """Knows who leads without etcd."""

    def __init__(self) -> None:
        self.leader: Leader | None = None

    async def find(self) -> Leader | None:
        return self.leader


class Core:
    """A worker's machine with a session and nothing else."""

    worker_id = "w1"
    ttl_seconds = 60  # so that the leader is not looked up in between
    is_registered = True

    def __init__(self) -> None:
        self.machine = Machine(100, ["work"])
        self.machine.new_incarnation(7)
        self.machine.lease_trusted(FOREVER, 0, 0)
        self.news = asyncio.Event()
        self.opened = 0
        self.closed: list[float] = []

    def hello(self) -> pb.AgentMessage:
        return wire.hello(self.worker_id, 7, "test", self.machine.known(), Health(), False)

    def session_opened(self, leader_epoch: int) -> bool:
        accepted = self.machine.session_opened(leader_epoch)
        self.opened += accepted
        self.news.set()
        return accepted

    def session_closed(self) -> None:
        self.machine.session_closed()
        self.closed.append(time.monotonic())

    def received(self, message: pb.ServerMessage) -> None:
        raise AssertionError(f"the fake leader says nothing: {message}")

    async def outgoing(self) -> list[pb.AgentMessage]:
        while not (messages := self.machine.take_messages()):
            self.news.clear()
            await self.news.wait()
        return [wire.message_to_wire(message) for message in messages]

    def answer_log_query(self, query: pb.LogQuery) -> pb.LogReply:
        return pb.LogReply(request=query.request)

    def finish(self, number: int) -> str:
        """A task has run and ended."""
        ref = AttemptRef("default", "job", f"run-{number}", 1, 1, 7)
        self.machine.assign([Assignment(ref, "task", "work", "", 0)], 0, 0)
        self.machine.take_effects(0, 0)
        self.machine.task_ended(ref, End(1, EndReason.EXITED))
        self.machine.take_effects(0, 0)
        self.news.set()
        return ref.run_id


def fake_leader(folder: Path, name: str, epoch: int, port: int) -> tuple[Child, Leader]:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "clients" / "python")}
    argv = [sys.executable, str(Path(__file__).with_name("fake_leader.py")), str(port), str(epoch)]
    child = Child(name, argv, folder, env)
    child.start()
    wait_until(lambda: child.log.exists() and "up" in child.log.read_text(), 20, f"{name} is up")
    return child, Leader(f"/rota/leader/{name}", epoch, name, f"127.0.0.1:{port}")


async def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        await asyncio.sleep(0.02)


@pytest.mark.alone
def test_dead_leader_is_noticed_within_ten_seconds(tmp_path: Path) -> None:
    """Its machine is gone: nothing is answered, nothing is refused, and no other leader is known."""
    child, leader = fake_leader(tmp_path, "silent", 1, free_port())

    async def check() -> None:
        core, leaders = Core(), Leaders()
        leaders.leader = leader
        loop = asyncio.create_task(SessionLoop(core, leaders, lambda: None).run())
        await until(lambda: core.opened == 1, 10, "a session")
        os.kill(child.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        await until(lambda: core.closed, 20, "the session is given up")
        assert core.closed[0] - stopped < 10.5
        os.kill(child.pid, signal.SIGCONT)
        await until(lambda: core.opened == 2, 15, "a session again")
        loop.cancel()

    try:
        asyncio.run(check())
    finally:
        child.kill()


def test_no_end_is_lost_when_leaders_go_away(tmp_path: Path) -> None:
    """Each of several leaders goes away while ends are told that it never acknowledges: the next one is told all."""
    port = free_port()

    async def check() -> None:
        core, leaders = Core(), Leaders()
        loop = asyncio.create_task(SessionLoop(core, leaders, lambda: None).run())
        told: list[str] = []
        for epoch in range(1, 4):
            child, leaders.leader = fake_leader(tmp_path, f"leader-{epoch}", epoch, port)
            try:
                await until(lambda: core.opened == epoch, 15, f"session {epoch}")
                for _ in range(20):
                    told.append(core.finish(len(told)))
                    await asyncio.sleep(0.01)
                log = child.log
                await until(lambda: set(told) <= set(log.read_text().split()), 15, f"leader {epoch} is told all")
                child.send(signal.SIGTERM)
                told.append(core.finish(len(told)))
                await until(lambda: not child.running, 15, "it has gone")
            finally:
                child.kill()
        assert core.machine.unacknowledged_count == len(told) == 63
        loop.cancel()

    asyncio.run(check())


def test_deposed_leader_is_refused(tmp_path: Path) -> None:
    new, leader = fake_leader(tmp_path, "new", 9, free_port())
    old, deposed = fake_leader(tmp_path, "old", 8, free_port())

    async def check() -> None:
        core, leaders = Core(), Leaders()
        loop = asyncio.create_task(SessionLoop(core, leaders, lambda: None).run())
        leaders.leader = leader
        await until(lambda: core.opened == 1, 10, "a session")
        leaders.leader = deposed
        new.kill()
        await until(lambda: "hello" in old.log.read_text(), 15, "the deposed leader is tried")
        core.finish(1)
        await asyncio.sleep(1)
        assert core.opened == 1 and not core.machine.has_session
        assert "status" not in old.log.read_text(), "it is told nothing"
        loop.cancel()

    try:
        asyncio.run(check())
    finally:
        new.kill()
        old.kill()
