"""Named cases: each has the number of the section that it checks, and its rule in a few words."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from raw_server import Server
from peer import Peer


@dataclass
class Case:
    script: Callable[[Peer], None]
    settings: tuple[tuple[int, int], ...]
    preface: bytes | None

    def run(self, server: Server) -> None:
        """Runs the script on a connection of its own. Afterwards the server still serves others."""
        with server.connect(*self.settings, preface=self.preface) as peer:
            self.script(peer)
        with server.connect() as other:
            other.expect_serving()


class Cases:
    """Collects scripts, and hands them to pytest with ids such as `6.5.2/1: ENABLE_PUSH other than 0 or 1`."""

    def __init__(self) -> None:
        self.table: dict[str, Case] = {}

    def __call__(
        self, number: str, rule: str, *settings: tuple[int, int], preface: bytes | None = None
    ) -> Callable[[Callable[[Peer], None]], Callable[[Peer], None]]:
        """Names a script. Its connection begins with `settings`, or with whatever `preface` says."""

        def add(script: Callable[[Peer], None]) -> Callable[[Peer], None]:
            name = f"{number}: {rule}"
            assert name not in self.table, f"two cases have the name {name}"
            self.table[name] = Case(script, settings, preface)
            return script

        return add

    def each(self) -> pytest.MarkDecorator:
        """Parametrizes a test's argument `case`."""
        return pytest.mark.parametrize("case", [pytest.param(made, id=name) for name, made in self.table.items()])
