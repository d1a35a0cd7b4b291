"""The tasks that the tests' workers offer. What must be seen from outside is noted in files."""
from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal, cast

from rota_worker import TLS, CheckpointError, Context, Fail, Retry, Worker

NOTES = Path(os.environ["WORKER_NOTES"])

tls = TLS(*os.environ["WORKER_TLS"].split(os.pathsep)) if "WORKER_TLS" in os.environ else None

worker = Worker(
    os.environ["WORKER_ID"],
    etcd=[os.environ["WORKER_ETCD"]],
    slots=int(os.environ["WORKER_SLOTS"]),
    labels={"name": os.environ["WORKER_ID"]},
    pool=cast(Literal["process", "thread"], os.environ["WORKER_POOL"]),
    data_dir=os.environ["WORKER_DATA"],
    tls=tls,
    etcd_tls=tls,
    drain_timeout=float(os.environ["WORKER_DRAIN"]),
)


def note(context: Context, what: str) -> None:
    """One line in the run's file: what, attempt, worker, pid, time on the clock that all share."""
    line = f"{what} {context.attempt} {context.info.worker_id} {os.getpid()} {time.monotonic_ns()}\n"
    with open(NOTES / context.job_id, "a") as file:
        file.write(line)


@worker.task("echo")
def echo(context: Context, payload: Any) -> Any:
    context.log.info("echoing for %s", context.job_id)
    return {
        "payload": payload,
        "attempt": context.attempt,
        "fence": context.fencing_token,
        "retry_count": context.retry_count,
        "worker": context.info.worker_id,
        "env": context.info.env.get("COLOUR"),
    }


AROUND_VARIABLES = ("ROTA_SCHEDULED_UNIX", "ROTA_PREVIOUS_SCHEDULED_TIME", "ROTA_PARAMS", "ROTA_PARAM_NOTE")


@worker.task("around")
def around(context: Context, payload: Any) -> Any:
    """What it knows of its run, and what of that is in its environment."""
    times = {
        "scheduled": context.scheduled_time,
        "previous": context.previous_scheduled_time,
        "next": context.next_scheduled_time,
        "last_success": context.last_success_time,
    }
    return {
        **{name: None if time is None else time.isoformat() for name, time in times.items()},
        "trigger": context.trigger,
        "params": dict(context.params),
        # Not all: the last line of the output has to fit into the run's record.
        "env": {name: os.environ[name] for name in AROUND_VARIABLES if name in os.environ},
    }


@worker.task("fail-until")
def fail_until(context: Context, payload: dict[str, int]) -> str:
    if context.attempt < payload["attempt"]:
        raise ValueError(f"attempt {context.attempt} is too early")
    return "at last"


@worker.task("give-up")
def give_up(context: Context, payload: str) -> None:
    try:
        raise KeyError(payload)
    except KeyError as error:
        raise Fail(payload) from error


@worker.task("later")
def later(context: Context, payload: float) -> str:
    """Fails once, and wants to wait so long."""
    if context.retry_count == 0:
        raise Retry("busy", after=payload)
    return "done"


@worker.task("sleep")
def sleep(context: Context, payload: dict[str, float]) -> None:
    """Ends early when asked to."""
    note(context, "start")
    deadline = time.monotonic() + payload["seconds"]
    while time.monotonic() < deadline:
        context.raise_if_cancelled()
        note(context, "alive") if payload.get("notes") else None
        time.sleep(0.05)
    note(context, "end")


@worker.task("stubborn")
def stubborn(context: Context, payload: dict[str, float]) -> None:
    """Ignores every request to stop, and has a process of its own that does so, too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    note(context, f"child-{child.pid}")
    note(context, "start")
    time.sleep(payload["seconds"])


@worker.task("deaf")
def deaf(context: Context, payload: dict[str, float]) -> None:
    """Never looks whether it has to stop."""
    note(context, "start")
    time.sleep(payload["seconds"])
    note(context, "end")


@worker.task("steps")
def steps(context: Context, payload: dict[str, int]) -> dict[str, int]:
    """Saves a checkpoint after each step, and waits for `go` after the last but one."""
    first = int(context.checkpoint or b"0")
    note(context, f"from-{first}")
    for step in range(first + 1, payload["steps"] + 1):
        context.progress(step / payload["steps"], f"step {step}")
        context.save_checkpoint(str(step).encode())
        note(context, f"saved-{step}")
        if step == payload["steps"] - 1 and context.attempt == 1:
            time.sleep(600)
    return {"from": first}


@worker.task("save")
def save(context: Context, payload: dict[str, int]) -> str:
    """What becomes of a checkpoint of so many bytes."""
    try:
        context.save_checkpoint(bytes(payload["bytes"]))
    except CheckpointError as error:
        return f"refused: {error}"
    return "saved"


@worker.task("exit")
def leave(context: Context, payload: int) -> None:
    """Ends its process by itself: with a code, or by a signal when negative."""
    if payload < 0:
        os.kill(os.getpid(), -payload)
    sys.exit(payload)


@worker.task("flood")
def flood(context: Context, payload: int) -> None:
    """Writes so many lines of 100 bytes."""
    for number in range(payload):
        print(f"{number:099d}")


logging.getLogger("rota_worker").debug("the tasks are loaded")
