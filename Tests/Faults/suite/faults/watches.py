"""Faults of watches: compacted away, and events that never come."""
from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from ..cluster import NotPossible
from .registry import Surroundings, fault

# What a server says when it meets a compaction, and how long that may take after the network is back.
FELL_BEHIND = "the watch fell behind a compaction"
NOTICED_SECONDS = 8
# The interval of the listings, and what it is varied by.
RELISTED_SECONDS = 26


@fault(12, hold=(6, 8))
def compaction(around: Surroundings) -> Iterator[None]:
    """history is compacted while a server's watch is behind"""
    around.need_cuts()
    cluster = around.cluster
    server = around.choose(cluster.servers)
    before = server.log.read_text().count(FELL_BEHIND)
    around.cut([server.host], around.etcd_hosts)
    # Its connections end, or TCP would bring everything afterwards.
    for etcd in cluster.etcd:
        argv = [*server.host.prefix, "ss", "--kill", "--no-header", "dst", etcd.host.address]
        subprocess.run(argv, capture_output=True, timeout=20, check=True)
    time.sleep(cluster.settings.server_ttl)
    for _ in range(3):
        cluster.watch.pump()
        try:
            # Not what our own watch has not seen.
            cluster.etcdctl("compact", str(cluster.watch.revision))
        except OSError as error:
            around.told["refused"] = str(error)
        time.sleep(1)
    yield
    around.heal([server.host], around.etcd_hosts)
    deadline = time.monotonic() + NOTICED_SECONDS
    while not (noticed := server.log.read_text().count(FELL_BEHIND) > before) and time.monotonic() < deadline:
        time.sleep(0.2)
    around.told["listed again"] = noticed


@fault(13, hold=(12, 16), bound=60, needs_sidecars=True)
def dropped_events(around: Surroundings) -> Iterator[None]:
    """half of the changes never reach a server's watch; a listing finds them"""
    cluster = around.cluster
    if not cluster.settings.sidecars:
        raise NotPossible("the servers reach etcd without proxies")
    # Whoever leads misses most.
    server = cluster.expect_leader() if around.random.random() < 0.5 else None
    if server is not None:
        around.reserve(server)
    else:
        server = around.choose(cluster.servers)
    sidecar = cluster.sidecars[server.name]
    sidecar.set_mode(**{**sidecar.mode, "drop_watch": 0.5})
    yield
    sidecar.set_mode(**{name: value for name, value in sidecar.mode.items() if name != "drop_watch"})
    around.told["dropped"] = sidecar.seen.get("dropped", 0)
    # The next listing finds what is missing. Until then this server may show something old.
    time.sleep(RELISTED_SECONDS)
