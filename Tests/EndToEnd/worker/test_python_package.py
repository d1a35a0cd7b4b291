"""The Python distribution: typed, and complete when it is installed by pip."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from cluster import CHECKOUT

SOURCE = CHECKOUT / "clients" / "python"


def run(argv: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP"))}
    done = subprocess.run(argv, cwd=cwd, env={**clean, **env}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done


def test_types_of_the_python_packages_hold(tmp_path: Path) -> None:
    cache = f"--cache-dir={tmp_path}"
    done = run([sys.executable, "-m", "mypy", "--config-file", str(SOURCE / "pyproject.toml"), cache], CHECKOUT)
    assert "Success" in done.stdout


def test_pip_installs_a_complete_package(tmp_path: Path) -> None:
    """In a fresh environment, from a checkout without generated stubs; of this one it only borrows grpcio and
    the build tools, so that no network is needed."""
    shutil.copytree(CHECKOUT / "proto", tmp_path / "checkout" / "proto")
    source = tmp_path / "checkout" / "clients" / "python"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("_generated", "build", "*.egg-info", "__pycache__"))
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], tmp_path)
    python = str(tmp_path / "venv" / "bin" / "python")
    fresh = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).stdout.strip())
    (fresh / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "--python", python, "install", *options, str(source)], tmp_path)
    for name in ("rota_client/py.typed", "rota_worker/py.typed", "rota_worker/_zygote.py"):
        assert (fresh / name).is_file(), name
    generated = fresh / "rota_client" / "_generated" / "rota" / "v1"
    assert {p.name for p in generated.glob("agent_session_pb2*")} == {
        "agent_session_pb2.py", "agent_session_pb2.pyi", "agent_session_pb2_grpc.py",
    }
    program = (
        "import rota_client, rota_worker, rota_worker.service, sys\n"
        "assert rota_worker.__file__.startswith(sys.prefix), rota_worker.__file__\n"
        "print(rota_client.task_job('resize', {'width': 1}).task.payload)\n"
    )
    assert run([python, "-c", program], tmp_path).stdout == '{"width": 1}\n'
    script = run([str(tmp_path / "venv" / "bin" / "rota-worker"), "--help"], tmp_path)
    assert "MODULE:WORKER" in script.stdout


def test_processes_of_tasks_do_not_load_grpc() -> None:
    """Its threads would not survive the fork."""
    program = "import rota_worker, rota_worker._zygote, sys; print('grpc' in sys.modules, 'google' in sys.modules)"
    done = run([sys.executable, "-c", program], CHECKOUT, PYTHONPATH=str(SOURCE))
    assert done.stdout.split() == ["False", "False"]
