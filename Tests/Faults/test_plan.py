"""The plan: every fault first by itself, then combinations, the same ones for the same seed."""
from __future__ import annotations

from itertools import islice

from suite.faults import FAULTS
from suite.stories import SINGLE_ONLY, Planned, plan

ROWS = set(range(1, 24))


def first(seed: str, count: int) -> list[Planned]:
    return list(islice(plan(seed), count))


def test_every_row_has_a_fault() -> None:
    assert {fault.row for fault in FAULTS.values()} == ROWS


def test_every_fault_comes_once_by_itself() -> None:
    singles = first("a", len(FAULTS))
    assert sorted(planned.names[0] for planned in singles) == sorted(FAULTS)
    assert {len(planned.names) for planned in singles} == {1}


def test_then_all_pairs_and_random_ones() -> None:
    later = [planned for planned in first("a", 1200)[len(FAULTS) :]]
    drawn = {name for planned in later for name in planned.names}
    assert drawn == FAULTS.keys() - SINGLE_ONLY
    pairs = {tuple(sorted(planned.names)) for planned in later if len(planned.names) == 2}
    possible = [(one, two) for one in drawn for two in drawn if FAULTS[one].row < FAULTS[two].row]
    assert {tuple(sorted(pair)) for pair in possible} <= pairs
    assert {len(planned.names) for planned in later} == {1, 2, 3}


def test_a_seed_says_all() -> None:
    assert first("a", 100) == first("a", 100) != first("b", 100)


def test_a_round_that_needs_proxies_gets_them() -> None:
    for planned in first("a", 300):
        assert planned.needs_sidecars or not any(FAULTS[name].needs_sidecars for name in planned.names)
