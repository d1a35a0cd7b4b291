"""Fixtures of the raw HTTP/2 tests: servers, and connections to them."""
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from raw_server import Server  # noqa: E402


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all cases: none of them may harm it."""
    with Server() as made:
        yield made
