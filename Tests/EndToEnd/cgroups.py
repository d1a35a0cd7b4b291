"""Which control groups this machine lets tests have."""
from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

CONTROLLERS = ("memory", "pids", "cpu")


def _own_groups() -> dict[str, str]:
    """Controller (empty: version 2) to the path of this process's own group."""
    groups = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def v1_folders() -> dict[str, Path]:
    """Controller to the folder of this process's own group, of those where folders can be made."""
    found: dict[str, Path] = {}
    groups = _own_groups()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split()[:3]
        if kind != "cgroup":
            continue
        for controller in set(options.split(",")) & set(CONTROLLERS):
            folder = Path(before.split()[4]) / groups[controller].lstrip("/")
            if _takes_folders(folder):
                found[controller] = folder
    return found


def v2_folders() -> list[Path]:
    """This process's own group of version 2, if folders can be made there; with or without controllers."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            folder = Path(before.split()[4]) / _own_groups().get("", "/").lstrip("/")
            found += [folder] if _takes_folders(folder) else []
    return found


def has_v2() -> bool:
    """Whether a hierarchy of version 2 has the controllers where an agent could use them."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            own = Path(before.split()[4]) / _own_groups().get("", "/").lstrip("/")
            controllers = (own / "cgroup.controllers").read_text().split()
            # Processes in the group itself, such as this one, keep it from handing anything down.
            return {"memory", "pids"} <= set(controllers) and not (own / "cgroup.procs").read_text().split()
    return False


def _takes_folders(folder: Path) -> bool:
    probe = folder / f"rota-test-probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def modes() -> list[str]:
    """The values of `--isolation` that do something on this machine; there is always one."""
    return (["cgroup_v2"] if has_v2() else []) + (["cgroup_v1"] if v1_folders() else []) + ["rlimits"]


def groups_of_agent(name: str, data: Path) -> list[Path]:
    """The folders that an agent has made for itself; below them is one for each attempt that has limits."""
    if not data.is_dir():
        return []
    own = f"rota-{name}-{data.stat().st_ino}"
    return [folder / own for folder in v1_folders().values() if (folder / own).is_dir()]


def remove(folder: Path) -> None:
    """Removes a control group with those below it; none may have processes."""
    for below in folder.iterdir():
        if below.is_dir():
            remove(below)
    folder.rmdir()


@contextmanager
def group(parent: Path, name: str) -> Iterator[Path]:
    """A control group of its own for a test, removed with those below it."""
    folder = parent / f"rota-test-{os.getpid()}-{name}"
    folder.mkdir()
    try:
        yield folder
    finally:
        remove(folder)
