"""The processes of the cluster, each on its host."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import Child
from rest import Rest

from . import CHECKOUT, HERE
from .history import HistoryWriter
from .net import Host

ETCD_CLIENT_PORT, ETCD_PEER_PORT = 2379, 2380
QUOTA_FLAG = "--quota-backend-bytes="
HTTP_PORT, GRPC_PORT, SIDECAR_PORT = 8080, 7070, 2379


def binaries() -> Path:
    """The folder of `rota` and `rota-shim`."""
    folder = Path(os.environ.get("ROTA_BIN", CHECKOUT / ".build" / "release"))
    for name in ("rota", "rota-shim"):
        if not os.access(folder / name, os.X_OK):
            raise RuntimeError(f"{folder / name} is not there: build it, or set ROTA_BIN to the folder that has it")
    return folder


class Member(Child):
    """A process on a host, whose life goes into the history. It has to be started by the main thread: the kernel ends
    it with the thread that started it."""

    def __init__(
        self, name: str, host: Host, argv: Sequence[str], folder: Path, env: dict[str, str], history: HistoryWriter
    ) -> None:
        super().__init__(name, [*host.prefix, *argv], folder, env)
        self.host = host
        self.history = history
        self.is_stopped = False

    def start(self) -> None:
        super().start()
        self.is_stopped = False
        self._note("start")

    def kill(self) -> None:
        if self.running:
            self._note("kill")
            super().kill()
        self.is_stopped = False

    def stop(self, seconds: float = 10) -> int | None:
        if self.running:
            self._note("terminate")
        self.is_stopped = False
        return super().stop(seconds)

    def freeze(self) -> None:
        """SIGSTOP."""
        if self.running:
            self._note("freeze")
            self.send(signal.SIGSTOP)
            self.is_stopped = True

    def thaw(self) -> None:
        """SIGCONT."""
        if self.running:
            self._note("thaw")
            self.send(signal.SIGCONT)
        self.is_stopped = False

    @property
    def is_up(self) -> bool:
        """Whether it runs and is not stopped."""
        return self.running and not self.is_stopped

    def _note(self, what: str) -> None:
        self.history.add("process", name=self.name, what=what, pid=self.process.pid if self.process else 0)


class EtcdMember(Member):
    """One of three."""

    def __init__(
        self, name: str, hosts: dict[str, Host], folder: Path, env: dict[str, str], history: HistoryWriter
    ) -> None:
        host = hosts[name]
        self.url = f"http://{host.address}:{ETCD_CLIENT_PORT}"
        peer = f"http://{host.address}:{ETCD_PEER_PORT}"
        arguments = {
            "name": name,
            "data-dir": str(folder / name),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join(f"{one}=http://{hosts[one].address}:{ETCD_PEER_PORT}" for one in hosts),
            "logger": "zap",
            "log-level": "warn",
        }
        argv = ["etcd", *(word for key, value in arguments.items() for word in (f"--{key}", value))]
        super().__init__(name, host, argv, folder, env, history)

    def set_quota(self, size: int) -> None:
        """How large its database may become, bytes, from its next start on."""
        self.argv = [word for word in self.argv if not word.startswith(QUOTA_FLAG)] + [f"{QUOTA_FLAG}{size}"]

    def gateway(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A call of the JSON gateway."""
        answer = Rest(f"{self.host.address}:{ETCD_CLIENT_PORT}", timeout=5).post(path, body)
        if answer.status != 200:
            raise OSError(f"{self.name}: {path}: {answer.status}: {answer.text}")
        document: dict[str, Any] = answer.json()
        return document


class ServerNode(Member):
    """A server of the control plane."""

    def __init__(
        self, name: str, host: Host, etcd: Sequence[str], flags: Sequence[str], folder: Path, env: dict[str, str],
        history: HistoryWriter,
    ) -> None:  # fmt: skip
        self.http = f"{host.address}:{HTTP_PORT}"
        self.etcd = list(etcd)
        self.flags = list(flags)
        self.usual_env = env
        super().__init__(name, host, [], folder, env, history)
        self.use_etcd(self.etcd)

    def use_etcd(self, urls: Sequence[str]) -> None:
        """From the next start on it uses these members of etcd."""
        argv = [str(binaries() / "rota"), "server", "--id", self.name, "--etcd", ",".join(urls)]
        argv += ["--http", self.http, "--grpc", f"{self.host.address}:{GRPC_PORT}", "--insecure"]
        argv += ["--submit-rate", "off", *self.flags]
        self.argv = [*self.host.prefix, *argv]

    def rest(self, timeout: float = 8) -> Rest:
        """Its REST side."""
        return Rest(self.http, timeout=timeout)

    @property
    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            return self.is_up and self.rest(2).get("/readyz").status == 200
        except OSError:
            return False


class AgentNode(Member):
    """An agent."""

    def __init__(
        self, name: str, host: Host, etcd: Sequence[str], flags: Sequence[str], folder: Path, env: dict[str, str],
        history: HistoryWriter, data: str = "",
    ) -> None:  # fmt: skip
        """`data` names its folder, its own name if empty."""
        self.data = folder / "agents" / (data or name)
        argv = [str(binaries() / "rota"), "agent", "--id", name, "--etcd", ",".join(etcd)]
        argv += ["--data-dir", str(self.data), "--label", f"name={name}", "--drain-timeout", "5s", *flags]
        super().__init__(name, host, argv, folder, env, history)
        self.log = folder / f"{data or name}.log"

    def leave(self, seconds: float = 15) -> None:
        """SIGUSR2: it ends at once, and its tasks go on. One that has not begun to listen dies of it."""
        self._note("leave")
        self.send(signal.SIGUSR2)
        self.wait(seconds)


class WorkerNode(Member):
    """A Python worker, which offers the task `steps`."""

    def __init__(
        self, name: str, host: Host, etcd: Sequence[str], ttl: int, tasks: Path, folder: Path, env: dict[str, str],
        history: HistoryWriter,
    ) -> None:  # fmt: skip
        worker_env = {
            **env,
            "WORKER_ID": name,
            "WORKER_ETCD": ",".join(etcd),
            "WORKER_TTL": str(ttl),
            "WORKER_DATA": str(folder / "workers" / name),
            "WORKER_HISTORY": str(tasks),
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT / "clients" / "python"), str(HERE)]),
            "PYTHONUNBUFFERED": "1",
        }
        argv = [sys.executable, "-m", "rota_worker", "worker_tasks:worker"]
        super().__init__(name, host, argv, folder, worker_env, history)


class Sidecar(Member):
    """A proxy on a server's own host, between it and etcd; see `etcd_proxy.py`."""

    def __init__(
        self, server: ServerNode, folder: Path, env: dict[str, str], history: HistoryWriter
    ) -> None:
        self.mode_file = folder / f"{server.name}-proxy.json"
        self.seen_file = folder / f"{server.name}-proxy-seen.json"
        self.url = f"http://127.0.0.1:{SIDECAR_PORT}" if server.host.prefix else f"http://{server.host.address}:2479"
        argv = [sys.executable, str(HERE / "etcd_proxy.py"), self.url.removeprefix("http://"), ",".join(server.etcd)]
        argv += [str(self.mode_file), str(self.seen_file)]
        self.set_mode()
        super().__init__(f"{server.name}-proxy", server.host, argv, folder, env, history)

    def set_mode(self, **mode: Any) -> None:
        """What it does from now on, see `etcd_proxy.py`; nothing, with no argument."""
        self.mode = mode
        new = self.mode_file.with_suffix(".new")
        new.write_text(json.dumps(mode))
        new.rename(self.mode_file)

    @property
    def seen(self) -> dict[str, int]:
        """How often it has done what."""
        try:
            counts: dict[str, int] = json.loads(self.seen_file.read_text())
            return counts
        except (OSError, ValueError):
            return {}


class CrowdNode(Member):
    """A process that is a great number of agents; see `crowd.py`."""

    def __init__(
        self, count: int, host: Host, etcd: Sequence[str], folder: Path, env: dict[str, str], history: HistoryWriter
    ) -> None:
        self.state_file = folder / "crowd.json"
        self.state_file.unlink(missing_ok=True)
        argv = [sys.executable, str(HERE / "crowd.py"), ",".join(etcd), str(count), str(self.state_file)]
        super().__init__("crowd", host, argv, folder, env, history)

    @property
    def state(self) -> dict[str, Any]:
        """What it says of itself; nothing before it has begun."""
        try:
            found: dict[str, Any] = json.loads(self.state_file.read_text())
            return found
        except (OSError, ValueError):
            return {}


def etcdctl(env: dict[str, str], urls: Sequence[str], *arguments: str, timeout: float = 8) -> str:
    """Runs etcdctl; raises OSError when it fails or takes too long."""
    command = ["etcdctl", f"--endpoints={','.join(urls)}", "--dial-timeout=2s", "--command-timeout=5s", *arguments]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{' '.join(arguments)}: no answer in {error.timeout} s") from None
    if done.returncode != 0:
        raise OSError(f"{' '.join(arguments)}: {done.stderr.strip()[-500:]}")
    return done.stdout
