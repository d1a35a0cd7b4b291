"""Clients whose every call goes into the history, with what is known of its outcome."""
from __future__ import annotations

import http.client
import time
from typing import Any
from urllib.parse import quote

from rest import Answer

from .history import HistoryWriter
from .members import ServerNode

CALL_SECONDS = 8.0
# Nothing was done, says the server; whatever else is not a success may have been done.
CERTAINLY_NOT = {400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429, 507}


class RecordedClient:
    """REST calls to any server."""

    def __init__(self, history: HistoryWriter) -> None:
        self.history = history

    def submit(
        self, server: ServerNode, marker: str, body: dict[str, Any], key: str, lose_answer: bool = False
    ) -> str | None:
        """The job that an acknowledged submission was answered with; None for any other outcome, and for an answer that
        is lost on its way."""
        headers = {"Idempotency-Key": key} if key else {}
        outcome, answer, record = self._call(server, "POST", "/jobs", body, headers)
        if lose_answer and outcome == "ok":
            outcome = record["outcome"] = "unknown"
        job: str | None = answer.json()["job_id"] if outcome == "ok" and answer else None
        self.history.add("op", op="submit", marker=marker, job=job, **record)
        return job

    def cancel(self, server: ServerNode, job: str) -> str:
        """The outcome of a cancellation."""
        outcome, _, record = self._call(server, "POST", f"/jobs/{quote(job)}/cancel", None, {})
        self.history.add("op", op="cancel", job=job, **record)
        return outcome

    def retry(self, server: ServerNode, job: str, key: str) -> str | None:
        """The run that an acknowledged request to run the newest failed one again has made; None for any other outcome."""
        outcome, answer, record = self._call(
            server, "POST", f"/jobs/{quote(job)}/retry", None, {"Idempotency-Key": key}
        )
        run: str | None = answer.json()["run_id"] if outcome == "ok" and answer else None
        self.history.add("op", op="retry", job=job, run=run, **record)
        return run

    def read(self, server: ServerNode, job: str) -> dict[str, Any] | None:
        """A job as a server shows it; None when it is not there, or nobody answers."""
        outcome, answer, record = self._call(server, "GET", f"/jobs/{quote(job)}", None, {})
        missing = record["status"] == 404
        if missing:
            record["outcome"] = "ok"
        found: dict[str, Any] = answer.json() if outcome == "ok" and answer else {}
        # `status` of the record is HTTP's; in the history it is the job's.
        record |= {
            "found": bool(found),
            "status": found.get("status"),
            "revision": found.get("revision", 0),
            "cancelled": "cancel_requested_at" in found,
            "runs": {run["run_id"]: run["state"] for run in found.get("runs", [])},
        }
        self.history.add("op", op="read", job=job, **record)
        return found or None

    def _call(
        self, server: ServerNode, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[str, Answer | None, dict[str, Any]]:
        begin = time.monotonic_ns()
        answer: Answer | None = None
        detail = ""
        try:
            answer = server.rest(CALL_SECONDS).request(method, path, body, headers)
        except ConnectionRefusedError as error:
            outcome, detail = "fail", f"{error}"
        except (OSError, http.client.HTTPException) as error:
            outcome, detail = "unknown", f"{type(error).__name__}: {error}"
        else:
            outcome = "ok" if answer.status < 300 else "fail" if answer.status in CERTAINLY_NOT else "unknown"
            if outcome != "ok":
                detail = answer.text[:200]
        record = {
            "server": server.name, "begin": begin, "end": time.monotonic_ns(), "outcome": outcome,
            "status": answer.status if answer else 0, "detail": detail,
        }  # fmt: skip
        return outcome, answer, record
