"""What a namespace may use: jobs, waiting runs, runs with agents, submissions; said, kept, and told."""
from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator

import grpc
import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import BadRequestError, Client, RotaError, constraint, messages, noop_job, schedule, shell_job

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def namespace() -> str:
    return f"q-{uuid.uuid4().hex[:10]}"


def refused(call) -> RotaError:
    with pytest.raises(RotaError) as caught:
        call()
    assert caught.value.code == EXHAUSTED, caught.value
    return caught.value


def later() -> dict:
    """A job that is due in a year."""
    return {"schedules": [schedule(cron="0 0 1 1 *")]}


def seen_by_all(cluster: Cluster, namespace: str) -> None:
    """A quota is in effect at a server once its watch has brought it; a read waits for that."""
    for server in cluster.servers:
        if server.running:
            cluster.client(server).quota(namespace)


def nobody_takes(**fields) -> messages.JobSpec:
    """A job whose run waits for an agent that there is not."""
    return noop_job(constraints=[constraint("name", "=", "nobody")], **fields)


# The API


def test_a_quota_is_put_read_listed_and_deleted(pair: Cluster, namespace: str):
    client = pair.client()
    made = client.put_quota(namespace, messages.QuotaSpec(max_jobs=3, submit_rate=600, description="for tests"))
    assert (made.generation, made.spec.max_jobs, made.use.jobs) == (1, 3, 0)
    assert client.put_quota(namespace, made.spec).etag == made.etag, "the same changes nothing"
    with pytest.raises(RotaError) as stale:
        client.put_quota(namespace, messages.QuotaSpec(max_jobs=4), if_match="1-99")
    assert stale.value.code == grpc.StatusCode.ABORTED
    changed = client.put_quota(namespace, messages.QuotaSpec(max_jobs=4), if_match=made.etag)
    assert (changed.generation, changed.spec.submit_rate) == (2, 0)

    job = client.submit(noop_job(**later()), namespace=namespace).job_id
    for server in pair.servers:
        assert pair.client(server).quota(namespace).use.jobs == 1
        assert namespace in {quota.namespace for quota in pair.client(server).quotas(page_size=1)}
    stored = json.loads(pair.etcd.ctl("get", "--print-value-only", f"/rota/quotas/{namespace}"))
    assert stored["spec"] == {"max_jobs": 4}

    client.cancel(job, namespace=namespace)
    wait_until(lambda: client.quota(namespace).use.jobs == 0, 10, "a job that has ended does not count")
    client.delete_quota(namespace, if_match=changed.etag)
    with pytest.raises(RotaError) as gone:
        client.quota(namespace)
    assert gone.value.code == grpc.StatusCode.NOT_FOUND
    with pytest.raises(RotaError) as gone:
        client.delete_quota(namespace)
    assert gone.value.code == grpc.StatusCode.NOT_FOUND


def test_a_quota_over_rest(pair: Cluster, namespace: str):
    path = f"/v1/quotas/{namespace}"
    made = pair.rest.request("PUT", path, {"max_jobs": 2, "max_running_runs": 1})
    assert made.status == 201
    body = made.json()
    assert body["max_jobs"] == 2 and body["use"] == {"jobs": 0, "queued_runs": 0, "running_runs": 0}
    assert made.headers["etag"] == f'"{body["etag"]}"'
    assert pair.rest.request("PUT", path, {"max_jobs": 2, "max_running_runs": 1}).status == 200
    assert pair.rest.request("PUT", path, {"max_jobs": 9}, {"if-match": '"1-9"'}).status == 412
    for server in pair.servers:
        assert server.rest.get(path).json()["max_jobs"] == 2
    assert namespace in {entry["namespace"] for entry in pair.rest.get("/quotas", page_size=1000).json()["quotas"]}
    for bad in ({"max_jobs": 0}, {"max_job": 1}, {"submit_burst": 3}, {"max_jobs": "many"}):
        answer = pair.rest.request("PUT", path, bad)
        assert answer.status == 400 and answer.json()["error"]["field"] == next(iter(bad))
    assert pair.rest.request("PUT", "/quotas/Bad%20Name", {"max_jobs": 1}).status == 400
    assert pair.rest.delete(path).status == 204
    assert pair.rest.get(path).status == 404


def test_a_quota_from_the_command_line(pair: Cluster, namespace: str):
    flags = ["--max-jobs", "5", "--submit-rate", "600", "--submit-burst", "7"]
    put = pair.rota("quotas", "put", namespace, *flags)
    assert put.returncode == 0, put.stderr
    assert put.stdout == f"{namespace}: generation 1\n"
    pair.client().submit(noop_job(**later()), namespace=namespace)
    shown = pair.rota("quotas", "show", namespace)
    assert "1 of 5" in shown.stdout and "600/1m+7" in shown.stdout
    listed = json.loads(pair.rota("quotas", "list", "--output", "json").stdout)["quotas"]
    assert [entry["use"]["jobs"] for entry in listed if entry["namespace"] == namespace] == [1]
    wrong = pair.rota("quotas", "put", namespace, "--max-jobs", "0")
    assert wrong.returncode == 2 and "--max-jobs must be 1 to" in wrong.stderr
    assert pair.rota("quotas", "delete", namespace).returncode == 0
    assert pair.rota("quotas", "show", namespace).returncode == 1


def test_what_is_wrong_is_named(pair: Cluster, namespace: str):
    with pytest.raises(BadRequestError) as bad:
        pair.client().put_quota(namespace, messages.QuotaSpec(max_jobs=-1))
    assert bad.value.violations[0].field == "spec.max_jobs"


# Jobs


def test_jobs_over_the_quota_are_refused_at_every_server(pair: Cluster, namespace: str):
    pair.client().put_quota(namespace, messages.QuotaSpec(max_jobs=3))
    seen_by_all(pair, namespace)
    jobs = [pair.client().submit(noop_job(**later()), namespace=namespace).job_id for _ in range(3)]
    for server in pair.servers:
        pair.client(server).job(jobs[-1], namespace=namespace)
        error = refused(lambda: pair.client(server).submit(noop_job(**later()), namespace=namespace))
        assert f"namespace '{namespace}' has 3 jobs that have not ended, and its quota's max_jobs is 3" in error.message
        assert error.retry_delay == 10
        answer = server.rest.post("/v1/jobs", {"noop": {}, "namespace": namespace})
        assert answer.status == 429 and answer.headers["retry-after"] == "10"
    # Another namespace is another matter, and what has ended makes room.
    pair.client().submit(noop_job(**later()), namespace=namespace + "x")
    pair.client().cancel(jobs[0], namespace=namespace)
    wait_until(lambda: pair.client().quota(namespace).use.jobs == 2, 10, "there is room")
    pair.client().submit(noop_job(**later()), namespace=namespace)
    metrics = "".join(server.rest.get("/metrics").text for server in pair.servers)
    assert any(int(line.split()[1]) for line in metrics.splitlines() if line.startswith("rota_quota_refusals_total "))


def test_many_at_once_do_not_pass_together(pair: Cluster, namespace: str):
    pair.client().put_quota(namespace, messages.QuotaSpec(max_jobs=50))
    seen_by_all(pair, namespace)
    requests = [messages.SubmitRequest(spec=noop_job(**later()), namespace=namespace) for _ in range(500)]
    results = pair.client().submit_batch(requests)
    assert sum(result.code == 0 for result in results) == 50
    assert {result.code for result in results} == {0, EXHAUSTED.value[0]}
    # On a stream each is refused by itself, and the others go on.
    answer = pair.client().submit_stream(requests[:10])
    assert (answer.accepted, answer.refused) == (0, 10)
    assert "max_jobs is 50" in answer.refusals[0].message


def test_the_same_submission_again_gets_its_job_when_all_is_full(pair: Cluster, namespace: str):
    pair.client().put_quota(namespace, messages.QuotaSpec(max_jobs=1))
    seen_by_all(pair, namespace)
    first = pair.client().submit(noop_job(**later()), namespace=namespace, idempotency_key="k")
    for server in pair.servers:
        again = pair.client(server).submit(noop_job(**later()), namespace=namespace, idempotency_key="k")
        assert again.job_id == first.job_id
    refused(lambda: pair.client().submit(noop_job(**later()), namespace=namespace, idempotency_key="other"))


# Runs that wait


def test_waiting_runs_are_bounded_for_submissions_triggers_and_retries(pair: Cluster, namespace: str):
    client = pair.client()
    client.put_quota(namespace, messages.QuotaSpec(max_queued_runs=2))
    seen_by_all(pair, namespace)
    done = client.submit(noop_job(), namespace=namespace).job_id
    wait_until(lambda: client.run(done, namespace=namespace).finished_at.seconds, 10, "it has ended")
    waiting = [client.submit(nobody_takes(), namespace=namespace).job_id for _ in range(2)]
    wait_until(lambda: client.quota(namespace).use.queued_runs == 2, 10, "two wait")
    says = f"namespace '{namespace}' has 2 runs that wait, and its quota's max_queued_runs is 2"
    assert says in refused(lambda: client.submit(noop_job(), namespace=namespace)).message
    # What does not run at once needs no room.
    recurring = client.submit(noop_job(**later()), namespace=namespace).job_id
    assert says in refused(lambda: client.trigger(recurring, namespace=namespace)).message
    run = client.run(done, namespace=namespace).run_id
    assert says in refused(lambda: client.retry(done, run, namespace=namespace)).message
    client.cancel(waiting[0], namespace=namespace)
    wait_until(lambda: client.quota(namespace).use.queued_runs == 1, 10, "there is room")
    assert client.trigger(recurring, namespace=namespace).run_id


def test_what_a_schedule_makes_waits_for_room(pair: Cluster, namespace: str):
    client = pair.client()
    client.put_quota(namespace, messages.QuotaSpec(max_queued_runs=1))
    seen_by_all(pair, namespace)
    blocker = client.submit(nobody_takes(), namespace=namespace).job_id
    wait_until(lambda: client.quota(namespace).use.queued_runs == 1, 10, "it waits")
    ticking = client.submit(noop_job(schedules=[schedule(every=1)]), namespace=namespace).job_id
    time.sleep(4)
    assert not list(client.runs(namespace=namespace, job_id=ticking)), "there is no room"
    told = client.explain(ticking, namespace=namespace).findings
    assert [finding.code for finding in told] == ["quota_queued_runs"]
    assert dict(told[0].facts) == {"namespace": namespace, "queued_runs": "1", "max_queued_runs": "1"}
    metrics = "".join(server.rest.get("/metrics").text for server in pair.servers)
    assert any(int(line.split()[1]) for line in metrics.splitlines() if line.startswith("rota_quota_waits_total "))
    client.cancel(blocker, namespace=namespace)
    wait_until(lambda: list(client.runs(namespace=namespace, job_id=ticking)), 10, "it runs")
    client.cancel(ticking, namespace=namespace)


# Submissions


def test_a_namespace_has_a_rate(pair: Cluster, namespace: str):
    pair.client().put_quota(namespace, messages.QuotaSpec(submit_rate=60, submit_burst=30))
    seen_by_all(pair, namespace)
    passed = {server.name: 0 for server in pair.servers}
    for index in range(90):
        server = pair.servers[index % 2]
        try:
            pair.client(server).submit(noop_job(user_id=f"u{index}"), namespace=namespace)
            passed[server.name] += 1
        except RotaError as error:
            assert error.code == EXHAUSTED and error.retry_delay <= 2
            assert f"namespace '{namespace}' takes 60 jobs in 1m, 30 at once" in error.message
    assert 29 <= sum(passed.values()) <= 36, passed
    assert all(passed.values()), "both servers have given some"


# Runs with agents


class Watched:
    """The most runs of a namespace that were with agents at once, as each run's own record says."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace = client, namespace

    def most(self) -> int:
        """From the attempts' times: what was assigned and had not ended."""
        edges = []
        for run in self.client.runs(namespace=self.namespace, page_size=1000):
            for attempt in run.attempts:
                edges.append((attempt.assigned_at.ToNanoseconds(), 1))
                if attempt.HasField("end_time"):
                    edges.append((attempt.end_time.ToNanoseconds(), -1))
        most = now = 0
        for _, step in sorted(edges):
            now += step
            most = max(most, now)
        return most


def test_runs_with_agents_are_bounded_and_others_pass(pair: Cluster, namespace: str):
    client, other = pair.client(), namespace + "x"
    client.put_quota(namespace, messages.QuotaSpec(max_running_runs=2))
    seen_by_all(pair, namespace)
    jobs = [client.submit(shell_job("sleep 0.4"), namespace=namespace).job_id for _ in range(8)]
    highest, ends = [], threading.Event()

    def look() -> None:
        while not ends.is_set():
            highest.append(client.quota(namespace).use.running_runs)

    watcher = threading.Thread(target=look)
    watcher.start()
    began = time.monotonic()
    free = client.submit(noop_job(), namespace=other).job_id
    wait_until(lambda: client.run(free, namespace=other).finished_at.seconds, 10, "another namespace passes")
    assert time.monotonic() - began < 1.2
    for job in jobs:
        wait_until(lambda: client.run(job, namespace=namespace).finished_at.seconds, 20, "all run")
    ends.set()
    watcher.join()
    assert max(highest) == 2
    assert Watched(client, namespace).most() == 2


def test_one_that_no_agent_takes_does_not_keep_the_slot(pair: Cluster, namespace: str):
    client = pair.client()
    client.put_quota(namespace, messages.QuotaSpec(max_running_runs=1))
    seen_by_all(pair, namespace)
    client.submit(nobody_takes(priority=100), namespace=namespace)
    jobs = [client.submit(noop_job(), namespace=namespace).job_id for _ in range(5)]
    for job in jobs:
        wait_until(lambda: client.run(job, namespace=namespace).finished_at.seconds, 10, "it runs")


def test_a_raised_quota_is_used_at_once(pair: Cluster, namespace: str):
    client = pair.client()
    client.put_quota(namespace, messages.QuotaSpec(max_running_runs=1))
    seen_by_all(pair, namespace)
    jobs = [client.submit(shell_job("sleep 30"), namespace=namespace).job_id for _ in range(4)]
    wait_until(lambda: client.quota(namespace).use.running_runs == 1, 10, "one runs")
    time.sleep(0.5)
    assert client.quota(namespace).use.running_runs == 1
    waits = next(
        run for run in client.runs(namespace=namespace) if run.state == messages.RunState.RUN_STATE_QUEUED
    )
    for server in pair.servers:
        told = pair.client(server).explain(waits.job_id, namespace=namespace).findings
        assert [finding.code for finding in told] == ["quota_running_runs"]
        assert told[0].facts["running_runs"] == told[0].facts["max_running_runs"] == "1"
    client.put_quota(namespace, messages.QuotaSpec(max_running_runs=3))
    wait_until(lambda: client.quota(namespace).use.running_runs == 3, 10, "three run")
    client.delete_quota(namespace)
    wait_until(
        lambda: sum(run.state == messages.RunState.RUN_STATE_RUNNING for run in client.runs(namespace=namespace)) == 4,
        10,
        "all run",
    )
    for job in jobs:
        client.cancel(job, namespace=namespace)


@pytest.fixture
def three() -> Iterator[Cluster]:
    with Cluster(servers=3, agents=2, slots=8, server_flags=["--lease-ttl", "3s"]) as cluster:
        yield cluster


def test_the_bound_holds_while_the_leader_changes(three: Cluster, namespace: str):
    three.client().put_quota(namespace, messages.QuotaSpec(max_running_runs=3))
    seen_by_all(three, namespace)
    old = three.leader()
    client = three.client(next(server for server in three.servers if server is not old))
    jobs = [client.submit(shell_job("sleep 0.3"), namespace=namespace).job_id for _ in range(40)]
    wait_until(lambda: client.quota(namespace).use.running_runs == 3, 10, "they run")
    old.kill()
    for job in jobs:
        wait_until(lambda: client.run(job, namespace=namespace).finished_at.seconds, 40, "all run")
    assert Watched(client, namespace).most() == 3
    assert client.quota(namespace).use.running_runs == 0
