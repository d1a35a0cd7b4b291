"""Which handlers a program offers: found by the worker and by its fork server alike."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .context import Handler

Handlers = dict[str, Handler]


class TaskTable:
    """What `Worker` adds its handlers to."""

    def __init__(self) -> None:
        self.handlers: Handlers = {}


def find_worker(scope: Mapping[str, Any], attribute: str, where: str) -> Handlers:
    """The handlers of the worker that a program names `attribute` at its top level."""
    worker = scope.get(attribute)
    if not isinstance(worker, TaskTable):
        raise LookupError(
            f"{where} has no Worker named '{attribute}' at its top level, where the processes of tasks look for it"
        )
    return worker.handlers
