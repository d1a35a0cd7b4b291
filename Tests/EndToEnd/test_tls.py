"""Mutual TLS: who may do what, what is refused, and certificates that change while everything runs."""
from __future__ import annotations

import http.client
import importlib
import pkgutil
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from certs import Certificates, Pair
from cluster import Cluster, Server, binaries, clean_environment
from processes import free_port, wait_until
from rest import Rest, listed
from rota_client import Client, RotaError, exec_job, messages, tls_credentials
from rota_client._generated.rota import v1
from rota_client._generated.rota.v1 import agent_session_pb2

CONNECT = "/rota.v1.AgentSession/Connect"
LOGS = "/rota.v1.AgentSession/Logs"
RELOAD_SECONDS = 15
HANDSHAKE_SECONDS = 10


@pytest.fixture(scope="module")
def secure() -> Iterator[Cluster]:
    """Two servers, two agents and etcd, all with certificates of one authority."""
    with Cluster(servers=2, agents=2, tls=True) as cluster:
        yield cluster
        assert all(child.running for child in cluster.children)


def channel(server: Server, credentials: grpc.ChannelCredentials) -> grpc.Channel:
    return grpc.secure_channel(server.grpc, credentials)


def status_of_unary(server: Server, credentials: grpc.ChannelCredentials, path: str, request: bytes = b"", metadata=()):
    """The status of a call, and its text."""
    with channel(server, credentials) as connection:
        try:
            connection.unary_unary(path)(request, timeout=15, metadata=metadata)
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def status_of_stream(server: Server, credentials: grpc.ChannelCredentials, path: str, first: bytes):
    """The status of a stream that has begun with a message."""
    with channel(server, credentials) as connection:
        try:
            for _ in connection.stream_stream(path)(iter([first]), timeout=15):
                pass
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""


def hello(worker_id: str) -> bytes:
    return agent_session_pb2.AgentMessage(hello=agent_session_pb2.Hello(worker_id=worker_id)).SerializeToString()


def by_openssl(secure: Cluster, name: str, san: str, *extra: str) -> Pair:
    """A certificate that the cluster's authority has signed but `rota certs` would not make."""
    folder = secure.certificates.folder
    key, request, certificate = (folder / f"{name}{suffix}" for suffix in (".key", ".csr", ".crt"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={san}\nextendedKeyUsage=serverAuth,clientAuth\n")
    for argv in (
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)],
        ["x509", "-req", "-in", str(request), "-CA", str(secure.certificates.ca), "-CAkey", str(folder / "ca.key"),
         "-CAcreateserial", "-extfile", str(extensions), "-out", str(certificate), *extra],
    ):
        done = subprocess.run(["openssl", *argv], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
    return Pair(certificate, key, secure.certificates.ca)


def s_client(address: str, *arguments: str, data: bytes = b"", seconds: float = 15) -> str:
    argv = ["openssl", "s_client", "-connect", address, *arguments]
    done = subprocess.run(argv, input=data, capture_output=True, timeout=seconds)
    return (done.stdout + done.stderr).decode(errors="replace")


# Everything works


def test_jobs_run_over_mutual_tls(secure):
    done = secure.rota("submit", "--wait", "--", "sh", "-c", "echo hi; exit 3")
    assert (done.returncode, done.stdout) == (3, "hi\n"), done.stderr
    job = secure.run_job(exec_job(["/bin/echo", "from python"]))
    assert job.runs[0].attempts[-1].exit_code == 0
    job_id = secure.submit({"exec": ["/bin/echo", "over rest"]})
    secure.wait_job(job_id)
    # Servers reach the leader with their own certificates: one of these two has to.
    for server in secure.servers:
        assert {a["worker_id"] for a in listed(server.rest.get("/agents"), "agents") if a["connected"]} == {"a1", "a2"}
        done = secure.rota("logs", job_id, server=server)
        assert (done.returncode, done.stdout) == (0, "over rest\n"), done.stderr
    url = f"https://{secure.servers[0].grpc}"
    done = secure.rota("jobs", "--server", url, env={"SSL_CERT_FILE": "/nonexistent"})
    assert done.returncode == 0, done.stderr


def test_etcd_asks_for_certificates_too(secure):
    with pytest.raises(OSError):
        Rest(secure.etcd.address, tls=secure.certificates.without_certificate()).get("/health")
    assert "/rota/leader/" in secure.etcd.ctl("get", "--prefix", "/rota/leader/", "--keys-only")


# Who may do what


def test_without_a_certificate(secure):
    server = secure.servers[0]
    nobody = tls_credentials(secure.certificates.ca)
    for path in ("/rota.v1.Jobs/List", "/rota.v1.Runs/List", "/rota.v1.Agents/List"):
        code, text = status_of_unary(server, nobody, path)
        assert code == grpc.StatusCode.UNAUTHENTICATED and "certificate" in text, (path, code, text)
    code, _ = status_of_stream(server, nobody, CONNECT, hello("a1"))
    assert code == grpc.StatusCode.UNAUTHENTICATED

    rest = Rest(server.http, tls=secure.certificates.without_certificate())
    for path in ("/jobs", "/v1/jobs", "/agents", "/metrics", "/nothing", "/v1/healthz/x"):
        assert rest.get(path).status == 401, path
    assert rest.post("/jobs", {"exec": ["true"]}).json()["error"]["code"] == "unauthenticated"
    for path in ("/healthz", "/readyz", "/v1/healthz", "/v1/readyz"):
        assert rest.get(path).status == 200, path


def test_health_and_reflection_are_for_everybody(secure):
    nobody = tls_credentials(secure.certificates.ca)
    code, text = status_of_unary(secure.servers[0], nobody, "/grpc.health.v1.Health/Check")
    assert code == grpc.StatusCode.OK, text
    request = b"\x3a\x01*"  # list_services: "*"
    for version in ("v1", "v1alpha"):
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        code, text = status_of_stream(secure.servers[0], nobody, path, request)
        assert code == grpc.StatusCode.OK, text


def test_each_role_has_its_own_calls(secure):
    server = secure.leader()
    agent = secure.certificates.issue("agent", "roles")
    client = secure.user
    a_server = secure.certificates.issue("server", "roles")
    submit = messages.SubmitRequest(spec=exec_job(["true"])).SerializeToString()

    code, text = status_of_unary(server, agent.channel_credentials(), "/rota.v1.Jobs/Submit", submit)
    assert code == grpc.StatusCode.PERMISSION_DENIED and "spiffe://e2e/agent/roles" in text
    answer = Rest(server.http, tls=agent.ssl_context()).post("/jobs", {"exec": ["true"]})
    assert (answer.status, answer.json()["error"]["code"]) == (403, "permission_denied"), answer.text

    for pair in (client, a_server):
        code, _ = status_of_unary(server, pair.channel_credentials(), "/rota.v1.Jobs/List")
        assert code == grpc.StatusCode.OK
        assert Rest(server.http, tls=pair.ssl_context()).get("/jobs").status == 200
        for path, first in ((CONNECT, hello("a1")), (LOGS, b"")):
            code, text = status_of_stream(server, pair.channel_credentials(), path, first)
            assert code == grpc.StatusCode.PERMISSION_DENIED, (path, code, text)


def user_methods() -> Iterator[tuple[str, bool]]:
    """The paths of all methods that are not for agents, from their descriptors; and whether a client streams."""
    for module in pkgutil.iter_modules(v1.__path__, f"{v1.__name__}."):
        if module.name.endswith("_pb2"):
            for service in importlib.import_module(module.name).DESCRIPTOR.services_by_name.values():
                for method in service.methods if service.name != "AgentSession" else ():
                    yield f"/{service.full_name}/{method.name}", method.client_streaming


def test_no_method_is_open_by_accident(secure):
    """Those that a later version brings, too: agents, and callers without a certificate, may call none of them."""
    server = secure.servers[0]
    agent = secure.certificates.issue("agent", "curious").channel_credentials()
    nobody = tls_credentials(secure.certificates.ca)
    methods = dict(user_methods())
    services = {path.split("/")[1].removeprefix("rota.v1.") for path in methods}
    assert services >= {"Agents", "Backfills", "Calendars", "Cluster", "Events", "Jobs", "Runs", "Schedules"}
    for path, is_stream in methods.items():
        for caller, expected in (
            (nobody, grpc.StatusCode.UNAUTHENTICATED), (agent, grpc.StatusCode.PERMISSION_DENIED)
        ):  # fmt: skip
            call = status_of_stream if is_stream else status_of_unary
            code, text = call(server, caller, path, b"")
            assert code == expected, (path, code, text)


def test_an_agent_can_be_nobody_else(secure):
    server = secure.leader()
    agent = secure.certificates.issue("agent", "impostor").channel_credentials()
    introduction = agent_session_pb2.LogReply(error="a1").SerializeToString()
    for path, first in ((CONNECT, hello("a1")), (LOGS, introduction)):
        code, text = status_of_stream(server, agent, path, first)
        assert code == grpc.StatusCode.PERMISSION_DENIED, (path, code, text)
        assert "'a1'" in text and "spiffe://e2e/agent/impostor" in text, text
    log = server.log.read_text()
    assert re.search(r"an agent was refused.*a1", log) and "spiffe://e2e/agent/impostor" in log
    # The real one has not noticed.
    assert secure.run_job(exec_job(["true"], constraints=[])).runs[0].attempts[-1].exit_code == 0

    done = subprocess.run(
        [binaries() / "rota", "agent", "--id", "a9", "--data-dir", str(secure.folder / "a9"),
         *secure.certificates.issue("agent", "a8").flags()],
        env=secure.env, capture_output=True, text=True, timeout=30,
    )
    assert done.returncode == 1 and "spiffe://e2e/agent/a8" in done.stderr and "'a9'" in done.stderr, done.stderr


def test_certificates_of_our_authority_that_say_nothing_of_us(secure):
    server = secure.servers[0]
    for name, san, words in (
        ("elsewhere", "URI:spiffe://other/client/x", "'other'"),
        ("nameless", "DNS:x.example", "exactly one URI"),
        ("twofold", "URI:spiffe://e2e/client/x,URI:spiffe://e2e/server/x", "exactly one URI"),
        ("odd", "URI:spiffe://e2e/root/x", "spiffe://e2e/root/x"),
    ):
        pair = by_openssl(secure, name, san)
        code, text = status_of_unary(server, pair.channel_credentials(), "/rota.v1.Jobs/List")
        assert code == grpc.StatusCode.PERMISSION_DENIED and words in text, (name, code, text)
        assert Rest(server.http, tls=pair.ssl_context()).get("/jobs").status == 403


def test_expired_and_foreign_certificates(secure):
    server = secure.servers[0]
    foreign = Certificates(binaries() / "rota", secure.folder / "foreign").issue("client", "x")
    bad = {
        "foreign": Pair(foreign.certificate, foreign.key, secure.certificates.ca),
        "expired": by_openssl(secure, "expired", "URI:spiffe://e2e/client/x", "-days", "-1"),
    }
    for name, pair in bad.items():
        code, text = status_of_unary(server, pair.channel_credentials(), "/rota.v1.Jobs/List")
        assert code == grpc.StatusCode.UNAVAILABLE, (name, code, text)
        with pytest.raises(OSError):
            Rest(server.http, tls=pair.ssl_context()).get("/jobs")
        # The command line says why, and soon.
        done = subprocess.run(
            [binaries() / "rota", "jobs", "--server", server.grpc, *pair.flags()],
            env=secure.env, capture_output=True, text=True, timeout=30,
        )
        assert done.returncode == 1, (name, done.stdout)
        assert ("expired" if name == "expired" else "unknown ca") in done.stderr or "ended" in done.stderr, done.stderr
    # Nor does a client accept a server of another authority.
    done = subprocess.run(
        [binaries() / "rota", "jobs", "--server", server.grpc, "--tls-ca", str(foreign.ca)],
        env=secure.env, capture_output=True, text=True, timeout=30,
    )
    assert done.returncode == 1 and "not trusted" in done.stderr, done.stderr


def test_only_servers_can_say_that_a_call_is_forwarded(secure):
    follower = next(server for server in secure.servers if server is not secure.leader())

    def connected(pair: Pair) -> list[bool]:
        with channel(follower, pair.channel_credentials()) as connection:
            answer = connection.unary_unary("/rota.v1.Agents/List")(
                b"", timeout=15, metadata=[("rota-forwarded", "1")]
            )
        return [agent.connected for agent in messages.ListAgentsResponse.FromString(answer).agents]

    # A follower that must not ask the leader does not know.
    assert connected(secure.certificates.issue("server", "forwarding")) == [False, False]
    assert connected(secure.user) == [True, True]


# TLS itself


def test_plain_text_to_a_tls_port_fails_fast(secure):
    server = secure.servers[0]
    with grpc.insecure_channel(server.grpc) as connection:
        started = time.monotonic()
        with pytest.raises(grpc.RpcError) as failed:
            connection.unary_unary("/rota.v1.Jobs/List")(b"", timeout=15)
        assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - started < 10
    for address in (server.grpc, server.http):
        assert Rest(address).raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", timeout=8).count(b"HTTP/1.1 200") == 0
    done = subprocess.run(
        [binaries() / "rota", "jobs", "--server", server.grpc], env=secure.env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1 and f"tried {server.grpc}" in done.stderr, done.stderr


@pytest.mark.parametrize("side", ["grpc", "http"])
def test_versions_of_tls(secure, side):
    address = getattr(secure.servers[0], side)
    ca = ["-CAfile", str(secure.certificates.ca), "-alpn", "h2" if side == "grpc" else "http/1.1"]
    old = s_client(address, *ca, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    assert "protocol version" in old and "Cipher is (NONE)" in old, old
    for flag, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        seen = s_client(address, *ca, flag)
        assert f"New, {name}, Cipher is" in seen and "Verify return code: 0 (ok)" in seen, seen


def test_alpn(secure):
    server = secure.servers[0]
    assert "ALPN protocol: h2" in s_client(server.grpc, "-alpn", "h2")
    assert "ALPN protocol: h2" in s_client(server.grpc, "-alpn", "http/1.1,h2")
    assert "ALPN protocol: http/1.1" in s_client(server.http, "-alpn", "h2,http/1.1")
    request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    # REST needs no ALPN; gRPC does, and ends the connection without a word of HTTP/2.
    with socket.create_connection(tuple_of(server.http)) as raw:
        context = secure.certificates.without_certificate()
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
            wrapped.sendall(request)
            assert wrapped.recv(100).startswith(b"HTTP/1.1 200")
    for protocols in ([], ["http/1.1"]):
        context = secure.certificates.without_certificate()
        context.set_alpn_protocols(protocols) if protocols else None
        with socket.create_connection(tuple_of(server.grpc), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname="127.0.0.1") as wrapped:
                assert wrapped.selected_alpn_protocol() is None
                assert closes(wrapped)


def tuple_of(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


def closes(connection: socket.socket) -> bool:
    """Whether the peer ends the connection; everything before is an error of the test."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_a_handshake_that_never_ends(secure):
    """Whoever connects and says nothing, or half a sentence, is cut off."""

    def seconds_until_closed(address: str, words: bytes) -> float:
        started = time.monotonic()
        with socket.create_connection(tuple_of(address), timeout=HANDSHAKE_SECONDS + 10) as raw:
            raw.sendall(words)
            assert closes(raw)
        return time.monotonic() - started

    server = secure.servers[0]
    cases = [(address, words) for address in (server.grpc, server.http) for words in (b"", b"\x16\x03\x01\x02\x00\x01")]
    with ThreadPoolExecutor(len(cases)) as pool:
        for seconds in pool.map(lambda case: seconds_until_closed(*case), cases):
            assert seconds < HANDSHAKE_SECONDS + 5
    assert "not complete in time" in server.log.read_text()


# Certificates that change


def serial(address: str) -> str:
    shown = s_client(address, "-alpn", "h2,http/1.1")
    certificate = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", shown, re.S)
    assert certificate, shown
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=certificate.group(), capture_output=True, text=True, timeout=15
    )
    return done.stdout.strip()


def test_certificates_are_replaced_without_a_restart():
    with Cluster(servers=1, agents=1, tls=True) as cluster:
        server, agent = cluster.servers[0], cluster.agents["a1"]
        before = serial(server.grpc)
        job_id = cluster.submit({"exec": ["/bin/sleep", "600"]})
        states = cluster.client().watch(job_id)
        wait_until(lambda: next(states).status == messages.JobStatus.JOB_STATUS_RUNNING, 15, "the job runs")
        # Those that it got, and those that it did not get while the server was not leading yet.
        sessions = agent.log.read_text().count("session with the leader")
        kept = http.client.HTTPSConnection(server.http, context=cluster.user.ssl_context(), timeout=15)
        kept.request("GET", "/agents")
        assert kept.getresponse().read()
        socket_before = kept.sock

        cluster.certificates.issue("server", "s1", "--force", "--days", "30")
        wait_until(lambda: serial(server.grpc) != before, RELOAD_SECONDS, "gRPC shows the new certificate")
        after = serial(server.grpc)
        wait_until(lambda: serial(server.http) == after, RELOAD_SECONDS, "REST shows it too")

        # A broken file leaves it in force, and says so.
        certificate = cluster.certificates.folder / "server-s1.crt"
        good = certificate.read_bytes()
        certificate.write_bytes(good[: len(good) // 2])
        wait_until(lambda: "the old ones stay in force" in server.log.read_text(), RELOAD_SECONDS, "it is complained about")
        assert serial(server.grpc) == serial(server.http) == after
        certificate.write_bytes(good)

        # The connections of before have gone on: the same socket, the same stream, the same session.
        kept.request("GET", f"/jobs/{job_id}")
        assert kept.getresponse().status == 200 and kept.sock is socket_before
        kept.close()
        cluster.client().cancel(job_id)
        *_, last = states
        assert last.status == messages.JobStatus.JOB_STATUS_CANCELLED
        assert agent.log.read_text().count("session with the leader") == sessions

        # The agent's next connection uses its new files, whatever they are.
        good = {suffix: (cluster.certificates.folder / f"agent-a1.{suffix}").read_bytes() for suffix in ("crt", "key")}
        foreign = Certificates(binaries() / "rota", cluster.folder / "foreign").issue("agent", "a1")
        seen = agent.log.read_text().count("certificates were read again")
        shutil.copy(foreign.key, cluster.certificates.folder / "agent-a1.key")
        shutil.copy(foreign.certificate, cluster.certificates.folder / "agent-a1.crt")
        reread = lambda: agent.log.read_text().count("certificates were read again") > seen  # noqa: E731
        wait_until(reread, RELOAD_SECONDS, "the agent has read its new certificate")
        assert agent.log.read_text().count("session with the leader") == sessions
        server.stop()
        server.start()
        server.wait_ready()
        wait_until(lambda: "a TLS handshake failed" in server.log.read_text(), 20, "the agent is refused")
        for suffix, content in good.items():
            (cluster.certificates.folder / f"agent-a1.{suffix}").write_bytes(content)
        cluster.wait_connected()


# The rules for listening


def test_a_server_that_others_can_reach_needs_tls_or_a_word(tmp_path):
    env = clean_environment(tmp_path.name)

    def run(
        *flags: str, variables: dict[str, str] | None = None, patience: float = 20
    ) -> subprocess.CompletedProcess[str]:
        argv = [binaries() / "rota", "server", "--id", "s1", "--etcd", f"127.0.0.1:{free_port()}", *flags]
        try:
            return subprocess.run(argv, env={**env, **(variables or {})}, capture_output=True, text=True, timeout=patience)
        except subprocess.TimeoutExpired as error:
            # It waits for etcd: the addresses were fine.
            return subprocess.CompletedProcess(argv, 0, "", (error.stderr or b"").decode())

    for flags in (["--http", "0.0.0.0:0"], ["--grpc", "[::]:0"], ["--grpc", "rota.example:7070"]):
        done = run(*flags)
        assert done.returncode == 2, (flags, done.stderr)
        assert flags[0] in done.stderr and "--tls-cert" in done.stderr and "--insecure" in done.stderr, done.stderr
    assert run("--http", "127.1.2.3:0", "--grpc", "localhost:0", patience=3).returncode == 0
    assert run("--http", "0.0.0.0:0", "--insecure", patience=3).returncode == 0
    assert run("--http", "0.0.0.0:0", variables={"ROTA_INSECURE": "true"}, patience=3).returncode == 0
    assert run("--http", "0.0.0.0:0", variables={"ROTA_INSECURE": "false"}).returncode == 2
    pair = Certificates(binaries() / "rota", tmp_path / "certs").issue("server", "s1")
    assert run("--http", "0.0.0.0:0", *pair.server_flags(), patience=3).returncode == 0

    agent = Certificates(binaries() / "rota", tmp_path / "more").issue("agent", "a1")
    done = run(*agent.server_flags())
    assert done.returncode == 1 and "spiffe://<cluster>/server/<name>" in done.stderr, done.stderr
    done = run("--tls-cert", str(pair.certificate))
    assert done.returncode == 2 and "go together" in done.stderr
    done = run("--tls-cert", str(pair.certificate), "--tls-key", str(agent.key))
    assert done.returncode == 1 and "cannot be used together" in done.stderr

    done = subprocess.run(
        [binaries() / "rota", "dev", "--http", "0.0.0.0:0", "--data-dir", str(tmp_path / "dev")],
        env=env, capture_output=True, text=True, timeout=15,
    )
    assert done.returncode == 2 and "--insecure" in done.stderr, done.stderr


def test_tls_without_asking_who_calls(tmp_path):
    """Without --tls-client-ca the connection is secret, and everybody may do everything."""
    with Cluster(servers=1, agents=0) as cluster:
        certificates = Certificates(binaries() / "rota", tmp_path / "certs")
        pair = certificates.issue("server", "s2")
        flags = ["--tls-cert", str(pair.certificate), "--tls-key", str(pair.key), "--tls-ca", str(pair.ca)]
        server = Server("s2", cluster.etcd, cluster.folder, cluster.env, flags)
        server.rest.tls = certificates.without_certificate()
        server.start()
        try:
            server.wait_ready()
            assert "everybody may do everything" in server.log.read_text()
            assert server.rest.post("/jobs", {"exec": ["true"]}).status == 201
            with Client(server.grpc, credentials=tls_credentials(certificates.ca)) as client:
                assert list(client.jobs())
            with Client(server.grpc) as client, pytest.raises(RotaError):
                list(client.jobs())
        finally:
            server.stop()


# The command


def test_certs_command(tmp_path: Path):
    def certs(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binaries() / "rota", "certs", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=30
        )

    done = certs("issue", "agent", "a1")
    assert done.returncode == 1 and "certs/ca.crt cannot be read" in done.stderr
    assert certs("init", "--cluster", "Bad Name").returncode == 1
    assert certs("init", "--cluster", "demo").stdout == "certs/ca.crt\ncerts/ca.key\n"
    key = tmp_path / "certs" / "ca.key"
    kept = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    done = certs("init", "--cluster", "demo")
    assert done.returncode == 1 and "--force" in done.stderr and key.read_bytes() == kept

    done = certs("issue", "server", "s1", "--host", "rota.example", "--ip", "10.0.0.1", "--days", "7", "--out", "s1")
    assert done.returncode == 0, done.stderr
    assert {f.name for f in (tmp_path / "s1").iterdir()} == {"ca.crt", "server-s1.crt", "server-s1.key"}
    assert (tmp_path / "s1" / "server-s1.key").stat().st_mode & 0o777 == 0o600
    shown = certs("show", "s1/server-s1.crt").stdout
    for words in ("spiffe://demo/server/s1", "rota.example, 10.0.0.1", "7 days left", "server, client"):
        assert words in shown, shown
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", "s1/ca.crt", "-verify_hostname", "rota.example"]
    done = subprocess.run([*verify, "s1/server-s1.crt"], cwd=tmp_path, capture_output=True, text=True, timeout=15)
    assert done.returncode == 0, done.stderr

    before = (tmp_path / "s1" / "server-s1.key").read_bytes()
    assert certs("issue", "server", "s1", "--out", "s1").returncode == 1
    assert (tmp_path / "s1" / "server-s1.key").read_bytes() == before
    assert certs("issue", "server", "s1", "--out", "s1", "--force").returncode == 0
    assert (tmp_path / "s1" / "server-s1.key").read_bytes() != before
    for arguments, words in (
        (["issue", "agent", "A"], "a-z"),
        (["issue", "boss", "a"], "boss"),
        (["issue", "agent", "a", "--host", "h"], "nobody connects"),
        (["show", "certs/ca.key"], "no certificate"),
        (["show", "missing"], "cannot be read"),
    ):
        done = certs(*arguments)
        assert done.returncode != 0 and words in done.stderr, (arguments, done.stderr)
