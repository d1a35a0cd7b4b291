import os
import pathlib
import subprocess
import sys
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import shim_harness  # noqa: E402

SOURCES = pathlib.Path(__file__).resolve().parents[3] / "Sources" / "rota-shim"


@pytest.fixture(scope="session")
def shim_path(tmp_path_factory):
    """ROTA_SHIM, or one built for these tests."""
    given = os.environ.get("ROTA_SHIM")
    if given:
        return given
    target = tmp_path_factory.mktemp("build") / "rota-shim"
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["clang", *flags, "-o", str(target), *sources], check=True)
    return str(target)


@pytest.fixture
def start(shim_path, tmp_path):
    """start(argv, env=..., deadline=..., raw=..., **tags) -> Shim. All shims end with the test, and no process that
    carries the test's marker in its environment is left behind."""
    shims = []
    marker = f"ROTA_TEST={uuid.uuid4()}"

    def run(argv=(), env=None, deadline=None, raw=None, stderr_fd=2, **tags):
        deadline = deadline or shim_harness.Deadline(tmp_path / f"deadline{len(shims)}")
        if env is None:
            name, value = marker.split("=")
            env = {"PATH": "/usr/bin:/bin", name: value}
        tags.setdefault("o", tmp_path / "out")
        tags.setdefault("r", tmp_path / "err")
        tags.setdefault("x", tmp_path / "result")
        spec = raw if raw is not None else shim_harness.encode_spec(argv, env, **tags)
        shims.append(shim_harness.Shim(shim_path, spec, deadline, stderr_fd))
        return shims[-1]

    run.marker = marker
    yield run
    for shim in shims:
        shim.dispose()
    assert shim_harness.with_marker(marker) == []
