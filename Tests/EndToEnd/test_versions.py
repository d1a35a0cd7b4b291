"""The versions of a job: what it was is kept, shown, compared, and can be had again."""
from __future__ import annotations

import json
import uuid

import grpc
import pytest

from cluster import Cluster
from processes import wait_until
from rota_client import Client, RotaError, noop_job, schedule, shell_job


def yearly(**fields):
    return noop_job(schedules=[schedule(cron="0 0 1 1 *")], **fields)


def with_updates(client: Client, count: int) -> str:
    """A job that was updated so often: of generation g it has g - 1 retries."""
    job = client.submit(yearly(user_id="ada"), job_id=f"v-{uuid.uuid4().hex[:12]}").job_id
    for number in range(1, count + 1):
        client.update(job, yearly(user_id="ada", max_retries=number), updated_by=f"u{number}")
    return job


def keys(cluster: Cluster, job: str) -> list[str]:
    listing = cluster.etcd.ctl("get", "--prefix", "--keys-only", "/rota/versions/")
    return [line for line in listing.splitlines() if f"/{job}/" in line]


def test_the_last_ten_are_kept_and_go_with_the_job(pair: Cluster):
    client = pair.client()
    job = with_updates(client, 12)
    assert len(keys(pair, job)) == 10
    for server in pair.servers:
        versions = pair.client(server).versions(job)
        assert [version.generation for version in versions] == list(range(13, 2, -1))
        assert [version.created_by for version in versions][:2] == ["u12", "u11"]
        assert versions[1].replaced_by == "u12" and not versions[0].HasField("replaced_at")
        assert all(list(version.changed_fields) == ["max_retries"] for version in versions[:-1])
        assert not any(version.HasField("spec") for version in versions)
        assert pair.client(server).version(job, 3).spec.max_retries == 2
        with pytest.raises(RotaError) as refused:
            pair.client(server).version(job, 2)
        assert refused.value.code == grpc.StatusCode.NOT_FOUND
    client.delete(job)
    wait_until(lambda: not keys(pair, job), 20, "the versions are removed with their job")
    with pytest.raises(RotaError) as refused:
        client.versions(job)
    assert refused.value.code == grpc.StatusCode.NOT_FOUND


def test_a_pause_and_a_trigger_are_no_versions(pair: Cluster):
    client = pair.client()
    job = client.submit(yearly()).job_id
    client.pause(job, note="n")
    client.resume(job)
    client.trigger(job)
    assert keys(pair, job) == []
    assert [version.generation for version in client.versions(job)] == [1]


def test_going_back_is_an_update(pair: Cluster):
    client = pair.client()
    job = with_updates(client, 3)
    before = client.job(job)
    with pytest.raises(RotaError) as refused:
        client.revert(job, 2, if_match="no-1")
    assert refused.value.code == grpc.StatusCode.ABORTED
    back = client.revert(job, 2, if_match=before.etag, updated_by="eve", idempotency_key="back")
    assert (back.generation, back.spec.max_retries, back.revert_of, back.updated_by) == (5, 1, 2, "eve")
    assert client.revert(job, 2, idempotency_key="back").generation == 5, "it may be sent again"
    run = client.trigger(job)
    wait_until(lambda: client.run(job, run.run_id).attempts, 20, "the run is given to an agent")
    assert client.run(job, run.run_id).attempts[0].generation == 5
    with pytest.raises(RotaError) as refused:
        client.revert(job, 99)
    assert refused.value.code == grpc.StatusCode.NOT_FOUND and "1 to 5" in refused.value.message


def test_rest(pair: Cluster):
    job = with_updates(pair.client(), 2)
    rest = pair.rest
    listed = rest.get(f"/v1/jobs/{job}/versions")
    assert listed.status == 200
    versions = listed.json()["versions"]
    assert [version["generation"] for version in versions] == [3, 2, 1]
    assert versions[0]["changed_fields"] == ["max_retries"] and "spec" not in versions[0]
    first = rest.get(f"/v1/jobs/{job}/versions/1").json()
    assert first["spec"] == {"user_id": "ada", "noop": True, "schedules": ["0 0 1 1 *"]}
    assert first["created_by"] == "ada" and first["replaced_by"] == "u1"
    assert rest.get(f"/v1/jobs/{job}/versions/9").status == 404
    assert rest.get(f"/v1/jobs/{job}/versions/x").status == 400
    path = f"/v1/jobs/{job}/revert"
    assert rest.post(path, {}).status == 400
    assert rest.post(path, {"generation": 1}, {"if-match": '"other"'}).status == 412
    etag = rest.get(f"/v1/jobs/{job}").headers["etag"]
    done = rest.post(path, {"generation": 1, "updated_by": "eve"}, {"if-match": etag})
    assert done.status == 200 and done.json()["generation"] == 4
    assert done.json()["revert_of"] == 1 and done.json()["updated_by"] == "eve"
    assert done.headers["etag"] != etag
    # The same words with PUT.
    changed = rest.request("PUT", f"/v1/jobs/{job}", {"noop": True, "schedules": [{"every": "1h"}]},
                           query={"updated_by": "mallory"})
    assert changed.status == 200 and changed.json()["updated_by"] == "mallory"


def test_the_command_line(pair: Cluster):
    job = pair.rota("submit", "--cron", "0 3 * * *", "--user-id", "ada", "--", "true").stdout.strip()
    pair.rota("update", job, "--timeout", "2h", "--by", "bob")
    pair.rota("update", job, "--cron", "0 4 * * *", "--by", "eve")
    table = pair.rota("versions", job).stdout.splitlines()
    assert table[0].split() == ["GENERATION", "SINCE", "BY", "UNTIL", "CHANGED"]
    assert [line.split()[0] for line in table[1:]] == ["3", "2", "1"]
    assert table[1].split()[2:] == ["eve", "now", "schedules"] and table[2].split()[-1] == "timeout"
    assert pair.rota("versions", "diff", job).stdout == '~ schedules[0]: "0 3 * * *" → "0 4 * * *"\n'
    both = pair.rota("versions", "diff", job, "--from", "1", "--to", "3").stdout.splitlines()
    assert both == ['~ schedules[0]: "0 3 * * *" → "0 4 * * *"', '+ timeout: "2h"']
    told = json.loads(pair.rota("versions", "diff", job, "--from", "1", "-o", "json").stdout)
    assert told["differences"][1] == {"path": "timeout", "new": "2h"}
    assert "the same" in pair.rota("versions", "diff", job, "--from", "3", "--to", "3").stdout
    assert "0 3 * * *" in pair.rota("versions", "show", job, "1").stdout
    assert "as generation 1 was (generation 4)" in pair.rota("revert", job, "--to", "1", "--by", "ada").stdout
    history = pair.rota("job", "history", job).stdout
    assert history.count("generation ") == 5 and "by ada, as generation 1" in history
    assert '+ timeout: "2h"' in history and '- timeout: "2h"' in history and "created" in history
    entries = json.loads(pair.rota("job", "history", job, "-o", "json").stdout)["history"]
    assert [entry["generation"] for entry in entries] == [4, 3, 2, 1] and "differences" not in entries[-1]
    assert "generation 4, by ada, as generation 1" in pair.rota("job", job).stdout
    assert pair.rota("job", "show", job).stdout == pair.rota("job", job).stdout


def test_versions_of_large_specifications(pair: Cluster):
    """Two of them do not fit one transaction of etcd: the update goes through all the same."""
    client = pair.client()
    large = {f"V{number}": "\x01" * 7_000 for number in range(16)}
    job = client.submit(shell_job("true", env=large, schedules=[schedule(cron="0 0 1 1 *")])).job_id
    view = client.update(job, shell_job("false", env=large, schedules=[schedule(cron="0 0 1 1 *")]))
    assert view.generation == 2
    assert not client.version(job, 1).HasField("spec")
    with pytest.raises(RotaError) as refused:
        client.revert(job, 1)
    assert refused.value.code == grpc.StatusCode.FAILED_PRECONDITION and "too large" in refused.value.message
