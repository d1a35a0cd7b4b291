#!/usr/bin/env python3
"""Faults against a cluster of real processes, and what they do to its promises. See docs/TESTING.md."""
from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import suite  # noqa: E402,F401  (finds what is shared with the end-to-end tests)
from suite.checkers import check  # noqa: E402
from suite.cluster import Settings  # noqa: E402
from suite.faults import FAULTS  # noqa: E402
from suite.history import load  # noqa: E402
from suite.net import can_unshare  # noqa: E402
from suite.report import describe, table  # noqa: E402
from suite.stories import Planned, Story, plan, summary  # noqa: E402
from suite.times import measure  # noqa: E402
from suite.workload import Load  # noqa: E402

# What `make test` runs: of each kind one, in a few minutes.
SHORT = [["kill_agent"], ["zombie_leader"], ["agent_without_etcd"], ["kill_etcd_member", "lost_answers"]]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="begin no round after so long (30)")
    parser.add_argument("--seed", default="", help="decides all that is random in the plan and in the faults")
    parser.add_argument("--faults", default="", help="only these, with commas; `+` joins those of one round")
    parser.add_argument("--repeat", type=int, default=1, help="how often, of --faults (1)")
    parser.add_argument("--short", action="store_true", help="the short set")
    parser.add_argument("--agents", type=int, default=4, help="how many agents (4)")
    parser.add_argument("--crowd", type=int, default=1000, help="how many agents come and go at once (1000)")
    parser.add_argument("--load", type=float, default=1.0, help="times the usual load (1)")
    parser.add_argument("--keep", action="store_true", help="keep the histories of what went well, too")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces, so that nothing can be cut")
    parser.add_argument("--list", action="store_true", help="list the faults")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="check a history that was kept again")
    parser.add_argument("--times", type=int, metavar="COUNT", help="measure how fast losses are noticed, COUNT times each")
    return parser.parse_args()


def main() -> int:
    """The exit code: 0 when all is well."""
    wanted = arguments()
    if wanted.list:
        for name, fault in FAULTS.items():
            print(f"{fault.row:>3}  {name:<24} {fault.what}")
        return 0
    if wanted.replay:
        return replay(wanted.replay)
    give_namespaces()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if wanted.times:
        return measure(wanted.times)
    seed = wanted.seed or f"{random.randrange(1 << 32):08x}"
    planned: Iterable[Planned]
    story = Story(Settings(agents=wanted.agents, crowd=wanted.crowd, loopback=wanted.loopback), Load().scaled(wanted.load), seed, wanted.keep)
    if wanted.faults:
        rounds = [one.split("+") for one in wanted.faults.split(",")] * wanted.repeat
        unknown = {name for names in rounds for name in names} - FAULTS.keys()
        if unknown:
            print(f"there is no fault {', '.join(sorted(unknown))}; --list shows all", file=sys.stderr)
            return 2
        # A seed that a failed round was printed with is that of the round.
        planned = [Planned(names, seed=seed if "-" in seed else "") for names in rounds]
    else:
        planned = [Planned(names) for names in SHORT] if wanted.short else plan(seed)
    print(f"faults: seed {seed}", flush=True)
    try:
        story.run(planned, wanted.minutes)
    except KeyboardInterrupt:
        print("faults: interrupted", flush=True)
    print(f"\n{table(story.outcomes)}\n\n{summary(story.outcomes)}")
    return 1 if any(outcome.violations for outcome in story.outcomes) else 0


def replay(folder: Path) -> int:
    """Runs the checkers on a history that was kept."""
    violations = check(load(folder / "history.jsonl"))
    print(describe(violations) or "nothing is wrong")
    return 1 if violations else 0


def give_namespaces() -> None:
    """Without root, begins again as the root of a user namespace, where the machine allows that."""
    marker = "FAULTS_IN_USER_NAMESPACE"
    if can_unshare() or marker in os.environ:
        return
    enter = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
    if subprocess.run([*enter, "true"], capture_output=True).returncode == 0:
        os.environ[marker] = "1"
        os.execvp(enter[0], [*enter, sys.executable, *sys.argv])


if __name__ == "__main__":
    sys.exit(main())
