"""An outside witness of what becomes of runs: `etcdctl watch`, which shares no code with Rota."""
from __future__ import annotations

import base64
import json
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from typing import Any

from cluster import Cluster
from processes import Child


class RunWatch:
    """Follows every change of every run in etcd."""

    def __init__(self, cluster: Cluster) -> None:
        argv = ["etcdctl", f"--endpoints={cluster.etcd.address}", "watch", "--prefix", "/rota/runs/", "-w", "json"]
        self.child = Child(f"watch-{uuid.uuid4().hex[:6]}", argv, cluster.folder, cluster.env)

    def __enter__(self) -> RunWatch:
        self.child.start()
        time.sleep(0.5)  # etcdctl does not tell when its watch stands
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.child.kill()

    def changes(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """(key, record, the key-value as etcd tells it) of every change but deletions, in order."""
        for line in self.child.log.read_text().splitlines():
            for event in json.loads(line).get("Events") or []:
                if event.get("type", 0) == 0:
                    value = event["kv"]
                    yield base64.b64decode(value["key"]).decode(), json.loads(base64.b64decode(value["value"])), value

    def states(self) -> dict[str, list[str]]:
        """Per run, its states in order."""
        found: dict[str, list[str]] = defaultdict(list)
        for key, record, _ in self.changes():
            found[key].append(record["state"])
        return dict(found)

    def creations(self) -> Counter[str]:
        """How often each run was created, by `job_id/run_id`."""
        created: dict[str, set[int]] = defaultdict(set)
        for key, _, value in self.changes():
            created["/".join(key.split("/")[-2:])].add(value["create_revision"])
        return Counter({run: len(revisions) for run, revisions in created.items()})

    def peaks(
        self, states: Collection[str], place: Callable[[str, dict[str, Any]], str | None] = lambda job, record: job
    ) -> Counter[str]:
        """Of each job, or of what `place` says of a job and a run's record, how many runs have been in one of these states
        at once, at most.
        """
        inside: dict[str, set[str]] = defaultdict(set)
        most: Counter[str] = Counter()
        for _, together in groupby(self.changes(), key=lambda change: change[2]["mod_revision"]):
            touched = set()
            for key, record, _ in together:
                if (where := place(key.split("/")[-2], record)) is None:
                    continue
                (inside[where].add if record["state"] in states else inside[where].discard)(key)
                touched.add(where)
            for job in touched:
                most[job] = max(most[job], len(inside[job]))
        return most
