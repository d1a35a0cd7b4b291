"""The worker that the fault tests run: a task in steps, which goes on from its checkpoint."""
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from rota_worker import CheckpointError, Context, Worker

worker = Worker(
    os.environ["WORKER_ID"],
    etcd=os.environ["WORKER_ETCD"].split(","),
    slots=8,
    labels={"name": os.environ["WORKER_ID"]},
    lease_ttl=int(os.environ["WORKER_TTL"]),
    data_dir=os.environ["WORKER_DATA"],
    drain_timeout=5,
)
HISTORY = Path(os.environ["WORKER_HISTORY"])


def note(context: Context, what: str, extra: int) -> None:
    """A line as `witness.c` writes it; the last field is a step."""
    line = (
        f"{what} {context.job_id}/{context.run_id} {context.attempt} {context.fencing_token} "
        f"{context.info.worker_id} {os.getpid()} {time.monotonic_ns()} {extra}\n"
    )
    file = os.open(HISTORY, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@worker.task("steps")
def steps(context: Context, payload: dict[str, int]) -> int:
    """Says where it begins, then saves each step, and says which are durable."""
    first = int(context.checkpoint or b"0")
    note(context, "start", first)
    note(context, "from", first)
    for step in range(first + 1, payload["steps"] + 1):
        deadline = time.monotonic() + payload["millis"] / 1000
        while time.monotonic() < deadline:
            context.raise_if_cancelled()
            time.sleep(0.05)
            note(context, "beat", step)
        try:
            context.save_checkpoint(str(step).encode())
        except CheckpointError:
            continue  # etcd has no space, say: the next attempt will have more to do
        note(context, "saved", step)
    note(context, "end", 0)
    return first
