"""Labels of jobs and calendars: through every interface, and as filters of listings."""
from __future__ import annotations

import json

import pytest

from rota_client import RotaError, calendar, noop_job

UNPLACEABLE = ["exists no-agent-has-this"]


def ids(answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [job["job_id"] for job in answer.json()["jobs"]]


def test_labels_go_through_every_interface(pair):
    mark = "labels-all"
    by_rest = pair.submit({"noop": True, "labels": {"mark": mark, "by": "rest"}})
    client = pair.client()
    by_grpc = client.submit(noop_job(labels={"mark": mark, "by": "grpc"})).job_id
    done = pair.rota("submit", "-o", "json", "--noop", "--label", f"mark={mark}", "--label", "by=cli")
    by_cli = json.loads(done.stdout)["job_id"]
    for job_id, by in ((by_rest, "rest"), (by_grpc, "grpc"), (by_cli, "cli")):
        wanted = {"mark": mark, "by": by}
        assert pair.rest.get(f"/jobs/{job_id}").json()["labels"] == wanted
        assert dict(client.job(job_id).spec.labels) == wanted
        shown = pair.rota("job", job_id).stdout
        assert f"by={by}, mark={mark}" in shown, shown
    assert [job.job_id for job in client.jobs(labels={"mark": mark})] == [by_cli, by_grpc, by_rest]
    assert [job.job_id for job in client.jobs(labels={"mark": mark, "by": "grpc"})] == [by_grpc]
    assert ids(pair.rest.get("/jobs", label=f"mark={mark}")) == [by_cli, by_grpc, by_rest]
    assert ids(pair.rest.get("/jobs", label=f"mark={mark},by=rest")) == [by_rest]
    done = pair.rota("jobs", "--label", f"mark={mark}", "--label", "by=cli", "-o", "json")
    assert [job["job_id"] for job in json.loads(done.stdout)["jobs"]] == [by_cli]


def test_an_update_changes_what_a_job_is_listed_under(pair):
    job_id = pair.submit({"noop": True, "constraints": UNPLACEABLE, "labels": {"mark": "labels-before"}})
    assert pair.rota("update", job_id, "--label", "mark=labels-after").returncode == 0
    assert ids(pair.rest.get("/jobs", label="mark=labels-before")) == []
    assert ids(pair.rest.get("/jobs", label="mark=labels-after")) == [job_id]
    assert pair.rota("cancel", job_id).returncode == 0


def test_pages_of_a_filtered_list(pair):
    made = [pair.submit({"noop": True, "labels": {"mark": "labels-pages"}}) for _ in range(12)]
    found, token = [], ""
    while True:
        page = pair.rest.get("/jobs", label="mark=labels-pages", page_size=5, page_token=token)
        found += ids(page)
        token = page.json().get("next_page_token", "")
        if not token:
            break
    assert found == made[::-1]


def test_a_calendar_has_labels(pair):
    client = pair.client()
    client.put_calendar("labelled", calendar(days=["sun"], labels={"team": "data"}))
    assert dict(client.calendar("labelled").spec.labels) == {"team": "data"}
    assert pair.rest.get("/calendars/labelled").json()["labels"] == {"team": "data"}
    done = pair.rota("calendar", "put", "labelled", "--day", "sun", "--label", "team=web")
    assert done.returncode == 0, done.stderr
    assert "team=web" in pair.rota("calendar", "get", "labelled").stdout


@pytest.mark.parametrize("labels, field", [
    ({"te am": "x"}, "labels"),
    ({"team": "a,b"}, "labels.team"),
    ({"team": "x" * 257}, "labels.team"),
    ({f"l{number}": "" for number in range(33)}, "labels"),
    ({"team": 7}, "labels.team"),
])
def test_labels_that_are_refused(pair, labels, field):
    answer = pair.rest.post("/jobs", {"noop": True, "labels": labels})
    assert answer.status == 400 and answer.json()["error"]["field"].startswith(field), answer.text


@pytest.mark.parametrize("label", ["team", "=x", "a=1,a=2", "a b=1"])
def test_filters_that_are_refused(pair, label):
    answer = pair.rest.get("/jobs", label=label)
    assert answer.status == 400 and answer.json()["error"]["field"] == "label", answer.text


def test_a_filter_that_grpc_refuses(pair):
    with pytest.raises(RotaError, match="label"):
        list(pair.client().jobs(labels={"a b": "1"}))
