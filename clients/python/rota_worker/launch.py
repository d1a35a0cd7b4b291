"""Starts the worker's own helper programs."""
from __future__ import annotations

import sys


def argv(module: str, *arguments: object) -> list[str]:
    """A fresh interpreter that finds modules where this one does, and runs `main` of one of this package."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from rota_worker.{module} import main; main()"
    return [sys.executable, "-c", code, *map(str, arguments)]
