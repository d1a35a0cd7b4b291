"""The three ways to control jobs and calendars, so that one test shows what holds for each."""
from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import grpc

from cluster import Cluster
from rest import Answer
from rota_client import RotaError, calendar, messages


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class Refused(Exception):
    """A call that was refused: `code` in REST's words, and the sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class RestSurface:
    def __init__(self, cluster: Cluster) -> None:
        self.rest = cluster.servers[-1].rest

    def _ask(self, method: str, path: str, body: Any = None, if_match: str = "") -> Any:
        headers = {"if-match": f'"{if_match}"'} if if_match else None
        return checked(self.rest.request(method, path, body, headers))

    def cancel(self, job: str) -> None:
        self._ask("POST", f"/jobs/{job}/cancel")

    def pause(self, job: str, note: str = "") -> None:
        self._ask("POST", f"/jobs/{job}/pause", {"note": note} if note else None)

    def resume(self, job: str) -> None:
        self._ask("POST", f"/jobs/{job}/resume")

    def trigger(self, job: str, params: Mapping[str, str] | None = None, key: str = "") -> str:
        body = {"params": dict(params or {}), **({"idempotency_key": key} if key else {})}
        return self._ask("POST", f"/jobs/{job}/trigger", body)["run_id"]

    def skip_next(self, job: str) -> None:
        self._ask("POST", f"/jobs/{job}/skip-next")

    def update(self, job: str, cron: str, if_match: str = "") -> None:
        spec = {"noop": True, "schedules": [cron]}
        self._ask("PUT", f"/jobs/{job}", spec, if_match)

    def delete(self, job: str, if_match: str = "") -> None:
        self._ask("DELETE", f"/jobs/{job}", None, if_match)

    def put_calendar(self, name: str, days: list[str], if_match: str = "") -> str:
        return self._ask("PUT", f"/calendars/{name}", {"days": days}, if_match)["etag"]

    def calendar(self, name: str) -> list[str]:
        return self._ask("GET", f"/calendars/{name}")["days"]

    def calendars(self) -> list[str]:
        return [entry["name"] for entry in self._ask("GET", "/calendars?page_size=1000")["calendars"]]

    def delete_calendar(self, name: str) -> None:
        self._ask("DELETE", f"/calendars/{name}")


def checked(answer: Answer) -> Any:
    if answer.status >= 400:
        error = answer.json()["error"]
        raise Refused(error["code"], error["message"])
    return answer.json() if answer.body else None


class GrpcSurface:
    CODES = {
        grpc.StatusCode.ABORTED: "stale",
        grpc.StatusCode.FAILED_PRECONDITION: "failed_precondition",
        grpc.StatusCode.NOT_FOUND: "not_found",
        grpc.StatusCode.INVALID_ARGUMENT: "invalid_argument",
        grpc.StatusCode.ALREADY_EXISTS: "already_exists",
    }

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.client(cluster.servers[-1])

    def _ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        try:
            return getattr(self.client, method)(*arguments, **named)
        except RotaError as error:
            raise Refused(self.CODES[error.code], error.message) from error

    def cancel(self, job: str) -> None:
        self._ask("cancel", job)

    def pause(self, job: str, note: str = "") -> None:
        self._ask("pause", job, note=note)

    def resume(self, job: str) -> None:
        self._ask("resume", job)

    def trigger(self, job: str, params: Mapping[str, str] | None = None, key: str = "") -> str:
        return self._ask("trigger", job, params=params, idempotency_key=key).run_id

    def skip_next(self, job: str) -> None:
        self._ask("skip_next", job)

    def update(self, job: str, cron: str, if_match: str = "") -> None:
        spec = messages.JobSpec(noop={}, schedules=[messages.Schedule(cron=cron)])
        self._ask("update", job, spec, if_match=if_match)

    def delete(self, job: str, if_match: str = "") -> None:
        self._ask("delete", job, if_match=if_match)

    def put_calendar(self, name: str, days: list[str], if_match: str = "") -> str:
        return self._ask("put_calendar", name, calendar(days=days), if_match=if_match).etag

    def calendar(self, name: str) -> list[str]:
        return list(self._ask("calendar", name).spec.days)

    def calendars(self) -> list[str]:
        return [entry.name for entry in self.client.calendars(page_size=2)]

    def delete_calendar(self, name: str) -> None:
        self._ask("delete_calendar", name)


class CommandSurface:
    """The command line says the server's sentence; the code is told by what it says."""

    WORDS = {
        "stale": "has changed since",
        "not_found": "there is no",
        "already_exists": "was used for another request",
        "invalid_argument": "schedules[",
    }

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def _ask(self, *arguments: str) -> str:
        done = self.cluster.rota(*arguments, server=self.cluster.servers[-1])
        if done.returncode != 0:
            assert done.returncode == 1 and done.stderr.startswith("rota: "), done
            codes = [code for code, words in self.WORDS.items() if words in done.stderr]
            raise Refused(codes[0] if codes else "failed_precondition", done.stderr)
        return done.stdout

    def cancel(self, job: str) -> None:
        self._ask("cancel", job)

    def pause(self, job: str, note: str = "") -> None:
        self._ask("pause", job, *(["--note", note] if note else []))

    def resume(self, job: str) -> None:
        self._ask("resume", job)

    def trigger(self, job: str, params: Mapping[str, str] | None = None, key: str = "") -> str:
        flags = [word for name, value in (params or {}).items() for word in ("--param", f"{name}={value}")]
        flags += ["--idempotency-key", key] if key else []
        out = self._ask("trigger", job, *flags).strip()
        assert out.startswith(f"{job}/")
        return out.removeprefix(f"{job}/")

    def skip_next(self, job: str) -> None:
        self._ask("skip-next", job)

    def update(self, job: str, cron: str, if_match: str = "") -> None:
        self._ask("update", job, "--cron", cron, *(["--if-match", if_match] if if_match else []))

    def delete(self, job: str, if_match: str = "") -> None:
        self._ask("delete", job, *(["--if-match", if_match] if if_match else []))

    def put_calendar(self, name: str, days: list[str], if_match: str = "") -> str:
        flags = [word for day in days for word in ("--day", day)] + (["--if-match", if_match] if if_match else [])
        return json.loads(self._ask("calendar", "put", name, "-o", "json", *flags))["etag"]

    def calendar(self, name: str) -> list[str]:
        return json.loads(self._ask("calendar", "get", name, "-o", "json"))["days"]

    def calendars(self) -> list[str]:
        listing = json.loads(self._ask("calendar", "list", "-o", "json"))
        return [entry["name"] for entry in listing["calendars"]]

    def delete_calendar(self, name: str) -> None:
        self._ask("calendar", "delete", name)


Surface = RestSurface | GrpcSurface | CommandSurface
SURFACES: dict[str, type[Surface]] = {"rest": RestSurface, "grpc": GrpcSurface, "cli": CommandSurface}
