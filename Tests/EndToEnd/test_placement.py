"""Which agent gets a run: resources, conditions, strategies, preferences, and why a run waits."""
from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from cluster import Agent, Cluster
from history import Recorder, check
from processes import wait_until
from rest import listed
from rota_client import (
    BadRequestError,
    affinity,
    constraint,
    exec_job,
    messages,
    noop_job,
    placement,
    resources,
    run_state_name,
    schedule,
    status_name,
)

GIB = 1 << 30
# What each agent has besides its 8 slots. What others on the machine use must not come between.
AGENTS = {
    "a1": ["--cpus", "4", "--memory", "2GiB", "--label", "zone=eu-1", "--label", "cores=4"],
    "a2": ["--cpus", "4", "--memory", "2GiB", "--label", "zone=eu-2", "--label", "cores=8", "--resource", "gpu=2"],
    "a3": ["--cpus", "2", "--memory", "1GiB", "--label", "zone=us-1", "--label", "cores=16"],
}


@pytest.fixture(scope="module")
def fleet():
    cluster = Cluster(servers=2, agents=0)
    for name, flags in AGENTS.items():
        cluster.agents[name] = Agent(name, cluster.etcd, cluster.folder, cluster.env, 8, flags)
    with cluster:
        yield cluster


@pytest.fixture
def recorder(fleet, request):
    made = Recorder(fleet.folder, request.node.name)
    yield made
    made.finish()
    fleet.start()
    wait_until(lambda: all(a.slots_used == 0 for a in fleet.client().agents()), 30, "all has ended")


def agents(fleet: Cluster) -> dict[str, messages.Agent]:
    server = next(server for server in fleet.servers if server.running)
    return {agent.worker_id: agent for agent in fleet.client(server).agents()}


def owners(fleet: Cluster, jobs: list[str]) -> Counter[str]:
    """How many of these jobs' runs are on which agent."""
    runs = [fleet.client().run(job) for job in jobs]
    return Counter(run.attempts[-1].worker_id for run in runs if run.attempts)


def waits_because(fleet: Cluster, job: str, text: str) -> None:
    def says() -> bool:
        return text in fleet.client(fleet.leader()).run(job).message

    try:
        wait_until(says, 10, f"the run of {job} says {text!r}")
    except AssertionError:
        raise AssertionError(fleet.client(fleet.leader()).run(job).message) from None


def only(fleet: Cluster, job: str, code: str) -> messages.Finding:
    """The one reason why a job's run waits."""
    findings = fleet.client().explain(job).findings
    assert [finding.code for finding in findings] == [code], findings
    return findings[0]


# Resources


def test_agents_say_what_they_have(fleet):
    shown = agents(fleet)["a2"]
    assert (shown.resources.cpus, shown.resources.memory_bytes) == (4, 2 * GIB)
    assert dict(shown.resources.custom) == {"gpu": 2} and not shown.HasField("resources_used")
    record = json.loads(fleet.etcd.pairs("/rota/agents/")["/rota/agents/a2"])
    assert record["resources"] == {"cpus": 4, "memory_bytes": 2 * GIB, "custom": {"gpu": 2}}
    of_rest = next(a for a in listed(fleet.rest.get("/agents"), "agents") if a["worker_id"] == "a2")
    assert of_rest["resources"] == record["resources"]
    row = next(line for line in fleet.rota("agents").stdout.splitlines() if line.startswith("a2 "))
    assert "cpus 0/4, memory 0.0 GiB/2.0 GiB, gpu 0/2" in row


def test_no_agent_promises_more_than_it_has(fleet, recorder):
    jobs = fleet.submit_all([recorder.spec(resources=resources(cpus=1.5)) for _ in range(8)])
    wait_until(lambda: len(recorder.executions()) == 5, 20, "five run: two, two and one")
    time.sleep(1)
    assert owners(fleet, jobs) == {"a1": 2, "a2": 2, "a3": 1}
    assert agents(fleet)["a1"].resources_used.cpus == 3
    waiting = [job for job in jobs if run_state_name(fleet.client().run(job).state) == "queued"]
    waits_because(fleet, waiting[0], "3 agents: 3 with less than 1.5 cpus free")
    finding = only(fleet, waiting[0], "resources_in_use")
    assert finding.facts["asked"] == "cpus=1.5" and finding.facts["count"] == "3"
    # What asks for less, or nothing, is not held up.
    small = fleet.run_job(exec_job(["true"], resources=resources(cpus=1)))
    assert status_name(small.status) == "completed"
    assert small.runs[0].attempts[0].resources.cpus == 1
    recorder.finish()
    assert {status_name(job.status) for job in fleet.wait_jobs(jobs, 30)} == {"completed"}
    check(recorder)


def test_promises_hold_through_a_leader_kill(fleet, recorder):
    jobs = fleet.submit_all([recorder.spec(resources=resources(memory_bytes=GIB)) for _ in range(7)])
    wait_until(lambda: len(recorder.executions()) == 5, 20, "five run: two, two and one")
    leader = fleet.leader()
    leader.kill()
    survivor = next(server for server in fleet.servers if server is not leader)
    wait_until(lambda: fleet.leader() is survivor, 20, "the other server leads")
    more = [fleet.client(survivor).submit(recorder.spec(resources=resources(memory_bytes=GIB // 2))).job_id]
    time.sleep(3)
    assert len(recorder.executions()) == 5
    assert agents(fleet)["a1"].resources_used.memory_bytes == 2 * GIB
    recorder.finish()
    ended = fleet.wait_jobs([*jobs, *more], 60, survivor)
    assert {status_name(job.status) for job in ended} == {"completed"}
    check(recorder)


def test_custom_resources_are_where_they_are_announced(fleet, recorder):
    jobs = fleet.submit_all([recorder.spec(resources=resources(gpu=1)) for _ in range(3)])
    wait_until(lambda: len(recorder.executions()) == 2, 20, "two run")
    assert owners(fleet, jobs) == {"a2": 2}
    never = fleet.client().submit(recorder.spec(resources=resources(gpu=3))).job_id
    waits_because(fleet, never, "3 agents: 3 with less than 3 gpu")
    finding = only(fleet, never, "no_matching_agent")
    assert finding.facts["excluded_by: gpu=3"] == "3" and "'gpu=3' excludes 3" in finding.message
    fleet.client().cancel(never)
    recorder.finish()
    fleet.wait_jobs(jobs, 30)


# Conditions


@pytest.mark.parametrize(
    ("condition", "agent"),
    [
        (constraint("cores", ">", "8"), "a3"),
        (constraint("cores", "<", "8"), "a1"),
        (constraint("zone", "regex", "eu-[2-9]"), "a2"),
        (constraint("agent_id", "=", "a1"), "a1"),
    ],
)
def test_conditions(fleet, condition, agent):
    done = fleet.run_job(exec_job(["true"], constraints=[condition]))
    assert done.runs[0].attempts[0].worker_id == agent


def test_what_no_agent_has_is_said_with_numbers(fleet):
    wanted = [constraint("cores", ">", "4"), constraint("zone", "regex", "us-.*")]
    job = fleet.client().submit(noop_job(constraints=wanted, resources=resources(cpus=3))).job_id
    waits_because(fleet, job, "3 agents: 1 without label cores>4, 1 without label zone regex us-.*, 1 with less than 3 cpus")
    fleet.client().cancel(job)


def test_a_pinned_job_waits_for_its_agent(fleet):
    fleet.agents["a3"].stop()
    wait_until(lambda: "a3" not in agents(fleet), 20, "a3 is gone")
    done = fleet.rota("submit", "--on-agent", "a3", "--job-id", "pinned", "--noop")
    assert done.returncode == 0, done.stderr
    waits_because(fleet, "pinned", "2 agents: 2 not agent a3")
    assert only(fleet, "pinned", "no_matching_agent").facts["excluded_by: agent a3"] == "2"
    fleet.agents["a3"].start()
    assert fleet.wait_job("pinned", 30).runs[0].attempts[0].worker_id == "a3"


# Strategies and preferences


def test_bin_pack_fills_one_agent(fleet, recorder):
    jobs = [fleet.client().submit(recorder.spec(placement=placement(strategy="bin_pack"))).job_id for _ in range(6)]
    wait_until(lambda: len(recorder.executions()) == 6, 20, "they run")
    assert len(owners(fleet, jobs)) == 1


def test_round_robin_goes_around(fleet, recorder):
    jobs = [fleet.client().submit(recorder.spec(placement=placement(strategy="round_robin"))).job_id for _ in range(6)]
    wait_until(lambda: len(recorder.executions()) == 6, 20, "they run")
    assert owners(fleet, jobs) == {"a1": 2, "a2": 2, "a3": 2}


def test_a_key_stays_with_its_agent(fleet):
    hashed = placement(strategy="consistent_hash", hash_key="c-{{params.customer}}")
    by_customer = {
        customer: {
            fleet.run_job(exec_job(["true"], params={"customer": customer}, placement=hashed)).runs[0].attempts[0].worker_id
            for _ in range(3)
        }
        for customer in (f"c{n}" for n in range(8))
    }
    assert all(len(seen) == 1 for seen in by_customer.values()), by_customer
    assert len(set().union(*by_customer.values())) > 1


def test_affinity_and_spread(fleet, recorder):
    near = placement(affinities=[affinity(60, "zone", "regex", "us-.*")])
    jobs = [fleet.client().submit(recorder.spec(placement=near)).job_id for _ in range(4)]
    wait_until(lambda: len(recorder.executions()) == 4, 20, "they run")
    assert owners(fleet, jobs) == {"a3": 4}
    recorder.finish()
    fleet.wait_jobs(jobs, 30)


def test_runs_of_one_job_are_spread_and_kept_apart(fleet):
    for how, expected in [("preferred", 4), ("required", 3)]:
        job = f"apart-{how}"
        spec = exec_job(
            ["sleep", "600"],
            schedules=[schedule(cron="0 0 1 1 *")],
            placement=placement(anti_affinity=how, spread="zone"),
        )
        fleet.client().submit(spec, job_id=job)
        for number in range(4):
            fleet.client().trigger(job, idempotency_key=f"{job}-{number}")

        def owned(job: str = job) -> list[str]:
            runs = fleet.client().job(job).runs
            return [run.attempts[-1].worker_id for run in runs if run_state_name(run.state) == "running"]

        wait_until(lambda: len(owned()) == expected, 20, f"{expected} run")
        time.sleep(0.5)
        assert set(owned()) == {"a1", "a2", "a3"} and len(owned()) == expected
        if how == "required":
            runs = fleet.client(fleet.leader()).job(job).runs
            assert [run.message for run in runs if run_state_name(run.state) == "queued"] == [
                "waiting: 3 agents: 3 with a run of the job"
            ]
            assert "runs_apart" in [finding.code for finding in fleet.client().explain(job).findings]
        fleet.client().cancel(job)
        wait_until(lambda: not owned(), 30, "all have stopped")


# Surfaces


def test_the_command_line_rest_and_grpc_say_the_same(fleet):
    flags = ["--resource", "cpus=0.5", "--resource", "memory=1GiB", "--resource", "gpu=1"]
    flags += ["--constraint", "cores>4", "--strategy", "consistent_hash", "--hash-key", "k"]
    flags += ["--affinity", "zone=eu-2:50", "--affinity", "exists spot:-5", "--spread", "zone:80"]
    flags += ["--anti-affinity", "required", "--on-agent", "a2"]
    done = fleet.rota("submit", "--job-id", "all-of-it", *flags, "--noop")
    assert done.returncode == 0, done.stderr
    of_rest = fleet.rest.get("/jobs/all-of-it").json()
    assert of_rest["resources"] == {"cpus": 0.5, "memory_bytes": GIB, "custom": {"gpu": 1}}
    assert of_rest["placement"] == {
        "strategy": "consistent_hash",
        "hash_key": "k",
        "affinity": [
            {"label": "zone", "operator": "=", "values": ["eu-2"], "weight": 50},
            {"label": "spot", "operator": "exists", "weight": -5},
        ],
        "spread": {"label": "zone", "weight": 80},
        "anti_affinity": "required",
        "agent": "a2",
    }
    again = {name: of_rest[name] for name in ("resources", "placement", "constraints")} | {"noop": True}
    copy = fleet.submit(again)
    one, other = (fleet.client().job(job).spec for job in ("all-of-it", copy))
    assert (one.resources, one.placement, one.constraints) == (other.resources, other.placement, other.constraints)
    made = placement(
        strategy="consistent_hash",
        hash_key="k",
        affinities=[affinity(50, "zone", "=", "eu-2"), affinity(-5, "spot", "exists")],
        spread="zone",
        spread_weight=80,
        anti_affinity="required",
        agent="a2",
    )
    assert one.placement == made and one.resources == resources(cpus=0.5, memory_bytes=GIB, gpu=1)


def test_what_is_wrong_is_named(fleet):
    answer = fleet.rest.post("/jobs", {"noop": True, "placement": {"affinity": ["zone=eu:500"]}})
    assert answer.status == 400 and "placement.affinity[0].weight" in answer.text
    answer = fleet.rest.post("/jobs", {"noop": True, "constraints": ["zone regex (a+"]})
    assert answer.status == 400 and "constraints[0].values[0]" in answer.text
    with pytest.raises(BadRequestError) as raised:
        fleet.client().submit(noop_job(resources=resources(cpus=-1)))
    assert [violation.field for violation in raised.value.violations] == ["spec.resources.cpus"]
    done = fleet.rota("submit", "--resource", "gpu=many", "--noop")
    assert done.returncode != 0 and "--resource" in done.stderr
