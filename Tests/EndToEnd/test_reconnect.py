"""Connections that break: agents and the command line find their way again, and nothing is lost or done twice."""
from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import SimpleNamespace

import grpc
import pytest

from cluster import Agent, Cluster, Server, binaries
from processes import free_port, wait_until
from proxy import Proxy
from rota_client import RotaError, is_terminal, messages, shell_job, status_name
from test_leader_lost import TERMINAL, Submitter
from witness import RunWatch

DEAD_PEER_SECONDS = 10.0
"""Within so long a peer that went silent is noticed."""


def said(agent: Agent, message: str) -> list[dict[str, str]]:
    """The lines of an agent's log with this message."""
    found = []
    for line in agent.log.read_text(errors="replace").splitlines():
        if message in line:
            record = json.loads(line)
            if record["message"] == message:
                found.append(record)
    return found


def recorded_once(watch: RunWatch) -> None:
    """Every run that was seen has reached one terminal state, once."""
    for run, states in watch.states().items():
        assert [state for state in states if state in TERMINAL] == ["completed"], f"{run}: {states}"


@pytest.fixture
def behind_proxy():
    """A server that agents reach only through a proxy, and one agent."""
    with Proxy() as proxy:
        cluster = Cluster(servers=1, agents=1, server_flags=["--advertise-grpc", proxy.address])
        proxy.target = cluster.servers[0].grpc
        with cluster:
            yield cluster, proxy


@pytest.mark.alone
def test_agents_notice_a_silent_leader(behind_proxy):
    cluster, proxy = behind_proxy
    agent, ran = cluster.agents["a1"], cluster.folder / "ran"
    ran.touch()

    def spec(seconds: int) -> messages.JobSpec:
        return shell_job(f'echo "$ROTA_JOB_ID $ROTA_ATTEMPT" >> {ran}; sleep {seconds}; echo done')

    client = cluster.client()
    with RunWatch(cluster) as watch:
        # One ends before the silence is noticed, one while there is no session, one after.
        jobs = [client.submit(spec(seconds)).job_id for seconds in (3, 14, 30)]
        wait_until(lambda: len(ran.read_text().splitlines()) == 3, 20, "all three run")
        lost = len(said(agent, "no session with the leader"))
        sessions = len(said(agent, "session with the leader"))
        proxy.stall()
        stalled = time.monotonic()
        wait_until(lambda: len(said(agent, "no session with the leader")) > lost, 30, "the silence is noticed")
        noticed = time.monotonic() - stalled
        print(f"noticed after {noticed:.2f} s")
        assert noticed < DEAD_PEER_SECONDS + 1, "the keepalive is 5 s + 4 s; the rest is for a slow machine"
        waiting = client.submit(spec(0)).job_id
        accepted = proxy.accepted
        wait_until(lambda: proxy.accepted >= accepted + 2, 30, "the agent tries again while it is silent")
        assert status_name(client.job(jobs[0]).status) == "running", "its result cannot have come"
        proxy.resume()
        wait_until(lambda: len(said(agent, "session with the leader")) > sessions, 30, "there is a session again")
        ended = cluster.wait_jobs([*jobs, waiting], 60)
        time.sleep(1)
        recorded_once(watch)
    assert {status_name(job.status) for job in ended} == {"completed"}
    assert [len(job.runs[0].attempts) for job in ended] == [1] * 4
    assert Counter(ran.read_text().splitlines()) == {f"{job.job_id} 1": 1 for job in ended}
    assert all(b"done" in job.runs[0].output_tail for job in ended)


def test_servers_that_leave_in_order_lose_no_update():
    """GOAWAY while results flow, from each leader in turn."""
    with Cluster(servers=3, agents=2, slots=32) as cluster:
        ran = cluster.folder / "ran"
        ran.touch()
        spec = shell_job(f'echo "$ROTA_JOB_ID $ROTA_ATTEMPT" >> {ran}')
        with RunWatch(cluster) as watch:
            submitter = Submitter(cluster, spec, 300, pause=0.02)
            submitter.start()
            for wanted in (60, 140):
                wait_until(lambda: len(submitter.ids) >= wanted, 90, f"{wanted} jobs are submitted")
                leader = cluster.leader()
                leader.send(signal.SIGTERM)
                assert leader.wait(20) == 0
                leader.start()
                leader.wait_ready()
            submitter.join(120)
            assert not submitter.is_alive() and submitter.error is None, submitter.error
            jobs = cluster.wait_jobs(submitter.ids, 60)
            time.sleep(1)
            recorded_once(watch)
            assert len(watch.states()) == 300
        assert {status_name(job.status) for job in jobs} == {"completed"}
        assert {len(job.runs[0].attempts) for job in jobs} == {1}
        executions = Counter(ran.read_text().splitlines())
        assert set(executions.values()) == {1} and len(executions) == 300


def test_all_servers_restart_and_agents_come_back_one_by_one():
    with Cluster(servers=2, agents=6, slots=2) as cluster:
        ran = cluster.folder / "ran"
        ran.touch()
        spec = shell_job(f'echo "$ROTA_JOB_ID $ROTA_ATTEMPT" >> {ran}; sleep 8; echo done')
        job_ids = cluster.submit_all([spec] * 6)
        wait_until(lambda: len(ran.read_text().splitlines()) == 6, 30, "all run")
        before = {name: len(said(agent, "session with the leader")) for name, agent in cluster.agents.items()}
        for server in cluster.servers:
            server.send(signal.SIGTERM)
        for server in cluster.servers:
            assert server.wait(30) == 0
        time.sleep(10)  # the tasks end while nobody can be told
        for server in cluster.servers:
            server.start()
        for server in cluster.servers:
            server.wait_ready()
        cluster.wait_connected()
        back = []
        for name, agent in cluster.agents.items():
            sessions = said(agent, "session with the leader")[before[name] :]
            back.append(datetime.fromisoformat(sessions[-1]["time"]).timestamp())
        spread = max(back) - min(back)
        print(f"the agents came back within {spread * 1000:.0f} ms")
        assert spread > 0.01, "agents that come back at one moment have no jitter"
        jobs = cluster.wait_jobs(job_ids, 30)
        assert {status_name(job.status) for job in jobs} == {"completed"}
        assert {len(job.runs[0].attempts) for job in jobs} == {1}
        assert len(ran.read_text().splitlines()) == 6, "nothing ran again"


def test_without_a_leader_the_answer_says_so():
    with Cluster(servers=2, agents=1) as cluster:
        job_id = cluster.client().submit(shell_job("echo hi")).job_id
        cluster.wait_job(job_id)
        leader = cluster.leader()
        other = next(server for server in cluster.servers if server is not leader)
        client = cluster.client(other)
        assert b"".join(chunk.data for chunk in client.logs(job_id)) == b"hi\n"
        leader.kill()
        with pytest.raises(RotaError) as caught:
            list(client.logs(job_id, timeout=10))
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE
        assert "leader" in caught.value.message and "try again" in caught.value.message
        assert caught.value.retry_delay == 1.0
        assert is_terminal(client.job(job_id).status), "what needs no leader is answered"

        def again() -> bool:
            try:
                return b"".join(chunk.data for chunk in client.logs(job_id, timeout=10)) == b"hi\n"
            except RotaError:
                return False

        wait_until(again, 30, "the new leader answers", every=0.5)


def test_calls_for_the_leader_share_one_connection_that_comes_back(behind_proxy):
    cluster, proxy = behind_proxy
    follower = Server("s2", cluster.etcd, cluster.folder, cluster.env, [])
    cluster.servers.append(follower)
    follower.start()
    follower.wait_ready()
    job_id = cluster.client().submit(shell_job("echo hi")).job_id
    cluster.wait_job(job_id)
    client = cluster.client(follower)

    def logs() -> bytes:
        return b"".join(chunk.data for chunk in client.logs(job_id, timeout=30))

    before = proxy.accepted
    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(lambda _: logs(), range(200))) == {b"hi\n"}
    assert proxy.accepted == before + 1, "one connection for 200 calls, 50 at a time"

    proxy.cut()
    cluster.wait_connected()
    assert logs() == b"hi\n", "the next call makes a new one"

    proxy.stall()
    asked = time.monotonic()
    for _ in range(2):  # on the connection that went silent, then without one
        with pytest.raises(RotaError) as caught:
            logs()
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE
        assert proxy.address in caught.value.message and "try again" in caught.value.message
    assert time.monotonic() - asked < 25, "a caller is told, and does not wait for ever"
    proxy.resume()
    cluster.wait_connected()
    assert logs() == b"hi\n"


# The command line


def rota(cluster: Cluster, *arguments: str, servers: str) -> subprocess.CompletedProcess[str]:
    env = {**cluster.env, "ROTA_SERVER": servers}
    return subprocess.run(
        [str(binaries() / "rota"), *arguments], env=env, cwd=cluster.folder, capture_output=True, text=True, timeout=90
    )


def test_the_command_line_tries_the_next_server(pair):
    dead = f"127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes connections and says nothing
        silent = f"127.0.0.1:{mute.getsockname()[1]}"
        for servers in (f"{dead},{pair.servers[0].grpc}", f"{silent},{dead},{pair.servers[1].grpc}"):
            done = rota(pair, "submit", "--wait", "--", "echo", "hi", servers=servers)
            assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr
        done = rota(pair, "jobs", servers=f"{dead},{silent}")
    assert done.returncode not in (0, -6, -11)
    assert dead in done.stderr and silent in done.stderr, f"what was tried is told: {done.stderr}"


def test_the_command_line_leaves_a_server_that_is_cut_off():
    """A submit to a server that cannot reach etcd goes to the next one, and is one job."""
    with Cluster(servers=1, agents=1) as cluster, Proxy(cluster.etcd.address) as proxy:
        cut = Server("s2", SimpleNamespace(url=f"http://{proxy.address}"), cluster.folder, cluster.env, [])
        cluster.servers.append(cut)
        cut.start()
        cut.wait_ready()
        proxy.stall()
        servers = f"{cut.grpc},{cluster.servers[0].grpc}"
        done = rota(cluster, "submit", "--job-id", "once", "--", "true", servers=servers)
        assert (done.returncode, done.stdout) == (0, "once\n"), done.stderr
        assert status_name(cluster.wait_job("once").status) == "completed"
        assert len(list(cluster.client().jobs())) == 1
        # Nobody else can be asked: the reason is told, with the server's name.
        done = rota(cluster, "submit", "--job-id", "never", "--", "true", servers=cut.grpc)
        assert done.returncode not in (0, -6, -11)
        assert cut.grpc in done.stderr and "etcd" in done.stderr, done.stderr
        assert "never" not in {job.job_id for job in cluster.client().jobs()}
        cut.kill()
