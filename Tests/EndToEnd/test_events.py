"""Following changes: in order, without a gap and without a repeat, through whatever happens to servers and readers."""
from __future__ import annotations

import http.client
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from cluster import Cluster, Server, binaries
from processes import wait_until
from rota_client import Client, RotaError, messages, noop_job, shell_job


@contextmanager
def etcd_history(cluster: Cluster, start: int) -> Iterator[list[tuple[int, str]]]:
    """What etcd itself tells of jobs and runs after a revision: (revision, key), in its order, as it comes."""
    command = ["etcdctl", f"--endpoints={cluster.etcd.address}", "watch", "--prefix", "/rota/"]
    command += [f"--rev={start + 1}", "-w", "json"]
    process = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
    seen: list[tuple[int, str]] = []

    def read() -> None:
        import base64

        for line in process.stdout:
            for event in json.loads(line).get("Events") or []:
                key = base64.b64decode(event["kv"]["key"]).decode()
                if key.startswith(("/rota/jobs/", "/rota/runs/")):
                    seen.append((event["kv"]["mod_revision"], key))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        process.kill()
        process.wait()
        reader.join(5)


def key_of(change: messages.Change) -> tuple[str, ...]:
    """What a change is about, in the words of etcd's key behind the segment."""
    kind = change.WhichOneof("what")
    what = getattr(change, kind)
    if kind in ("job", "removed_job"):
        return ("jobs", what.namespace, what.job_id)
    return ("runs", what.namespace, what.job_id, what.run_id)


def etcd_key(key: str) -> tuple[str, ...]:
    parts = key.split("/")
    return (parts[2], *parts[4:])


class Follower(threading.Thread):
    """Collects changes until it is told to stop."""

    def __init__(self, servers: str, start: int, pause: float = 0, **options) -> None:
        super().__init__(daemon=True)
        self.client, self.start_revision, self.pause, self.options = Client(servers), start, pause, options
        self.changes: list[messages.Change] = []
        self.revision = start
        self.failure: RotaError | None = None
        self.wanted = True
        self.start()

    def run(self) -> None:
        try:
            for step in self.client.events(self.start_revision, **self.options):
                assert all(change.revision <= step.revision for change in step.changes) or step.revision == 0
                self.changes += step.changes
                self.revision = max(self.revision, step.revision)
                if not self.wanted:
                    return
                time.sleep(self.pause)
        except RotaError as error:
            if self.wanted:
                self.failure = error

    def stop(self) -> None:
        self.wanted = False
        self.client.close()
        self.join(10)

    def wait(self, revision: int, seconds: float) -> None:
        def reached() -> bool:
            assert self.failure is None, self.failure
            return self.revision >= revision

        wait_until(reached, seconds, f"the follower has come to revision {revision}; it is at {self.revision}")

    def history(self) -> list[tuple[int, tuple[str, ...]]]:
        return [(change.revision, key_of(change)) for change in self.changes]


def etcd_revision(cluster: Cluster) -> int:
    return json.loads(cluster.etcd.ctl("get", "/rota/meta", "-w", "json"))["header"]["revision"]


def expect_same(cluster: Cluster, follower: Follower, etcd: list[tuple[int, str]], end: int, start: int) -> None:
    wait_until(lambda: etcd and etcd[-1][0] >= end, 30, "etcdctl has seen it all")
    wanted = [(revision, etcd_key(key)) for revision, key in etcd if start < revision <= end]
    got = [entry for entry in follower.history() if entry[0] <= end]
    assert len(got) == len(wanted), f"{len(got)} changes told, {len(wanted)} made"
    assert [r for r, _ in got] == [r for r, _ in wanted], "the order of revisions differs"
    assert sorted(got) == sorted(wanted)


def last_change(cluster: Cluster, etcd: list[tuple[int, str]]) -> int:
    """The last change of a job or run, once nothing moves any more."""
    seen = -1

    def quiet() -> bool:
        nonlocal seen
        before, seen = seen, len(etcd)
        return before == seen and bool(etcd)

    wait_until(quiet, 60, "nothing moves any more", every=1.0)
    return etcd[-1][0]


def test_a_server_is_killed_while_500_jobs_flow_and_another_goes_on():
    """kill -9 of the server that is followed, in the middle: not one change is missed or told twice."""
    with Cluster(servers=3, agents=2) as cluster:
        start = etcd_revision(cluster)
        first, second, third = (server.grpc for server in cluster.servers)
        with etcd_history(cluster, start) as etcd:
            follower = Follower(f"ipv4:{first},{second},{third}", start)
            other = cluster.client(cluster.servers[1])
            ids = []
            for batch in range(10):
                requests = [
                    messages.SubmitRequest(spec=noop_job(), idempotency_key=f"{batch}/{n}") for n in range(50)
                ]
                for attempt in range(20):
                    try:
                        results = other.submit_batch(requests)
                        if all(result.code == 0 for result in results):
                            break
                    except RotaError as error:
                        assert error.code == grpc.StatusCode.UNAVAILABLE, error
                    time.sleep(0.5)
                ids += [result.job_id for result in results]
                if batch == 4:
                    cluster.servers[0].kill()
            cluster.wait_jobs(ids, 120, server=cluster.servers[1])
            end = last_change(cluster, etcd)
            follower.wait(end, 60)
            follower.stop()
            expect_same(cluster, follower, etcd, end, start)
            assert len(set(ids)) == 500


def test_a_server_that_falls_silent_is_left_for_another():
    """SIGSTOP: its connections stay open and say nothing. The reader notices, and misses nothing."""
    with Cluster(servers=2, agents=1) as cluster:
        silent = cluster.leader()
        other = next(server for server in cluster.servers if server is not silent)
        start = etcd_revision(cluster)
        with etcd_history(cluster, start) as etcd:
            follower = Follower(f"ipv4:{silent.grpc},{other.grpc}", start)
            cluster.wait_job(cluster.submit({"noop": {}}, server=silent), 30)
            wait_until(lambda: follower.changes, 20, "the first server tells")
            silent.send(signal.SIGSTOP)
            try:
                other.rest.timeout = 60
                job = wait_until(lambda: submitted(other), 60, "the other server takes a job")
                cluster.wait_job(job, 60, server=other)
                end = last_change(cluster, etcd)
                follower.wait(end, 60)
            finally:
                silent.send(signal.SIGCONT)
            follower.stop()
            expect_same(cluster, follower, etcd, end, start)


def submitted(server: Server) -> str | None:
    """A job's id, once the server takes jobs."""
    answer = server.rest.post("/jobs", {"noop": {}, "idempotency_key": "once"})
    return answer.json()["job_id"] if answer.status in (200, 201) else None


def test_a_revision_from_before_a_restart_still_counts():
    """All servers are new: the past is read from etcd, then the present goes on, from any revision in between."""
    with Cluster(servers=2, agents=1) as cluster:
        start = etcd_revision(cluster)
        with etcd_history(cluster, start) as etcd:
            ids = cluster.submit_all([noop_job() for _ in range(60)])
            cluster.wait_jobs(ids, 60)
            middle = (start + etcd_revision(cluster)) // 2
            for server in cluster.servers:
                server.kill()
            cluster.start()
            followers = [Follower(cluster.servers[1].grpc, begin) for begin in (start, middle)]
            ids = cluster.submit_all([noop_job() for _ in range(60)])
            cluster.wait_jobs(ids, 60)
            end = last_change(cluster, etcd)
            for follower, begin in zip(followers, (start, middle), strict=True):
                follower.wait(end, 30)
                follower.stop()
                expect_same(cluster, follower, etcd, end, begin)


def test_what_stands_comes_first_and_then_what_changes(pair: Cluster):
    client = pair.client(pair.servers[1])
    old = client.submit(noop_job(), namespace="standing").job_id
    client.wait(old, namespace="standing", timeout=20)
    follower = Follower(pair.servers[0].grpc, 0, namespace="standing")
    wait_until(lambda: follower.revision > 0, 20, "all that stands has come")
    standing = [change for change in follower.changes]
    assert [change.job.job_id for change in standing if change.HasField("job")] == [old]
    assert [change.run.job_id for change in standing if change.HasField("run")] == [old]
    assert standing[0].job.status == messages.JobStatus.JOB_STATUS_COMPLETED
    new = client.submit(noop_job(), namespace="standing").job_id
    client.wait(new, namespace="standing", timeout=20)
    ended = messages.RunState.RUN_STATE_COMPLETED
    wait_until(
        lambda: any(c.run.job_id == new and c.run.state == ended for c in follower.changes), 20, "the new one's end"
    )
    follower.stop()
    revisions = [change.revision for change in follower.changes[len(standing) :]]
    assert revisions == sorted(revisions)
    assert {key_of(change)[2] for change in follower.changes[len(standing) :]} == {new}


def test_a_list_and_a_watch_from_its_revision_miss_nothing(pair: Cluster):
    """Jobs go on being made: each is on the list or comes as a change, at whichever server."""
    made: list[str] = []
    going = True

    def submit() -> None:
        client = Client(pair.servers[0].grpc)
        while going:
            made.append(client.submit(noop_job(), namespace="listed").job_id)
        client.close()

    submitter = threading.Thread(target=submit)
    submitter.start()
    try:
        wait_until(lambda: len(made) > 20, 30, "some jobs are there")
        page = pair.servers[1].rest.get("/v1/jobs", namespace="listed", page_size=1000).json()
        listed = {job["job_id"] for job in page["jobs"]}
        assert page["revision"] > 0 and "next_page_token" not in page
        follower = Follower(pair.servers[1].grpc, page["revision"], namespace="listed", jobs=True)
        wait_until(lambda: len(made) > 60, 30, "more jobs are there")
    finally:
        going = False
        submitter.join()
    seen = lambda: listed | {change.job.job_id for change in follower.changes}
    wait_until(lambda: set(made) <= seen(), 30, "every job was listed or told of")
    follower.stop()


def test_jobs_alone_tell_how_they_end(pair: Cluster):
    client = pair.client()
    start = etcd_revision(pair)
    follower = Follower(pair.servers[1].grpc, start, jobs=True, namespace="ends")
    job = client.submit(shell_job("exit 3"), namespace="ends").job_id
    failed = messages.JobStatus.JOB_STATUS_FAILED
    wait_until(lambda: any(c.job.status == failed for c in follower.changes), 20, "the job's end has come")
    follower.stop()
    assert {key_of(change) for change in follower.changes} == {("jobs", "ends", job)}


def test_a_very_slow_reader_gets_everything_and_harms_nobody():
    """It reads a step a second while thousands of changes flow; a bystander's calls and stream are as before."""
    with Cluster(servers=1, agents=2, slots=32) as cluster:
        start = etcd_revision(cluster)
        server = cluster.servers[0]
        with etcd_history(cluster, start) as etcd:
            slow = Follower(server.grpc, start, pause=1.0)
            quick = Follower(server.grpc, start)
            # Large enough that neither sockets nor HTTP/2's windows hold it all for the one that does not read.
            spec = noop_job(env={"FILLER": "x" * 8_000})
            requests = (messages.SubmitRequest(spec=spec, namespace=f"n{n % 3}") for n in range(1_500))
            answer = cluster.client().submit_stream(requests, timeout=180)
            assert answer.accepted == 1_500
            end = last_change(cluster, etcd)
            quick.wait(end, 60)
            assert slow.revision < end, "the slow one is behind"
            slow.pause = 0
            slow.wait(end, 120)
            for follower in (quick, slow):
                follower.stop()
                expect_same(cluster, follower, etcd, end, start)


def test_a_compacted_revision_is_out_of_range_and_a_list_helps(pair: Cluster):
    client = pair.client()
    start = etcd_revision(pair)
    ids = [client.submit(noop_job(), namespace="compacted").job_id for _ in range(5)]
    for job in ids:
        client.wait(job, namespace="compacted", timeout=20)
    # Servers keep recent changes in memory; a revision from before their start is the one that hurts.
    pair.etcd.ctl("compact", str(etcd_revision(pair)))
    with pytest.raises(RotaError) as refused:
        next(client.events(1))
    assert refused.value.code == grpc.StatusCode.OUT_OF_RANGE
    assert "start_revision" in refused.value.message and "list" in refused.value.message
    answer = pair.rest.get("/v1/events", start_revision=1)
    assert answer.status == 410 and answer.json()["error"]["code"] == "out_of_range"
    listed = pair.rest.get("/v1/jobs", namespace="compacted").json()
    assert {job["job_id"] for job in listed["jobs"]} == set(ids)
    assert listed["revision"] >= start
    follower = Follower(pair.servers[0].grpc, listed["revision"], namespace="compacted")
    new = client.submit(noop_job(), namespace="compacted").job_id
    wait_until(lambda: any(key_of(c)[2] == new for c in follower.changes), 20, "it goes on from the list")
    follower.stop()


def test_an_idle_stream_says_how_far_it_has_come(pair: Cluster):
    """So that whoever resumes does not fall behind by waiting."""
    steps = pair.client().events(etcd_revision(pair), namespace="nobody-is-here")
    first = next(steps)
    assert not first.changes and first.revision > 0
    pair.client().submit(noop_job())
    later = next(step for step in steps if step.revision > first.revision)
    assert not later.changes
    steps.close()


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"start_revision": -1}, "start_revision"),
        ({"start_revision": 2**62}, "start_revision"),
        ({"namespace": "../up"}, "namespace"),
        ({"job_id": "No Such Name"}, "job_id"),
    ],
)
def test_bad_requests_name_their_field(pair: Cluster, request_fields: dict, field: str):
    with pytest.raises(RotaError) as refused:
        next(pair.client().events(**request_fields))
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.message.startswith(f"{field}:")
    answer = pair.rest.get("/events", **request_fields)
    assert answer.status == 400 and answer.json()["error"]["field"] == field


# REST and the command line


def rest_lines(address: str, path: str) -> Iterator[dict]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.getheader("content-type") == "application/x-ndjson"
        while line := answer.readline():
            yield json.loads(line)
    finally:
        connection.close()


def test_rest_streams_lines_of_json_with_the_same_meaning(pair: Cluster):
    start = etcd_revision(pair)
    lines = rest_lines(pair.servers[1].http, f"/v1/events?start_revision={start}&namespace=rested")
    assert next(lines) == {"revision": start}
    job = pair.client().submit(noop_job(), namespace="rested").job_id
    changes: list[dict] = []
    while not any(change.get("run", {}).get("state") == "completed" for change in changes):
        step = next(lines)
        assert all(change["revision"] <= step["revision"] for change in step.get("changes", []))
        changes += step.get("changes", [])
    lines.close()
    assert {change[kind]["job_id"] for change in changes for kind in ("job", "run") if kind in change} == {job}
    follower = Follower(pair.servers[0].grpc, start, namespace="rested")
    follower.wait(changes[-1]["revision"], 20)
    follower.stop()
    told = [c.revision for c in follower.changes if c.revision <= changes[-1]["revision"]]
    assert told == [change["revision"] for change in changes]


def test_the_command_line_follows_through_the_loss_of_a_server():
    with Cluster(servers=2, agents=1) as cluster:
        start = etcd_revision(cluster)
        addresses = ",".join(server.grpc for server in cluster.servers)
        command = [str(binaries() / "rota"), "events", "--server", addresses, "--from", str(start), "-o", "json"]
        process = subprocess.Popen(command, env=cluster.env, stdout=subprocess.PIPE, text=True)
        lines: list[dict] = []
        reader = threading.Thread(target=lambda: lines.extend(map(json.loads, process.stdout)), daemon=True)
        reader.start()
        try:
            other = cluster.client(cluster.servers[1])
            before = other.submit(noop_job()).job_id
            other.wait(before, timeout=30)
            cluster.servers[0].kill()

            def after() -> str | None:
                try:
                    return other.submit(noop_job(), idempotency_key="after").job_id
                except RotaError:
                    return None

            last = wait_until(after, 30, "the other server takes a job")
            cluster.wait_job(last, 60, server=cluster.servers[1])
            ends = lambda: {
                change["run"]["job_id"]
                for line in lines
                for change in line.get("changes", [])
                if change.get("run", {}).get("state") == "completed"
            }
            wait_until(lambda: ends() == {before, last}, 30, "both ends were shown")
        finally:
            process.kill()
            process.wait()
            reader.join(5)
        shown = [change for line in lines for change in line.get("changes", [])]
        revisions = [change["revision"] for change in shown]
        assert revisions == sorted(revisions)
        wanted = Follower(cluster.servers[1].grpc, start)
        wanted.wait(revisions[-1], 30)
        wanted.stop()
        assert revisions == [c.revision for c in wanted.changes if c.revision <= revisions[-1]]
        plain = subprocess.run(
            ["timeout", "3", *command[:-2]], env=cluster.env, capture_output=True, text=True, timeout=30
        )
        assert f"job default/{before}  pending" in plain.stdout or f"job default/{before}  completed" in plain.stdout
        assert f"run default/{last}/" in plain.stdout


def test_a_server_that_is_shut_down_says_so_and_does_not_wait_for_its_streams():
    with Cluster(servers=1, agents=1) as cluster:
        server = cluster.servers[0]
        channel = grpc.insecure_channel(server.grpc)
        call = channel.unary_stream(
            "/rota.v1.Events/Watch", messages.WatchRequest.SerializeToString, messages.WatchResponse.FromString
        )(messages.WatchRequest(start_revision=etcd_revision(cluster)))
        next(call)
        lines = rest_lines(server.http, "/events")
        next(lines)
        server.send(signal.SIGTERM)
        with pytest.raises(grpc.RpcError) as ended:
            list(call)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "stopping" in ended.value.details()
        assert server.wait(20) == 0
        list(lines)  # ends, since the connection was closed
        channel.close()
