"""A proxy between one server and etcd's gateway that can break the rules: for one fault, and to show checkers failing.

    etcd_proxy.py LISTEN TARGETS MODE-FILE SEEN-FILE

It speaks HTTP/1.1 both ways and knows the gateway's messages. The mode file says what it does (JSON):

- `drop_watch`: the share of watch events that are swallowed, 0 to 1; later events go through, so that nobody can tell
- `strip`: transactions lose their guards on keys that contain one of these words; an election keeps its own
- `hold`: transactions wait until this is over, and then arrive at etcd, however late
- `refuse_lists`: listings of more than one key are refused, so that nothing heals what a watch dropped
"""
from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MAX_HEAD = 64 << 10
CONNECT_SECONDS = 1.0
SEEN_SECONDS = 0.3
HOLD_PAUSE = 0.02

Headers = list[tuple[str, str]]


class Proxy:
    """All connections of one server."""

    def __init__(self, targets: list[str], mode_file: Path, seen_file: Path) -> None:
        self.targets = targets
        self.mode_file = mode_file
        self.seen_file = seen_file
        self.seen: Counter[str] = Counter()
        self.current = 0
        self._mode: dict[str, Any] = {}
        self._mode_time = 0

    @property
    def mode(self) -> dict[str, Any]:
        """What is asked for now."""
        try:
            stamp = self.mode_file.stat().st_mtime_ns
            if stamp != self._mode_time:
                self._mode, self._mode_time = json.loads(self.mode_file.read_text()), stamp
        except (OSError, ValueError):
            pass
        return self._mode

    async def tell(self) -> None:
        """Writes down what was seen, again and again."""
        told: Counter[str] = Counter()
        while True:
            await asyncio.sleep(SEEN_SECONDS)
            if self.seen != told:
                told = Counter(self.seen)
                self.seen_file.write_text(json.dumps(told))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a member that takes one."""
        for _ in self.targets:
            host, _, port = self.targets[self.current].rpartition(":")
            try:
                return await asyncio.wait_for(asyncio.open_connection(host, int(port)), CONNECT_SECONDS)
            except (OSError, TimeoutError):
                self.current = (self.current + 1) % len(self.targets)
        raise ConnectionError("no member of etcd takes a connection")

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """One connection of the server's: its requests, one after the other, on one connection to etcd."""
        upstream: asyncio.StreamWriter | None = None
        try:
            reader, upstream = await self.connect()
            while True:
                line, headers = await read_head(client)
                body = self.rewrite(line, await read_body(client, headers))
                await self.hold(line)
                if body is None:
                    await refuse(answer)
                    continue
                upstream.write(head(line, with_length(headers, len(body))) + body)
                await upstream.drain()
                await self.relay_answer(line, reader, answer)
        except (OSError, EOFError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one side is gone: the other one is told by the closed connection
        finally:
            for writer in (upstream, answer):
                if writer is not None:
                    writer.close()

    async def hold(self, line: str) -> None:
        """As a network does that delivers a packet seconds later; its sender may be gone by then."""
        if line.split(" ")[1].endswith("/kv/txn") and self.mode.get("hold"):
            self.seen["held"] += 1
            while self.mode.get("hold"):
                await asyncio.sleep(HOLD_PAUSE)

    def rewrite(self, line: str, body: bytes) -> bytes | None:
        """The request as etcd gets it; None when it is refused."""
        path = line.split(" ")[1]
        mode = self.mode
        if path.endswith("/kv/txn") and mode.get("strip"):
            return self.strip(body, mode["strip"])
        if path.endswith("/kv/range") and mode.get("refuse_lists"):
            request = json.loads(body)
            if request.get("range_end") and b"/leader/" not in base64.b64decode(request["key"]):
                self.seen["refused"] += 1
                return None
        return body

    def strip(self, body: bytes, words: list[str]) -> bytes:
        """A transaction without some of its guards."""
        request = json.loads(body)
        written = {operation.get("request_put", {}).get("key") for operation in request.get("success", [])}
        guards = request.get("compare", [])
        kept = []
        for guard in guards:
            key = base64.b64decode(guard["key"]).decode()
            is_election = "/leader/" in key and guard["key"] in written
            if is_election or not any(word in key for word in words):
                kept.append(guard)
        self.seen["stripped"] += len(guards) - len(kept)
        return json.dumps({**request, "compare": kept}).encode()

    async def relay_answer(self, line: str, reader: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        status, headers = await read_head(reader)
        chunked = any(name.lower() == "transfer-encoding" and "chunked" in value for name, value in headers)
        if not chunked:
            body = await read_body(reader, headers)
            answer.write(head(status, headers) + body)
            await answer.drain()
            return
        answer.write(head(status, headers))
        is_watch = line.split(" ")[1].endswith("/watch")
        pending = b""
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            data = await reader.readexactly(size)
            await reader.readexactly(2)
            if is_watch and size:
                pending += data
                whole = pending.rfind(b"\n") + 1
                data, pending = self.filter(pending[:whole]), pending[whole:]
                if not data:
                    continue
            answer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await answer.drain()
            if size == 0:
                return

    def filter(self, lines: bytes) -> bytes:
        """Messages of a watch, some of their events taken out."""
        share = self.mode.get("drop_watch", 0)
        if not share:
            return lines
        kept = []
        for line in lines.splitlines(keepends=True):
            if not line.strip():
                continue
            message = json.loads(line)
            events = message.get("result", {}).get("events")
            if events:
                left = [event for event in events if not droppable(event) or random.random() >= share]
                self.seen["dropped"] += len(events) - len(left)
                if not left:
                    continue
                message["result"]["events"] = left
            kept.append(json.dumps(message).encode() + b"\n")
        return b"".join(kept)


def droppable(event: dict[str, Any]) -> bool:
    """Only news of jobs and runs is dropped: it is what a listing has to bring back."""
    key = base64.b64decode(event.get("kv", {}).get("key", "")).decode()
    return "/runs/" in key or "/jobs/" in key


async def read_head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    """The first line and the headers."""
    data = await reader.readuntil(b"\r\n\r\n")
    first, *rest = data.decode("latin-1").split("\r\n")[:-2]
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    return first, headers


async def read_body(reader: asyncio.StreamReader, headers: Headers) -> bytes:
    """A body with a length; none without one."""
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    return await reader.readexactly(length) if length else b""


def with_length(headers: Headers, length: int) -> Headers:
    """The headers of a body of that length."""
    return [(name, value) for name, value in headers if name.lower() != "content-length"] + [
        ("Content-Length", str(length))
    ]


def head(line: str, headers: Headers) -> bytes:
    """As it goes over the wire."""
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


async def refuse(answer: asyncio.StreamWriter) -> None:
    """What an etcd that is overloaded says."""
    body = b'{"error":"etcdserver: too many requests","code":8,"message":"etcdserver: too many requests"}'
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    answer.write(head("HTTP/1.1 429 Too Many Requests", headers) + body)
    await answer.drain()


async def main(listen: str, targets: str, mode_file: str, seen_file: str) -> None:
    members = [urlsplit(target).netloc for target in targets.split(",")]
    proxy = Proxy(members, Path(mode_file), Path(seen_file))
    host, _, port = listen.rpartition(":")
    server = await asyncio.start_server(proxy.serve, host, int(port), limit=MAX_HEAD)
    async with server, asyncio.TaskGroup() as tasks:
        tasks.create_task(proxy.tell())
        tasks.create_task(server.serve_forever())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
