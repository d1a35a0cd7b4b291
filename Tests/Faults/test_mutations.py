"""The checkers fail where they have to: with a protection switched off, from outside, a real cluster breaks its promises,
and the checker that attacks the promise says so."""
from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import suite  # noqa: F401  (finds what is shared with the end-to-end tests)
from processes import processes_of
from suite.cluster import Cluster, Settings
from suite.faults import FAULTS, Fault, Surroundings
from suite.faults.agents import replace
from suite.faults.registry import make_fault
from suite.history import HistoryWriter
from suite.members import binaries
from suite.report import describe
from suite.rounds import Rounds
from suite.workload import Load

# What is broken does not mend: nobody waits for it for long.
PATIENCE = 20.0
TRIES = 3
# A busy leader has something on its way at any moment.
BUSY = Load().scaled(3)

# A shim for which the agent's lease never ends: descriptor 5 is the file with the deadline.
CARELESS_SHIM = """#!/bin/bash
exec 5<>{forever}
exec {shim}
"""


def checks_that_fail(
    tmp_path: Path, fault: Fault, settings: Settings, wanted: set[str], load: Load = Load(),
    prepare: Callable[[Cluster], None] = lambda cluster: None,
) -> set[str]:  # fmt: skip
    """Rounds of a fault until one of the wanted checks fails; which checks have failed."""
    history = HistoryWriter(tmp_path / "history.jsonl")
    cluster = Cluster(history, settings)
    failed: set[str] = set()
    try:
        cluster.start()
        prepare(cluster)
        rounds = Rounds(cluster, load, PATIENCE)
        for number in range(TRIES):
            outcome = rounds.run([fault], f"mutation-{number}")
            assert not outcome.skipped, outcome.skipped
            print(describe(outcome.violations))
            failed |= {violation.check for violation in outcome.violations}
            if failed & wanted:
                break
    finally:
        cluster.close()
        history.close()
        shutil.rmtree(cluster.folder, ignore_errors=True)
    return failed


def test_fencing_of_leaders_off(tmp_path: Path) -> None:
    """What a deposed leader had sent counts, once nobody compares who leads and what has changed."""

    def strip(cluster: Cluster) -> None:
        for sidecar in cluster.sidecars.values():
            sidecar.set_mode(strip=["/leader/", "/runs/", "/jobs/", "/agents/"])

    failed = checks_that_fail(
        tmp_path, FAULTS["late_writes"], Settings(sidecars=True), {"C5", "C7"}, BUSY, strip
    )
    assert failed & {"C5", "C7"}


def test_fencing_of_tasks_off(tmp_path: Path) -> None:
    """Tasks of an agent that is stopped live on, once the shim does not look at the deadline."""
    forever = tmp_path / "forever"
    forever.write_bytes(b"\xff" * 7 + b"\x7f")
    shim = tmp_path / "careless-shim"
    shim.write_text(CARELESS_SHIM.format(forever=forever, shim=binaries() / "rota-shim"))
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    load = Load(at_most_once=0, one_off=6)
    failed = checks_that_fail(
        tmp_path, make_fault(stop_all_but_one, 2, hold=(9, 9)), Settings(shim=str(shim)), {"C2"}, load
    )
    assert "C2" in failed


def stop_all_but_one(around: Surroundings) -> Iterator[None]:
    """SIGSTOP agents with long tasks past their TTL"""
    for _ in range(12):
        around.workload.add("one_off", {"exec": around.cluster.tasks.argv(15_000)})
    time.sleep(2)
    stopped = around.cluster.agents[1:]
    for agent in stopped:
        agent.freeze()
    yield
    for agent in stopped:
        agent.thaw()


def test_idempotency_off(tmp_path: Path) -> None:
    """Without keys, who does not get an answer submits twice."""
    failed = checks_that_fail(tmp_path, FAULTS["lost_answers"], Settings(), {"C1"}, Load(use_keys=False))
    assert "C1" in failed


def test_relist_off(tmp_path: Path) -> None:
    """What a watch has dropped stays lost, once nobody lists."""
    settings = Settings(sidecars=True, relist="24h")
    failed = checks_that_fail(
        tmp_path, make_fault(leader_without_events, 13, hold=(8, 8), needs_sidecars=True), settings, {"C1", "C8"}
    )
    assert failed & {"C1", "C8"}


def leader_without_events(around: Surroundings) -> Iterator[None]:
    """the leader's watch drops half of the changes"""
    sidecar = around.cluster.sidecars[around.cluster.expect_leader().name]
    sidecar.set_mode(drop_watch=0.5)
    yield
    sidecar.set_mode()


def test_journal_off(tmp_path: Path) -> None:
    """An agent that has forgotten what it had begun begins it again."""
    failed = checks_that_fail(
        tmp_path, make_fault(forget_journal, 4, hold=(3, 3)), Settings(), {"C4"}, Load(one_off=8)
    )
    assert "C4" in failed


def forget_journal(around: Surroundings) -> Iterator[None]:
    """an agent's process is killed while it is cut off from the servers, and loses its journal"""
    around.need_cuts()
    for agent in around.cluster.agents:
        around.reserve(agent)
        around.cut([agent.host], around.server_hosts)
    time.sleep(3)
    for agent in around.cluster.agents:
        agent.kill()
        (agent.data / "journal").unlink()
        agent.start()
    yield
    for agent in around.cluster.agents:
        around.heal([agent.host], around.server_hosts)


def test_adoption_off(tmp_path: Path) -> None:
    """Tasks do not go on once their shims die with the agent's process, as they do in a container."""
    fault = make_fault(replace_without_shims, 16, hold=(3, 3))
    # Only an agent that is back in time is held to it: this TTL leaves time on a busy machine.
    failed = checks_that_fail(tmp_path, fault, Settings(agent_ttl=15), {"C4"}, Load(one_off=8))
    assert "C4" in failed


def replace_without_shims(around: Surroundings) -> Iterator[None]:
    """an agent's process is replaced, and somebody kills the shims that it has left"""
    agent = around.choose(around.cluster.agents)
    for _ in range(12):
        around.workload.add("one_off", {"exec": around.cluster.tasks.argv(8_000)})
    time.sleep(2)

    def kill_shims() -> None:
        for pid, argv in processes_of(str(agent.data)).items():
            if "rota-shim" in argv:
                os.kill(pid, signal.SIGKILL)

    replace(around, agent, signal.SIGUSR2, kill_shims)
    yield
