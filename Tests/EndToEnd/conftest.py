"""What all end-to-end tests share. The binaries are those of $ROTA_BIN, or of .build/release."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CLIENT = HERE.parents[1] / "clients" / "python"
for folder in (HERE, CLIENT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# The test modules import the stubs, so they have to be there before collection.
subprocess.run([sys.executable, str(CLIENT / "generate")], check=True)

from cluster import live_clusters  # noqa: E402  (needs the path and the stubs)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of the clusters that were up, and keeps their folders."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for cluster in live_clusters:
            cluster.failed = True
            report.sections.append((f"cluster {cluster.folder.name}", cluster.report()))


@pytest.fixture(scope="session")
def pair():
    """Two servers and two agents, shared by all tests that break nothing."""
    from cluster import Cluster

    with Cluster(servers=2, agents=2, slots=8) as cluster:
        yield cluster
        alive = {child.name: child.running for child in cluster.children}
        assert all(alive.values()), f"something crashed on the way: {alive}"


@pytest.fixture
def dev():
    """`rota dev`, not started yet."""
    from dev import Dev

    made = Dev()
    try:
        yield made
    finally:
        print(made.child.log_tail())
        made.close()
