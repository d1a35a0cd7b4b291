"""The three ways to ask for a backfill, and what `etcdctl watch` has seen of one."""
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

from cluster import Cluster, Server
from processes import wait_until
from rota_client import RotaError, messages
from surfaces import Refused, checked
from witness import RunWatch

TERMINAL = ("completed", "failed", "cancelled")


@dataclass(frozen=True)
class Asked:
    """What a backfill is asked for; times are as REST takes them."""

    start: str
    end: str
    order: str = "oldest_first"
    parallelism: int = 1
    params: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    dry_run: bool = False


@dataclass(frozen=True)
class Told:
    """How a backfill stands, whichever way it was asked."""

    id: str
    state: str
    occurrences: int
    created: int
    existing: int
    preview: tuple[str, ...]
    finished: bool


class RestBackfills:
    def __init__(self, server: Server) -> None:
        self.rest = server.rest

    def start(self, job: str, asked: Asked) -> Told:
        body = {"from": asked.start, "to": asked.end, "order": asked.order, "parallelism": asked.parallelism}
        body |= {"params": dict(asked.params), "dry_run": asked.dry_run}
        if asked.id:
            body["backfill_id"] = asked.id
        answer = self.rest.post(f"/jobs/{job}/backfills", body)
        told = told_of(checked(answer))
        assert answer.status == (200 if asked.dry_run else 201)
        return told

    def get(self, job: str, backfill: str) -> Told:
        return told_of(checked(self.rest.get(f"/jobs/{job}/backfills/{backfill}")))

    def list(self, job: str) -> list[Told]:
        return [told_of(entry) for entry in checked(self.rest.get(f"/jobs/{job}/backfills"))["backfills"]]

    def cancel(self, job: str, backfill: str) -> Told:
        return told_of(checked(self.rest.post(f"/jobs/{job}/backfills/{backfill}/cancel", None)))


class CommandBackfills:
    def __init__(self, cluster: Cluster, server: Server) -> None:
        self.cluster, self.server = cluster, server

    def _ask(self, *arguments: str) -> Any:
        done = self.cluster.rota("backfill", *arguments, "-o", "json", server=self.server)
        if done.returncode != 0:
            raise Refused(f"exit {done.returncode}", done.stderr)
        return json.loads(done.stdout)

    def start(self, job: str, asked: Asked) -> Told:
        flags = ["--from", asked.start, "--to", asked.end, "--order", asked.order]
        flags += ["--parallelism", str(asked.parallelism)]
        flags += [word for name, value in asked.params.items() for word in ("--param", f"{name}={value}")]
        flags += ["--backfill-id", asked.id] if asked.id else []
        return told_of(self._ask("create", job, *flags, *(["--dry-run"] if asked.dry_run else [])))

    def get(self, job: str, backfill: str) -> Told:
        return told_of(self._ask("get", job, backfill))

    def list(self, job: str) -> list[Told]:
        return [told_of(entry) for entry in self._ask("list", job)["backfills"]]

    def cancel(self, job: str, backfill: str) -> Told:
        return told_of(self._ask("cancel", job, backfill))


def told_of(entry: Mapping[str, Any]) -> Told:
    return Told(
        entry.get("backfill_id", ""), entry["state"], entry["occurrences"], entry["created"], entry["existing"],
        tuple(entry.get("preview", ())), "finished_at" in entry,
    )


class GrpcBackfills:
    CODES = {
        grpc.StatusCode.INVALID_ARGUMENT: "invalid_argument",
        grpc.StatusCode.FAILED_PRECONDITION: "failed_precondition",
        grpc.StatusCode.ALREADY_EXISTS: "already_exists",
        grpc.StatusCode.NOT_FOUND: "not_found",
    }

    def __init__(self, cluster: Cluster, server: Server) -> None:
        self.client = cluster.client(server)

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self.client, method)(*arguments)
        except RotaError as error:
            fields = ", ".join(violation.field for violation in error.violations)
            raise Refused(self.CODES[error.code], f"{fields}: {error.message}") from error

    def start(self, job: str, asked: Asked) -> Told:
        request = messages.CreateBackfillRequest(
            job_id=job, backfill_id=asked.id, parallelism=asked.parallelism, params=asked.params, dry_run=asked.dry_run,
            order=messages.BackfillOrder.Value(f"BACKFILL_ORDER_{asked.order.upper()}"),
        )
        getattr(request, "from").FromJsonString(asked.start)
        request.to.FromJsonString(asked.end)
        return self._told(self._ask("backfill", request))

    def get(self, job: str, backfill: str) -> Told:
        return self._told(self._ask("get_backfill", job, backfill))

    def list(self, job: str) -> list[Told]:
        return [self._told(entry) for entry in self._ask("backfills", job)]

    def cancel(self, job: str, backfill: str) -> Told:
        return self._told(self._ask("cancel_backfill", job, backfill))

    @staticmethod
    def _told(entry: messages.Backfill) -> Told:
        state = messages.BackfillState.Name(entry.state).removeprefix("BACKFILL_STATE_").lower()
        return Told(
            entry.backfill_id, state, entry.occurrences, entry.created, entry.existing,
            tuple(time.ToJsonString() for time in entry.preview), entry.HasField("finished_at"),
        )


Backfills = RestBackfills | CommandBackfills | GrpcBackfills
WAYS = ("rest", "grpc", "cli")


def backfills(way: str, cluster: Cluster, server: Server | None = None) -> Backfills:
    """One way to ask, at one server: the last by default, which tests reach least."""
    server = server or cluster.servers[-1]
    if way == "rest":
        return RestBackfills(server)
    return GrpcBackfills(cluster, server) if way == "grpc" else CommandBackfills(cluster, server)


def wait_state(ask: Backfills, job: str, backfill: str, state: str = "completed", seconds: float = 30) -> Told:
    """The backfill, once it is in that state."""

    def reached() -> Told | None:
        try:
            told = ask.get(job, backfill)
        except Refused as refused:
            if refused.code == "not_found":
                raise
            return None  # the server finds no majority, or its leader, while one is being replaced
        return told if told.state == state else None

    return wait_until(reached, seconds, f"backfill {job}/{backfill} is {state}")


def most_unfinished(watch: RunWatch, job: str, backfill: str) -> int:
    """How many runs of a backfill were unfinished at a time, at most, by the order of etcd's revisions."""
    unfinished: set[str] = set()
    by_revision: dict[int, list[tuple[str, str]]] = {}
    for key, record, value in watch.changes():
        if f"/{job}/" in key and record.get("backfill_id") == backfill:
            by_revision.setdefault(value["mod_revision"], []).append((key, record["state"]))
    most = 0
    for revision in sorted(by_revision):
        for key, state in by_revision[revision]:
            (unfinished.discard if state in TERMINAL else unfinished.add)(key)
        most = max(most, len(unfinished))
    return most
