"""A cluster of real processes: etcd with fsync, servers, agents."""
from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from certs import Certificates, Pair
from cgroups import groups_of_agent
from cgroups import remove as remove_group
from processes import Child, free_port, is_alive, processes_of, wait_until
from rest import Rest, listed
from rota_client import Client, is_terminal, messages, status_name

CHECKOUT = Path(__file__).resolve().parents[2]
LEASE_TTL_SECONDS = 6.0
START_SECONDS = 30.0

live_clusters: list["Cluster"] = []

# The client commands that have commands of their own.
SUBCOMMANDS = {
    "agents": ("list", "drain", "undrain"),
    "backfill": ("create", "list", "get", "cancel"),
    "quotas": ("put", "show", "list", "delete"),
    "calendar": ("put", "get", "list", "delete"),
    "queues": ("list", "show", "put", "pause", "resume", "delete"),
    "groups": ("put", "get", "list", "delete"),
    "job": ("show", "history"),
    "versions": ("list", "show", "diff"),
}


def binaries() -> Path:
    """The folder of `rota` and `rota-shim`."""
    folder = Path(os.environ.get("ROTA_BIN", CHECKOUT / ".build" / "release"))
    for name in ("rota", "rota-shim"):
        if not os.access(folder / name, os.X_OK):
            raise RuntimeError(f"{folder / name} is not there: build it, or set ROTA_BIN to the folder that has it")
    return folder


def clean_environment(mark: str) -> dict[str, str]:
    """This process's environment without Rota's own variables, so that nothing leaks into a test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROTA_")}
    environment["E2E_MARK"] = mark
    environment["ETCDCTL_API"] = "3"
    return environment


class Etcd(Child):
    """One etcd member, as a user would start it."""

    def __init__(self, folder: Path, env: dict[str, str], tls: Pair | None = None) -> None:
        """With `tls` it speaks to nobody, members included, who has no certificate of the same authority."""
        self.address = f"127.0.0.1:{free_port()}"
        self.tls = tls
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://{self.address}"
        peer = f"{scheme}://127.0.0.1:{free_port()}"
        arguments = {
            "name": "e2e",
            "data-dir": str(folder / "etcd"),
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"e2e={peer}",
            "logger": "zap",
            "log-level": "warn",
        }
        argv = ["etcd", *(word for name, value in arguments.items() for word in (f"--{name}", value))]
        if tls:
            argv += ["--client-cert-auth", "--peer-client-cert-auth"]
            for prefix in ("", "peer-"):
                argv += [f"--{prefix}trusted-ca-file", str(tls.ca)]
                argv += [f"--{prefix}cert-file", str(tls.certificate), f"--{prefix}key-file", str(tls.key)]
        super().__init__("etcd", argv, folder, env)

    def start(self) -> None:
        super().start()
        rest = Rest(self.address, timeout=2, tls=self.tls.ssl_context() if self.tls else None)
        wait_until(lambda: rest.get("/health").status == 200, START_SECONDS, "etcd is healthy")

    def ctl(self, *arguments: str) -> str:
        command = ["etcdctl", f"--endpoints={self.url}", *arguments]
        if self.tls:
            command += ["--cacert", str(self.tls.ca), "--cert", str(self.tls.certificate), "--key", str(self.tls.key)]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def pairs(self, prefix: str) -> dict[str, str]:
        """All keys with a prefix, as `etcdctl get --prefix` shows them."""
        lines = self.ctl("get", "--prefix", prefix).splitlines()
        return dict(zip(lines[0::2], lines[1::2], strict=True))


class Server(Child):
    def __init__(
        self,
        name: str,
        etcd: Etcd,
        folder: Path,
        env: dict[str, str],
        extra: Sequence[str],
        user: Pair | None = None,
    ) -> None:
        """`user` is who asks, where the server wants to know."""
        self.http = f"127.0.0.1:{free_port()}"
        self.grpc = f"127.0.0.1:{free_port()}"
        self.rest = Rest(self.http, tls=user.ssl_context() if user else None)
        argv = [str(binaries() / "rota"), "server", "--id", name, "--etcd", etcd.url]
        # Tests are floods; those about rates give one.
        argv += ["--http", self.http, "--grpc", self.grpc, "--submit-rate", "off", *extra]
        super().__init__(name, argv, folder, env)

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.running, f"{self.name} ended:\n{self.log_tail()}"
            return Rest(self.http, timeout=2, tls=self.rest.tls).get("/readyz").status == 200

        wait_until(ready, START_SECONDS, f"{self.name} is ready")


class Agent(Child):
    def __init__(
        self, name: str, etcd: Etcd, folder: Path, env: dict[str, str], slots: int, extra: Sequence[str]
    ) -> None:
        argv = [str(binaries() / "rota"), "agent", "--id", name, "--etcd", etcd.url]
        argv += ["--data-dir", str(folder / "agents" / name), "--slots", str(slots)]
        argv += ["--lease-ttl", f"{LEASE_TTL_SECONDS:g}s", "--label", f"name={name}", *extra]
        super().__init__(name, argv, folder, env)


class Cluster:
    """Servers s1…, agents a1… (each with the label name=<its id>), one etcd, all in one folder."""

    def __init__(
        self,
        servers: int = 1,
        agents: int = 2,
        slots: int = 8,
        server_flags: Sequence[str] = (),
        agent_flags: Sequence[str] = (),
        tls: bool = False,
    ) -> None:
        """With `tls` everything speaks mutual TLS, etcd too."""
        self.folder = Path(tempfile.mkdtemp(prefix="rota-e2e-"))
        self.env = clean_environment(self.folder.name)
        self.certificates = Certificates(binaries() / "rota", self.folder / "certs") if tls else None
        self.user = self.certificates.issue("client", "e2e") if self.certificates else None
        self.etcd = Etcd(self.folder, self.env, self.certificates.issue("etcd", "e2e") if self.certificates else None)
        self.servers = [
            Server(name, self.etcd, self.folder, self.env, [*server_flags, *self._tls_flags("server", name)], self.user)
            for name in (f"s{n + 1}" for n in range(servers))
        ]
        self.agents = {
            name: Agent(name, self.etcd, self.folder, self.env, slots, [*agent_flags, *self._tls_flags("agent", name)])
            for name in (f"a{n + 1}" for n in range(agents))
        }
        self.failed = False
        self._clients: dict[str, Client] = {}

    def _tls_flags(self, role: str, name: str) -> list[str]:
        if not self.certificates:
            return []
        pair = self.certificates.issue(role, name)
        return [*(pair.server_flags() if role == "server" else pair.flags()), *pair.etcd_flags()]

    # Life

    def __enter__(self) -> Cluster:
        live_clusters.append(self)
        try:
            self.start()
        except BaseException:
            self.failed = True
            print(self.report())
            self.close()
            raise
        return self

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            self.failed = True
        self.close()

    @property
    def children(self) -> list[Child]:
        return [*self.agents.values(), *self.servers, self.etcd]

    def start(self) -> None:
        """Starts whatever does not run, and waits until the agents have their sessions."""
        if not self.etcd.running:
            self.etcd.start()
        for child in [*self.servers, *self.agents.values()]:
            if not child.running:
                child.start()
        for server in self.servers:
            server.wait_ready()
        self.wait_connected()

    def wait_connected(self, seconds: float = START_SECONDS) -> None:
        """Until every running agent has a session with the leader."""
        wanted = {name for name, agent in self.agents.items() if agent.running}

        def connected() -> bool:
            answer = self.leader().rest.get("/agents")
            seen = {a["worker_id"] for a in listed(answer, "agents") if a.get("connected")}
            return wanted <= seen

        wait_until(connected, seconds, f"agents {sorted(wanted)} are connected", every=0.1)

    def kill_all(self) -> None:
        for child in self.children:
            child.kill()

    def close(self) -> None:
        """Stops everything; complains about processes that are left."""
        for client in self._clients.values():
            client.close()
        for agent in self.agents.values():
            if agent.running:
                agent.send(signal.SIGCONT)
                agent.send(signal.SIGTERM)
        # Tasks that a failed test left behind would keep a draining agent waiting.
        deadline = time.monotonic() + 5
        for agent in self.agents.values():
            agent.stop(max(0.1, deadline - time.monotonic()))
        for server in self.servers:
            server.stop()
        self.etcd.stop()
        if self in live_clusters:
            live_clusters.remove(self)
        self.expect_no_processes()
        # An agent that stops in order removes its own; one that was killed leaves them to the next.
        for name in self.agents:
            for folder in groups_of_agent(name, self.folder / "agents" / name):
                remove_group(folder)
        if not self.failed:
            shutil.rmtree(self.folder, ignore_errors=True)

    def expect_no_processes(self, seconds: float = LEASE_TTL_SECONDS + 2) -> None:
        """No process of this cluster is left, no task either."""
        deadline = time.monotonic() + seconds
        while left := processes_of(self.folder.name):
            if time.monotonic() >= deadline:
                self.failed = True
                for pid in left:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                raise AssertionError(f"processes were left behind: {left}")
            time.sleep(0.1)

    def report(self) -> str:
        """The end of every log, for a failed test."""
        parts = [f"cluster in {self.folder}"]
        for child in self.children:
            state = "running" if child.running else "not running"
            parts.append(f"----- {child.name} ({state})\n{child.log_tail()}")
        return "\n".join(parts)

    # Looking

    @property
    def rest(self) -> Rest:
        return self.servers[0].rest

    def leader(self) -> Server:
        """The server that leads, by the oldest leader key."""

        def look() -> Server | None:
            options = ["--prefix", "--sort-by=CREATE", "--order=ASCEND", "--limit=1", "--print-value-only"]
            value = self.etcd.ctl("get", "/rota/leader/", *options).strip()
            name = json.loads(value)["server_id"] if value else None
            return next((server for server in self.servers if server.name == name), None)

        return wait_until(look, START_SECONDS, "there is a leader")

    def client(self, server: Server | None = None) -> Client:
        """A gRPC client of a server, the first running one by default."""
        chosen = server or next(server for server in self.servers if server.running)
        if chosen.name not in self._clients:
            credentials = self.user.channel_credentials() if self.user else None
            self._clients[chosen.name] = Client(chosen.grpc, credentials=credentials)
        return self._clients[chosen.name]

    def rota(
        self,
        *arguments: str,
        server: Server | None = None,
        timeout: float = 60,
        stdin: bytes | None = None,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a client command; `--server` is put behind the subcommands."""
        chosen = server or self.servers[0]
        tls = self.user.flags() if self.user else []
        depth = 2 if arguments[1:] and arguments[1] in SUBCOMMANDS.get(arguments[0], ()) else 1
        argv = [str(binaries() / "rota"), *arguments[:depth], "--server", chosen.grpc, *tls, *arguments[depth:]]
        done = subprocess.run(
            argv, env={**self.env, **(env or {})}, cwd=self.folder, capture_output=True, timeout=timeout, input=stdin
        )
        return subprocess.CompletedProcess(
            argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    # Jobs

    def submit(self, job: dict[str, Any], server: Server | None = None) -> str:
        """Submits through REST; the job's id."""
        answer = (server.rest if server else self.rest).post("/jobs", job)
        assert answer.status == 201, f"{answer.status}: {answer.text}"
        return answer.json()["job_id"]

    def submit_all(self, specs: Sequence[messages.JobSpec]) -> list[str]:
        """Submits many through gRPC; their ids."""
        results = self.client().submit_batch(messages.SubmitRequest(spec=spec) for spec in specs)
        refused = [result.message for result in results if result.code != 0]
        assert not refused, refused
        return [result.job_id for result in results]

    def wait_job(self, job_id: str, seconds: float = 20, server: Server | None = None) -> messages.Job:
        """The job, once it has ended."""
        client = self.client(server)

        def ended() -> messages.Job | None:
            job = client.job(job_id)
            return job if is_terminal(job.status) else None

        return wait_until(ended, seconds, f"job {job_id} has ended")

    def run_job(self, spec: messages.JobSpec, seconds: float = 20) -> messages.Job:
        """Submits a job and waits for its end."""
        return self.wait_job(self.client().submit(spec).job_id, seconds)

    def wait_jobs(self, job_ids: Sequence[str], seconds: float, server: Server | None = None) -> list[messages.Job]:
        """All these jobs, once they have ended, with their runs."""
        client, open_ids = self.client(server), set(job_ids)

        def all_ended() -> bool:
            ended = {job.job_id for job in client.jobs(page_size=1000) if is_terminal(job.status)}
            open_ids.difference_update(ended)
            return not open_ids

        try:
            wait_until(all_ended, seconds, f"all {len(job_ids)} jobs have ended", every=0.25)
        except AssertionError as error:
            some = [f"{j}: {status_name(client.job(j).status)}" for j in sorted(open_ids)[:5]]
            raise AssertionError(f"{error}; {len(open_ids)} have not, for example {some}") from None
        return [client.job(job_id) for job_id in job_ids]

    def logs_text(self) -> str:
        """What all processes of Rota have logged."""
        return "\n".join(
            child.log.read_text(errors="replace")
            for child in [*self.servers, *self.agents.values()]
            if child.log.exists()
        )


def expect_dead(pids: Sequence[int], seconds: float, what: str) -> None:
    """All these processes end within so many seconds."""
    wait_until(lambda: not any(is_alive(pid) for pid in pids), seconds, what)
