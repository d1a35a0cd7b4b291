"""Always has, or looks for, a session with the leader."""
from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

from rota_client._generated.rota.v1 import agent_session_pb2 as pb

from . import limits
from .clock import jittered
from .etcd import Etcd, EtcdError, KeyValue

log = logging.getLogger("rota_worker.session")

_CONNECT = "/rota.v1.AgentSession/Connect"
_LOGS = "/rota.v1.AgentSession/Logs"
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", limits.MESSAGE_BYTES),
    ("grpc.max_send_message_length", limits.MESSAGE_BYTES),
    # A dead peer is noticed within 10 s.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    # Without this the answer to a keepalive's ping is waited for much longer.
    ("grpc.http2.ping_timeout_ms", 4_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Waits between connections are the session's business.
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class Leader:
    """The server that leads, and the key that says so."""

    key: str
    create_revision: int
    server_id: str
    address: str


class SessionEnd(Exception):
    """Why a session ended, or did not begin."""


class Core(Protocol):
    """What a session needs of the worker; all in the thread of the event loop."""

    worker_id: str
    ttl_seconds: int

    @property
    def is_registered(self) -> bool:
        """Whether there is an incarnation."""

    def hello(self) -> pb.AgentMessage | None:
        """None while there is no incarnation."""

    def session_opened(self, leader_epoch: int) -> bool: ...

    def session_closed(self) -> None: ...

    def received(self, message: pb.ServerMessage) -> None: ...

    async def outgoing(self) -> list[pb.AgentMessage]:
        """Waits for something to say; raises `SessionEnd` when the incarnation ends."""

    def answer_log_query(self, query: pb.LogQuery) -> pb.LogReply: ...


class LeaderFinder:
    """The holder of the oldest key under `leader/`."""

    def __init__(self, connect: Callable[[], Etcd], prefix: str) -> None:
        self._etcd = connect()
        self._prefix = f"{prefix}/leader/"
        # One connection, one question at a time; a question whose asker was cancelled goes on in its thread.
        self._lock = threading.Lock()

    async def find(self) -> Leader | None:
        """None while nobody leads; raises `EtcdError` when etcd does not answer."""
        found = await asyncio.to_thread(self._ask)
        if found is None:
            return None
        try:
            record = json.loads(found.value)
            return Leader(found.key, found.create_revision, str(record["server_id"]), str(record["grpc_address"]))
        except (ValueError, KeyError, TypeError) as error:
            raise EtcdError(f"the leader's record {found.key} cannot be read: {error!r}") from error

    def _ask(self) -> KeyValue | None:
        with self._lock:
            return self._etcd.oldest(self._prefix)


class SessionLoop:
    """Looks often at first, since work waits for workers to be back after a leader was lost, then more seldom."""

    def __init__(
        self, core: Core, finder: LeaderFinder, credentials: Callable[[], grpc.ChannelCredentials | None]
    ) -> None:
        """`credentials` is asked for each connection, since certificates change; None is for one without TLS."""
        self._core = core
        self._finder = finder
        self._credentials = credentials
        self._poll = self._first_poll

    @property
    def _first_poll(self) -> float:
        return self._core.ttl_seconds / 30

    async def run(self) -> None:
        """Until cancelled."""
        last: Leader | None = None
        wait = limits.RECONNECT_MIN_SECONDS
        lost_at = time.monotonic()
        while True:
            leader = await self._look()
            if leader is None or not self._core.is_registered:
                await self._pause(lost_at)
                continue
            # A new leader is tried at once, the same one again with growing waits.
            if leader == last:
                await asyncio.sleep(jittered(wait))
                wait = min(2 * wait, limits.RECONNECT_MAX_SECONDS)
                # While that was waited for another one may have come.
                if await self._look() not in (leader, None):
                    continue
            else:
                wait = limits.RECONNECT_MIN_SECONDS
            last = leader
            began = time.monotonic()
            why = await self._session(leader)
            log.warning("no session with %s at %s: %s", leader.server_id, leader.address, why)
            if time.monotonic() - began > limits.STEADY_SESSION_SECONDS:
                wait = limits.RECONNECT_MIN_SECONDS
                self._poll = self._first_poll
                lost_at = time.monotonic()

    async def _pause(self, lost_at: float) -> None:
        if time.monotonic() - lost_at > limits.POLL_PATIENCE_SECONDS:
            self._poll = min(2 * self._poll, self._core.ttl_seconds / 3)
        await asyncio.sleep(jittered(self._poll))

    async def _look(self) -> Leader | None:
        try:
            return await self._finder.find()
        except EtcdError as error:
            log.debug("the leader cannot be looked up: %s", error)
            return None

    def _channel(self, address: str) -> grpc.aio.Channel:
        credentials = self._credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)

    async def _session(self, leader: Leader) -> str:
        """One connection: the session and the log stream on it, until either ends or the leader changes."""
        try:
            channel = self._channel(leader.address)
        except OSError as error:
            return f"a certificate cannot be read: {error}"
        jobs = [
            asyncio.create_task(job)
            for job in (self._converse(channel), self._serve_logs(channel), self._watch(leader))
        ]
        try:
            # Whatever ends first ends all.
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            return _reason(done)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            self._core.session_closed()
            await channel.close()

    async def _converse(self, channel: grpc.aio.Channel) -> None:
        hello = self._core.hello()
        if hello is None:
            raise SessionEnd("the worker has no incarnation")
        call: Any = channel.stream_stream(
            _CONNECT,
            request_serializer=pb.AgentMessage.SerializeToString,
            response_deserializer=pb.ServerMessage.FromString,
        )()
        await call.write(hello)
        try:
            first = await asyncio.wait_for(call.read(), limits.WELCOME_SECONDS)
        except asyncio.TimeoutError:
            raise SessionEnd(f"no welcome within {limits.WELCOME_SECONDS:g} s") from None
        if first is grpc.aio.EOF:
            raise SessionEnd(f"{(await call.code()).name}: {await call.details()}")
        if first.WhichOneof("message") != "welcome":
            raise SessionEnd("the leader's first message is no welcome")
        if not self._core.session_opened(first.welcome.leader_epoch):
            raise SessionEnd(f"its epoch {first.welcome.leader_epoch} is older than one that was seen")
        log.info("session with %s, epoch %d", first.welcome.server_id, first.welcome.leader_epoch)
        writing = asyncio.create_task(self._write(call))
        try:
            await _first(self._read(call), writing)
        finally:
            call.cancel()

    async def _write(self, call: Any) -> None:
        while True:
            for message in await self._core.outgoing():
                await call.write(message)

    async def _read(self, call: Any) -> None:
        while (message := await call.read()) is not grpc.aio.EOF:
            self._core.received(message)
        raise SessionEnd(f"{(await call.code()).name}: {await call.details()}")

    async def _serve_logs(self, channel: grpc.aio.Channel) -> None:
        call: Any = channel.stream_stream(
            _LOGS,
            request_serializer=pb.LogReply.SerializeToString,
            response_deserializer=pb.LogQuery.FromString,
        )()
        try:
            await call.write(pb.LogReply(request=0, error=self._core.worker_id))
            while (query := await call.read()) is not grpc.aio.EOF:
                await call.write(self._core.answer_log_query(query))
            raise SessionEnd("the leader has ended the log stream")
        finally:
            call.cancel()

    async def _watch(self, leader: Leader) -> None:
        """Ends when another server leads: pings notice a dead connection, this a live one to a deposed leader."""
        while True:
            await asyncio.sleep(jittered(self._core.ttl_seconds / 3))
            # When etcd does not answer, the present leader is as good as any.
            now = await self._look()
            if now is not None and now != leader:
                raise SessionEnd("another server leads now")


async def _first(*work: Awaitable[None]) -> None:
    """Runs all until the first ends, and raises what it raised."""
    jobs = [asyncio.ensure_future(job) for job in work]
    try:
        done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        for job in done:
            job.result()
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


def _reason(done: set[asyncio.Task[None]]) -> str:
    for job in done:
        error = job.exception()
        if isinstance(error, grpc.aio.AioRpcError):
            return f"{error.code().name}: {error.details()}"
        if error is not None:
            return str(error) or type(error).__name__
    return "the session was closed"
