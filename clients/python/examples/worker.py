#!/usr/bin/env python3
"""A worker with two tasks: `greet` answers at once, `count` goes on where an earlier attempt stopped.

    python worker.py --etcd 127.0.0.1:2379 &
    rota submit --task greet --payload '{"name": "Ada"}' --wait
    rota submit --task count --payload '{"to": 100}' --max-retries 3
"""
from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

try:
    from rota_worker import Context, Worker
except ModuleNotFoundError:
    # From a checkout it works without being installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from rota_worker import Context, Worker

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--etcd", default=os.environ.get("ROTA_ETCD", "127.0.0.1:2379"), help="host:port")
parser.add_argument("--id", help="the worker's id; the host's name when absent")
parser.add_argument("--data-dir", help="a folder of its own")
options, _ = parser.parse_known_args()

worker = Worker(options.id, etcd=[options.etcd], data_dir=options.data_dir, slots=4, labels={"language": "python"})


@worker.task("greet")
def greet(context: Context, payload: dict[str, str]) -> dict[str, Any]:
    context.log.info("greeting %s", payload["name"])
    return {"greeting": f"Hello, {payload['name']}!", "attempt": context.attempt}


@worker.task("count")
def count(context: Context, payload: dict[str, int]) -> int:
    at = int(context.checkpoint or b"0")
    context.log.info("counting from %d", at)
    while at < payload["to"]:
        context.raise_if_cancelled()
        time.sleep(payload.get("pause_ms", 100) / 1000)
        at += 1
        context.progress(at / payload["to"], f"counted to {at}")
        if at % 10 == 0:
            context.save_checkpoint(str(at).encode())
    return at


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    worker.run()
