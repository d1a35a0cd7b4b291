"""Parts of the worker by themselves: lease, logs, journal, folder, watchdog, the registry of tasks."""
from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cluster import CHECKOUT
from processes import wait_until
from rota_client._generated.rota.v1 import agent_session_pb2 as pb
from rota_client._generated.rota.v1.types_pb2 import RunTrigger
from rota_worker import Fail, Retry, Worker, _child, channel, executor, launch, limits, logs, wire
from rota_worker.clock import boot_ns
from rota_worker.context import TaskInfo, check_progress
from rota_worker.etcd import Etcd, EtcdError, KeyValue
from rota_worker.files import DataFolder
from rota_worker.journal import Journal
from rota_worker.lease import Held, LeaseKeeper, SavedIncarnation, margin_ms
from rota_worker.model import AttemptRef, End, EndReason, Update, Usage, Wish
from rota_worker.trust import TrustFile

TTL = 2
SECOND = 1_000_000_000


class ScriptedEtcd(Etcd):
    """As much of etcd as a lease keeper sees, in memory; a hook may fail or delay any request."""

    def __init__(self) -> None:
        super().__init__(["127.0.0.1:1"], 1)
        self.revision = 10
        self.keys: dict[str, KeyValue] = {}
        self.leases: set[int] = set()
        self.hook: Callable[[str], None] = lambda request: None

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    def grant(self, ttl_seconds: int) -> tuple[int, int]:
        self.hook("grant")
        lease = self._next()
        self.leases.add(lease)
        return lease, ttl_seconds

    def keep_alive(self, lease: int) -> int:
        self.hook("keep_alive")
        return TTL if lease in self.leases else 0

    def revoke(self, lease: int) -> None:
        self.hook("revoke")
        self.leases.discard(lease)
        self.keys = {key: value for key, value in self.keys.items() if value.lease != lease}

    def get(self, key: str) -> KeyValue | None:
        self.hook("get")
        return self.keys.get(key)

    def create(self, key: str, value: bytes, lease: int) -> KeyValue:
        self.hook("create")
        if key not in self.keys:
            self.keys[key] = KeyValue(key, value, self._next(), lease)
        return self.keys[key]

    def replace(self, held: KeyValue, value: bytes) -> bool:
        self.hook("replace")
        return self.keys.get(held.key) is not None


class Owner:
    """Notes what the keeper says."""

    def __init__(self) -> None:
        self.began: list[Held] = []
        self.trusted: list[int] = []
        self.ended: list[str] = []

    def incarnation_began(self, held: Held) -> None:
        self.began.append(held)

    def lease_trusted(self, until: int) -> None:
        self.trusted.append(until)

    def incarnation_ended(self, why: str) -> None:
        self.ended.append(why)


class Keeping:
    def __init__(self, folder: Path, etcd: ScriptedEtcd | None = None) -> None:
        self.etcd = etcd or ScriptedEtcd()
        self.owner = Owner()
        self.saved = folder / "incarnation.json"
        self.failures: list[BaseException] = []
        self.keeper = LeaseKeeper(self.etcd, "/rota/agents/w1", lambda: b"{}", TTL, "w1", self.saved)

    def start(self) -> Keeping:
        self.keeper.start(self.owner, self.failures.append)
        return self

    def until(self, condition: Callable[[], object], what: str) -> None:
        wait_until(lambda: condition() or self.failures, 10, what)
        assert not self.failures, self.failures


def test_trust_counts_from_when_the_request_was_sent(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    asked: list[int] = []

    def slow(request: str) -> None:
        if request in ("grant", "keep_alive"):
            asked.append(boot_ns())
            time.sleep(0.4)

    keeping.etcd.hook = slow
    keeping.start()
    keeping.until(lambda: len(keeping.owner.trusted) >= 2, "two renewals")
    keeping.keeper.stop(revoke=True)
    for moment, until in zip(asked, [keeping.owner.began[0].trusted_until, *keeping.owner.trusted], strict=False):
        limit = moment + TTL * SECOND - margin_ms(TTL) * 1_000_000
        assert limit - SECOND // 5 < until <= limit
    assert not keeping.etcd.keys and not keeping.saved.exists(), "given back"


def test_lost_lease_begins_a_new_incarnation_after_the_owner_has_ended_the_old(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path).start()
    keeping.until(lambda: keeping.owner.trusted, "a renewal")
    keeping.etcd.revoke(keeping.owner.began[0].lease)
    keeping.until(lambda: len(keeping.owner.began) == 2, "a new incarnation")
    assert len(keeping.owner.ended) == 1
    assert keeping.owner.began[1].create_revision > keeping.owner.began[0].create_revision
    keeping.keeper.stop(revoke=False)
    assert keeping.etcd.keys, "not given back"


def test_key_that_was_deleted_by_hand_is_noticed(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path).start()
    keeping.until(lambda: keeping.owner.began, "an incarnation")
    keeping.etcd.keys.clear()
    keeping.until(lambda: len(keeping.owner.began) == 2, "a new incarnation")
    assert "gone" in keeping.owner.ended[0]
    keeping.keeper.stop(revoke=True)


def test_id_of_somebody_else_is_waited_for(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    other = keeping.etcd.create("/rota/agents/w1", b"{}", lease=1)
    keeping.start()
    time.sleep(1.5)
    assert not keeping.owner.began and keeping.etcd.keys == {other.key: other}
    keeping.etcd.revoke(1)
    keeping.until(lambda: keeping.owner.began, "its turn")
    keeping.keeper.stop(revoke=True)


def test_failures_of_etcd_are_sat_out(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    failing = threading.Event()

    def fail(request: str) -> None:
        if failing.is_set():
            raise EtcdError(f"{request} fails")

    keeping.etcd.hook = fail
    failing.set()
    keeping.start()
    time.sleep(0.5)
    assert not keeping.owner.began
    failing.clear()
    keeping.until(lambda: keeping.owner.trusted, "a renewal")
    failing.set()
    time.sleep(1)
    failing.clear()
    count = len(keeping.owner.trusted)
    keeping.until(lambda: len(keeping.owner.trusted) > count, "renewals go on")
    assert not keeping.owner.ended
    keeping.keeper.stop(revoke=True)


def test_restart_goes_on_only_while_lease_and_key_are_alive(tmp_path: Path) -> None:
    first = Keeping(tmp_path).start()
    first.until(lambda: first.owner.began, "an incarnation")
    first.keeper.stop(revoke=False)
    second = Keeping(tmp_path, first.etcd).start()
    second.until(lambda: second.owner.began, "the same incarnation")
    assert second.owner.began[0].create_revision == first.owner.began[0].create_revision
    second.keeper.stop(revoke=False)
    first.etcd.keys.clear()
    third = Keeping(tmp_path, first.etcd).start()
    third.until(lambda: third.owner.began, "another incarnation")
    assert third.owner.began[0].create_revision > first.owner.began[0].create_revision
    assert first.owner.began[0].lease not in first.etcd.leases, "the old lease does not linger"
    third.keeper.stop(revoke=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"worker_id": "w1"}', '{"worker_id": "w1", "lease": "zz"}'])
def test_saved_incarnation_that_is_nonsense_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "incarnation.json"
    path.write_text(text)
    assert SavedIncarnation.load(path) is None
    saved = SavedIncarnation("w1", 0x1A, 7, 3)
    saved.save(path)
    assert SavedIncarnation.load(path) == saved


def test_log_keeps_its_offsets_when_it_is_rotated(tmp_path: Path) -> None:
    writer = logs.LogWriter(tmp_path, "stdout", 100)
    written = b"".join(b"%09d\n" % n for n in range(33))
    for at in range(0, len(written), 7):
        writer.write(written[at : at + 7])
    writer.close()
    assert writer.written == 330
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stdout.250", "stdout.300"]
    assert logs.read(tmp_path, "stdout", 0, 1_000) == (250, written[250:300], 330), "what was removed is skipped"
    assert logs.read(tmp_path, "stdout", 300, 10) == (300, written[300:310], 330)
    assert logs.read(tmp_path, "stdout", -15, 1_000) == (315, written[315:], 330)
    assert logs.read(tmp_path, "stdout", 330, 10) == (330, b"", 330)
    assert logs.read(tmp_path, "stderr", 5, 10) == (5, b"", 0)


@pytest.mark.parametrize(
    ("out", "err", "expected"), [(10, 10, (10, 10)), (5_000, 10, (2_038, 10)), (5_000, 5_000, (1_024, 1_024))]
)
def test_output_tail_is_shared_by_both_streams(
    tmp_path: Path, out: int, err: int, expected: tuple[int, int]
) -> None:
    (tmp_path / "stdout.0").write_bytes(b"o" * out)
    (tmp_path / "stderr.0").write_bytes(b"e" * err)
    tail = logs.tail(tmp_path)
    assert (tail.count(b"o"), tail.count(b"e")) == expected
    assert len(tail) <= limits.OUTPUT_TAIL_BYTES


def test_journal_outlives_the_process(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    refs = [AttemptRef("default", f"job-{n}", "run", 1, 1, 7) for n in range(3)]
    end = End(20, EndReason.TIMEOUT, signal=9, error="late", output_tail=b"x\xff", usage=Usage(1, 2, 3))
    journal = Journal(folder)
    for ref in refs:
        journal.keep(Update(ref, 10))
    journal.keep(Update(refs[1], 10, end))
    journal.forget(refs[2])
    (folder.journal / "half.new").write_bytes(b"torn")
    (folder.journal / "broken").write_bytes(b"\xff\xff")
    loaded = {update.ref: update for update in Journal(DataFolder(tmp_path)).load()}
    assert loaded == {refs[0]: Update(refs[0], 10), refs[1]: Update(refs[1], 10, end)}


def test_folder_belongs_to_one_worker_and_its_processes(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    lock = folder.lock()
    with pytest.raises(RuntimeError, match="in use"):
        DataFolder(tmp_path).lock(seconds=0.1)
    heir = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    os.close(lock)
    try:
        with pytest.raises(RuntimeError, match="in use"):
            DataFolder(tmp_path).lock(seconds=0.1)
    finally:
        heir.kill()
        heir.wait()
    os.close(DataFolder(tmp_path).lock(seconds=5))


def test_old_folders_are_removed_but_none_that_is_needed(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    paths = [folder.attempt(AttemptRef("default", f"job-{n}", "run", 1, 1, 7)) for n in range(5)]
    for age, path in enumerate(paths):
        path.mkdir(parents=True)
        os.utime(path, (time.time() - age * 100,) * 2)
    assert folder.sweep({paths[4]}, keep_seconds=250, keep_folders=2) == 2
    assert [path.exists() for path in paths] == [True, True, False, False, True]
    assert not (folder.attempts / "default" / "job-2").exists(), "empty parents go, too"


def test_watchdog_kills_a_worker_whose_threads_outlive_the_trust(tmp_path: Path) -> None:
    """Also one that is stopped; and never one without threads, or within its trust."""
    program = (
        "import subprocess, sys, time\n"
        "from rota_worker import launch\n"
        "subprocess.Popen(launch.argv('_watchdog', sys.argv[1], 200_000_000), stdin=subprocess.PIPE,\n"
        "                 pass_fds=(int(sys.argv[1]),))\n"
        "time.sleep(60)\n"
    )
    trust = TrustFile.create(tmp_path / "trust")
    trust.trusted_until = boot_ns() + 1 * SECOND
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "clients" / "python")}
    argv = [sys.executable, "-c", program, str(trust.descriptor)]
    worker = subprocess.Popen(argv, pass_fds=(trust.descriptor,), env=env, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None and worker.stdout.readline() == b"up\n"
        time.sleep(1.5)
        assert worker.poll() is None, "trust is over, but nothing runs"
        trust.trusted_until = boot_ns() + 1 * SECOND
        trust.threads = 1
        os.kill(worker.pid, 19)
        time.sleep(0.7)
        assert worker.poll() is None, "within the trust"
        assert worker.wait(10) == -9
    finally:
        worker.kill()
        worker.wait()


def test_frames_that_cannot_be_are_refused() -> None:
    frame = channel.pack({"op": "x"}, b"data")
    assert channel.lengths(frame[: channel.HEADER.size]) == (11, 4)
    with pytest.raises(ValueError, match="at most"):
        channel.lengths(channel.HEADER.pack(1, limits.FRAME_BYTES))
    with pytest.raises(ValueError, match="no JSON object"):
        channel.unpack(b"[]", b"")


@pytest.mark.parametrize(("fraction", "message"), [(-0.1, ""), (1.1, ""), (float("nan"), ""), (0.5, "\u00fc" * 129)])
def test_progress_that_cannot_be_is_refused(fraction: float, message: str) -> None:
    check_progress(1.0, "\u00fc" * 128)
    with pytest.raises(ValueError, match="progress"):
        check_progress(fraction, message)


@pytest.mark.parametrize("after", [-1, 86_401, math.nan, math.inf, timedelta(days=2)])
def test_waits_that_cannot_be_are_refused(after: float | timedelta) -> None:
    with pytest.raises(ValueError, match="it has to be 0 to 86400"):
        Retry("busy", after=after)


def test_what_a_task_wishes_outlives_the_process() -> None:
    ref = AttemptRef("default", "j", "r", 1, 1, 7)
    assert _child.wish_of(Retry(after=timedelta(seconds=1.5))) == Wish(retry_after_ms=1_500)
    assert _child.wish_of(Fail("x")) == Wish(no_retry=True) and _child.wish_of(ValueError()) == Wish()
    for wish in (Wish(), Wish(no_retry=True), Wish(retry_after_ms=0), Wish(retry_after_ms=86_400_000)):
        update = Update(ref, 5, End(6, EndReason.EXITED, exit_code=1, wish=wish))
        assert wire.update_from_wire(wire.update_to_wire(update)) == update


def test_names_of_tasks_are_checked() -> None:
    worker = Worker()
    worker.task("ok")(lambda context, payload: None)
    for name, text in (("Not Ok", "does not match"), ("ok", "twice")):
        with pytest.raises(ValueError, match=text):
            worker.task(name)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"slots": -1}, "slots"),
        ({"worker_id": "../x"}, "worker_id"),
        ({"lease_ttl": 1}, "lease_ttl"),
        ({"prefix": "rota"}, "prefix"),
        ({"log_bytes": 1}, "log_bytes"),
        ({"drain_timeout": -1.0}, "drain_timeout"),
        ({"etcd": ["ftp://x"]}, "etcd"),
    ],
)
def test_configuration_that_cannot_be_is_refused(tmp_path: Path, option: dict[str, object], text: str) -> None:
    worker = Worker(**{"worker_id": "w1", "data_dir": tmp_path, "pool": "thread", **option})  # type: ignore[arg-type]
    worker.task("work")(lambda context, payload: None)
    with pytest.raises(ValueError, match=text):
        worker.run()


def test_worker_that_processes_cannot_find_says_so(tmp_path: Path) -> None:
    hidden = Worker("w1", data_dir=tmp_path)
    hidden.task("work")(lambda context, payload: None)
    with pytest.raises(RuntimeError, match="top level"):
        hidden.run()


def test_helpers_find_modules_where_the_program_does() -> None:
    argv = launch.argv("_watchdog", 3)
    assert argv[0] == sys.executable and argv[-1] == "3" and repr(sys.path) in argv[2]


def known(context: pb.RunContext | None) -> tuple[TaskInfo, dict[str, str]]:
    """What the handler and the process of an attempt are told, by way of the attempt's file."""
    message = pb.Assignment(scheduled_time=Timestamp(seconds=1_700_000_000, nanos=123_456_789), context=context)
    message.attempt.attempt = 1
    assignment = wire.assignment_from_wire(message)
    spec: dict[str, Any] = json.loads(json.dumps(executor.facts(assignment, "w1")))
    info = _child.info_of(spec, None)
    return info, _child.environment(info, "u1")


def test_a_task_knows_what_is_around_its_run() -> None:
    info, env = known(
        pb.RunContext(
            trigger=RunTrigger.RUN_TRIGGER_BACKFILL,
            params={"Region": "eu", "b": "x \"y\" grüße"},
            previous_scheduled_time=Timestamp(seconds=1_699_999_940),
            last_success_time=Timestamp(seconds=1_699_999_880, nanos=500_000_000),
        )
    )
    assert info.scheduled_time == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=timezone.utc)
    assert info.previous_scheduled_time == datetime(2023, 11, 14, 22, 12, 20, tzinfo=timezone.utc)
    assert info.next_scheduled_time is None and info.trigger == "backfill"
    assert info.params == {"Region": "eu", "b": "x \"y\" grüße"}
    expected = {
        "ROTA_SCHEDULED_TIME": "2023-11-14T22:13:20.123456Z",
        "ROTA_SCHEDULED_UNIX": "1700000000",
        "ROTA_PREVIOUS_SCHEDULED_TIME": "2023-11-14T22:12:20Z",
        "ROTA_NEXT_SCHEDULED_TIME": "",
        "ROTA_LAST_SUCCESS_TIME": "2023-11-14T22:11:20.500Z",
        "ROTA_TRIGGER": "backfill",
        "ROTA_PARAM_REGION": "eu",
        "ROTA_PARAM_B": "x \"y\" grüße",
    }
    assert {name: env[name] for name in expected} == expected
    assert json.loads(env["ROTA_PARAMS"]) == info.params


def test_a_leader_that_says_nothing_of_the_run() -> None:
    info, env = known(None)
    assert info.trigger == "schedule" and info.params == {} and info.last_success_time is None
    assert env["ROTA_PARAMS"] == "{}" and env["ROTA_LAST_SUCCESS_TIME"] == ""
