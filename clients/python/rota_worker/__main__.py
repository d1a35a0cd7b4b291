"""`python -m rota_worker module:worker` runs a worker that a module defines."""
from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys

from .worker import Worker


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m rota_worker", description=__doc__)
    parser.add_argument("worker", metavar="MODULE:WORKER", help="where the worker is, for example tasks:worker")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    options = parser.parse_args()
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("rota_worker").setLevel(options.log_level)
    module, _, attribute = options.worker.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        worker = getattr(importlib.import_module(module), attribute or "worker", None)
    except ModuleNotFoundError as error:
        parser.error(f"{module} cannot be imported: {error}")
    if not isinstance(worker, Worker):
        parser.error(f"{module} has no Worker named {attribute or 'worker'!r}")
    try:
        worker.run(module, attribute or "worker")
    except (RuntimeError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
