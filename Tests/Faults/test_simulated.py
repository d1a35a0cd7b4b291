"""The checkers of faults on simulated stories, which the Swift tests have written (`DiarySimulationTests`): two sets of
checkers that know nothing of each other look at the same clusters."""
from __future__ import annotations

import os
from pathlib import Path

import pytest
from suite.checkers import check
from suite.history import History, load

FOLDER = Path(os.environ.get("ROTA_SIMULATION_HISTORIES", "."))


def histories(kind: str) -> dict[str, History]:
    found = {file.stem: load(file) for file in sorted(FOLDER.glob(f"{kind}-*.jsonl"))}
    if not found:
        pytest.fail(f"no histories are in ROTA_SIMULATION_HISTORIES={FOLDER}; scripts/test-swift writes them, and runs this")
    return found


def test_nothing_is_wrong_with_them() -> None:
    found = histories("none")
    wrong = {name: [str(violation) for violation in check(history)] for name, history in found.items()}
    assert not {name: texts for name, texts in wrong.items() if texts}
    # They are worth looking at.
    assert sum(len(history.attempts) for history in found.values()) > 20 * len(found)
    assert sum(len(attempt.steps) > 2 for history in found.values() for attempt in history.attempts) > len(found)


def test_transactions_without_guards_are_noticed() -> None:
    noticed = {violation.check for history in histories("guardsIgnored").values() for violation in check(history)}
    assert noticed >= {"C5", "C7"}
