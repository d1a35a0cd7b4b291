"""The worker's state machine, without IO: messages and times in, effects and messages out."""
from __future__ import annotations

import random

import pytest

from rota_worker import limits
from rota_worker.machine import Machine
from rota_worker.model import (
    Assignment,
    AttemptRef,
    CheckpointMessage,
    CheckpointResult,
    Effects,
    End,
    EndReason,
    KillMode,
    Progress,
    Status,
    Update,
)

INCARNATION = 7
TRUSTED = 1_000
"""On the boot-time clock of these tests."""


def ref(number: int = 1, attempt: int = 1, incarnation: int = INCARNATION) -> AttemptRef:
    return AttemptRef("default", f"job-{number}", "run", attempt, attempt, incarnation)


def assignment(number: int = 1, name: str = "work", kind: str = "task", incarnation: int = INCARNATION) -> Assignment:
    return Assignment(ref(number, incarnation=incarnation), kind, name, "null", 0)


def done(code: int = 0) -> End:
    return End(5, EndReason.EXITED, exit_code=code)


class Bench:
    """A machine with a trusted lease and a session."""

    def __init__(self, slots: int = 2) -> None:
        self.machine = Machine(slots, ["work"])
        self.machine.new_incarnation(INCARNATION)
        self.machine.lease_trusted(TRUSTED, 0, 0)
        assert self.machine.session_opened(1)

    def effects(self, boot: int = 0) -> Effects:
        return self.machine.take_effects(0, boot)

    def assign(self, *assignments: Assignment, boot: int = 0) -> Effects:
        self.machine.assign(assignments, 0, boot)
        return self.effects(boot)

    def statuses(self) -> list[Status]:
        return [message for message in self.machine.take_messages() if isinstance(message, Status)]

    def updates(self) -> list[Update]:
        return [update for status in self.statuses() for update in status.updates]

    def ends(self) -> list[End]:
        return [update.end for update in self.updates() if update.end is not None]


def test_life_of_an_attempt() -> None:
    bench = Bench()
    effects = bench.assign(assignment())
    assert [a.ref for a in effects.start] == [ref()]
    assert [(u.ref, u.end) for u in effects.journal] == [(ref(), None)], "a begun attempt is written down first"
    bench.machine.task_started(ref(), 3)
    assert bench.statuses() == [Status(1, (Update(ref(), 3),))]
    bench.machine.task_ended(ref(), done())
    assert bench.effects().journal == [Update(ref(), 3, done())]
    assert bench.statuses() == [Status(2, (Update(ref(), 3, done()),))]
    bench.machine.acknowledged(1)
    assert not bench.effects(), "the first status had no end"
    bench.machine.acknowledged(2)
    assert bench.effects().unjournal == [ref()]
    assert bench.machine.unacknowledged_count == 0 and bench.machine.active_count == 0


def test_duplicates_are_dropped_in_every_phase() -> None:
    bench = Bench()
    for _ in range(3):
        bench.machine.assign([assignment()], 0, 0)
    assert len(bench.effects().start) == 1
    bench.machine.task_ended(ref(), done())
    assert not bench.assign(assignment()).start
    bench.statuses()
    bench.machine.acknowledged(1)
    assert not bench.assign(assignment()).start, "remembered after its acknowledgement"
    assert bench.machine.counters.duplicate_assignments == 4


def test_assignment_of_another_incarnation_is_none() -> None:
    bench = Bench()
    assert not bench.assign(assignment(incarnation=INCARNATION - 1))
    assert bench.machine.counters.foreign_assignments == 1
    assert bench.updates() == []


@pytest.mark.parametrize(("kind", "name"), [("exec", ""), ("task", "other")])
def test_what_is_not_offered_is_refused(kind: str, name: str) -> None:
    bench = Bench()
    assert not bench.assign(assignment(name=name, kind=kind)).start
    assert [end.reason for end in bench.ends()] == [EndReason.START_FAILED]


def test_slots() -> None:
    bench = Bench(slots=2)
    assert len(bench.assign(*(assignment(n) for n in range(5))).start) == 2
    bench.machine.task_ended(ref(0), done())
    assert [a.ref for a in bench.effects().start] == [ref(2)]
    bench.machine.stop([ref(3)], forget=False, reason="no", wall_ns=0)
    assert [(e.reason, e.error) for e in bench.ends()] == [(EndReason.EXITED, ""), (EndReason.CANCELLED, "no")]
    bench.machine.task_ended(ref(1), done())
    assert [a.ref for a in bench.effects().start] == [ref(4)], "who was stopped while waiting is skipped"


def test_cancel_of_a_running_task_says_why() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.stop([ref()], forget=False, reason="enough", wall_ns=0)
    assert [(k.ref, k.mode) for k in bench.effects().kill] == [(ref(), KillMode.TERMINATE)]
    bench.machine.stop([ref()], forget=False, reason="enough", wall_ns=0)
    assert not bench.effects(), "it is told once"
    bench.machine.task_ended(ref(), End(5, EndReason.CANCELLED))
    assert [(e.reason, e.error) for e in bench.ends()] == [(EndReason.CANCELLED, "enough")]


def test_end_by_itself_stands_although_a_kill_was_under_way() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.stop([ref()], forget=False, reason="enough", wall_ns=0)
    bench.machine.task_ended(ref(), done())
    assert bench.ends() == [done()]


def test_cancel_of_what_never_came_is_answered() -> None:
    bench = Bench()
    bench.machine.stop([ref(9)], forget=False, reason="", wall_ns=0)
    assert [e.reason for e in bench.ends()] == [EndReason.CANCELLED]
    assert not bench.assign(assignment(9)).start


def test_forget_kills_and_reports_nothing() -> None:
    bench = Bench()
    bench.assign(assignment(1))
    bench.machine.task_started(ref(1), 1)
    bench.machine.stop([ref(1), ref(2)], forget=True, reason="", wall_ns=0)
    assert [(k.ref, k.mode) for k in bench.effects().kill] == [(ref(1), KillMode.NOW)]
    bench.machine.task_ended(ref(1), End(5, EndReason.CANCELLED))
    assert bench.effects().unjournal == [ref(1)]
    assert bench.updates() == []
    assert not bench.assign(assignment(2)).start, "a late assignment of what was to be forgotten"


def test_fencing() -> None:
    bench = Bench(slots=1)
    bench.assign(assignment(1), assignment(2))
    bench.machine.tick(0, TRUSTED - 1)
    assert not bench.effects(TRUSTED - 1)
    bench.machine.tick(0, TRUSTED)
    effects = bench.effects(TRUSTED)
    assert [(k.ref, k.mode) for k in effects.kill] == [(ref(1), KillMode.NOW)]
    assert not effects.start
    assert not bench.assign(assignment(3), boot=TRUSTED).start, "nothing starts without trust"
    bench.machine.task_ended(ref(1), End(5, EndReason.CANCELLED))
    assert {e.reason for e in bench.ends()} == {EndReason.FENCED}
    assert bench.machine.counters.fenced == 1


def test_renewal_that_comes_late_fences_first() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.lease_trusted(TRUSTED * 2, 0, TRUSTED + 1)
    assert len(bench.effects(TRUSTED + 1).kill) == 1


def test_lost_incarnation_ends_all() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.incarnation_lost(0, 1)
    assert [k.mode for k in bench.effects(1).kill] == [KillMode.NOW]
    bench.machine.task_ended(ref(), End(5, EndReason.CANCELLED))
    bench.assign(assignment(2))
    assert bench.machine.counters.foreign_assignments == 1, "without an incarnation nothing is taken"
    assert [e.reason for e in bench.ends()] == [EndReason.FENCED]


def test_session_of_a_deposed_leader_is_refused() -> None:
    bench = Bench()
    bench.machine.session_closed()
    assert bench.machine.session_opened(5)
    bench.machine.session_closed()
    assert not bench.machine.session_opened(4)
    assert not bench.machine.has_session
    assert bench.machine.session_opened(5)


def test_everything_is_told_again_in_the_next_session() -> None:
    bench = Bench()
    bench.assign(assignment(1), assignment(2))
    bench.machine.task_started(ref(1), 1)
    bench.machine.task_ended(ref(2), done())
    first = bench.updates()
    bench.machine.session_closed()
    assert bench.machine.take_messages() == []
    assert bench.machine.known() == [ref(1), ref(2)], "live ones first"
    bench.machine.acknowledged(1)
    assert bench.machine.unacknowledged_count == 1, "an acknowledgement without a session says nothing"
    assert bench.machine.session_opened(2)
    status = bench.statuses()[0]
    assert status.sequence == 1
    assert {update.ref for update in status.updates} == {update.ref for update in first} == {ref(1), ref(2)}


def test_acknowledgement_is_cumulative_and_never_of_the_future() -> None:
    bench = Bench(slots=9)
    for number in range(3):
        bench.assign(assignment(number))
        bench.machine.task_ended(ref(number), done())
        bench.updates()
    bench.machine.acknowledged(2)
    assert bench.effects().unjournal == [ref(0), ref(1)]
    bench.machine.acknowledged(9)
    assert bench.machine.counters.bad_acknowledgements == 1
    assert bench.effects().unjournal == [ref(2)]


def test_statuses_are_bounded() -> None:
    bench = Bench(slots=3_000)
    bench.assign(*(assignment(n) for n in range(2_500)))
    for number in range(2_500):
        bench.machine.task_ended(ref(number), done())
    sizes = []
    while statuses := bench.statuses():
        sizes += [len(status.updates) for status in statuses]
    assert sizes == [1_000, 1_000, 500]
    assert sizes[0] == limits.UPDATES_PER_STATUS


def test_drain() -> None:
    bench = Bench(slots=1)
    bench.assign(assignment(1), assignment(2))
    bench.machine.drain(0)
    assert not bench.assign(assignment(3)).start
    status = bench.statuses()[0]
    assert status.draining
    assert {(u.ref, u.end.reason) for u in status.updates if u.end} == {
        (ref(2), EndReason.AGENT_STOPPED),
        (ref(3), EndReason.AGENT_STOPPED),
    }
    assert bench.machine.active_count == 1, "what runs goes on"
    bench.machine.stop_all(KillMode.TERMINATE, 0)
    bench.machine.stop_all(KillMode.NOW, 0)
    assert [k.mode for k in bench.effects().kill] == [KillMode.TERMINATE, KillMode.NOW]
    bench.machine.task_ended(ref(1), End(5, EndReason.CANCELLED))
    assert [e.reason for e in bench.ends()] == [EndReason.AGENT_STOPPED]


def test_recovery_reports_what_was_begun_and_what_was_not_acknowledged() -> None:
    machine = Machine(1, ["work"])
    machine.recovered([Update(ref(1), 3), Update(ref(2), 3, done())], wall_ns=9, leader_epoch=4)
    machine.new_incarnation(INCARNATION)
    machine.lease_trusted(TRUSTED, 0, 0)
    assert [(u.ref, u.end.reason) for u in machine.take_effects(0, 0).journal if u.end] == [
        (ref(1), EndReason.AGENT_STOPPED)
    ]
    assert not machine.session_opened(3), "the epoch outlives the process"
    assert machine.session_opened(4)
    machine.assign([assignment(1), assignment(2)], 0, 0)
    assert not machine.take_effects(0, 0).start, "an attempt starts once"
    (status,) = machine.take_messages()
    assert isinstance(status, Status) and {u.ref for u in status.updates if u.end} == {ref(1), ref(2)}


def test_checkpoint_is_sent_again_until_it_is_answered() -> None:
    bench = Bench()
    bench.assign(assignment())
    sequence = bench.machine.checkpoint(ref(), b"half", 0)
    sent = [CheckpointMessage(ref(), sequence, b"half")]
    assert bench.machine.take_messages() == sent
    assert bench.machine.take_messages() == []
    bench.machine.session_closed()
    bench.machine.session_opened(2)
    assert bench.machine.take_messages() == sent
    bench.machine.checkpoint_acknowledged(ref(), sequence + 1, "")
    bench.machine.checkpoint_acknowledged(ref(attempt=2), sequence, "")
    assert not bench.effects(), "answers to something else"
    bench.machine.checkpoint_acknowledged(ref(), sequence, "")
    assert bench.effects().answers == [CheckpointResult(ref(), sequence, "")]
    later = bench.machine.checkpoint(ref(), b"more", 0)
    assert later > sequence
    bench.machine.checkpoint_acknowledged(ref(), later, "stale")
    assert bench.effects().answers == [CheckpointResult(ref(), later, "stale")]


def test_checkpoint_is_refused_without_trust_and_answered_when_trust_ends() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.checkpoint(ref(), b"x", 0)
    bench.machine.tick(0, TRUSTED)
    bench.machine.checkpoint(ref(), b"y", TRUSTED)
    answers = bench.effects(TRUSTED).answers
    assert len(answers) == 2 and all("trust" in answer.error for answer in answers)
    assert bench.machine.take_messages() == []


def test_checkpoint_of_too_many_bytes_is_refused() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.checkpoint(ref(), bytes(limits.CHECKPOINT_BYTES), 0)
    assert len(bench.machine.take_messages()) == 1
    bench.machine.checkpoint(ref(), bytes(limits.CHECKPOINT_BYTES + 1), 0)
    assert bench.machine.take_messages() == []
    assert [bool(answer.error) for answer in bench.effects().answers] == [True, True], "the first was replaced"


def test_only_the_latest_progress_is_told() -> None:
    bench = Bench()
    bench.assign(assignment())
    bench.machine.task_started(ref(), 1)
    bench.machine.progress(ref(), Progress(0.1, "", 1))
    bench.machine.progress(ref(), Progress(0.2, "", 2))
    assert bench.updates() == [Update(ref(), 1, None, Progress(0.2, "", 2))]
    bench.machine.progress(ref(), Progress(0.3, "", 3))
    bench.machine.task_ended(ref(), done())
    assert bench.updates() == [Update(ref(), 1, done())], "an end needs no progress"


@pytest.mark.parametrize("seed", range(40))
def test_at_random(seed: int) -> None:
    """Whatever happens in whatever order: one start per attempt, slots are kept, every end is told until it is
    acknowledged, and nothing is left when all is acknowledged."""
    dice = random.Random(seed)
    bench = Bench(slots=3)
    machine = bench.machine
    started: list[AttemptRef] = []
    running: set[AttemptRef] = set()
    begun: set[AttemptRef] = set()
    ended: set[AttemptRef] = set()
    unsettled: set[AttemptRef] = set()
    boot, epoch, sequence = 0, 1, 0

    def settle() -> None:
        effects = machine.take_effects(0, boot)
        for update in effects.journal:
            begun.add(update.ref)
            if update.end is not None:
                assert update.ref not in ended, "two ends"
                ended.add(update.ref)
                unsettled.add(update.ref)
        for gone in effects.unjournal:
            unsettled.discard(gone)
        for started_one in effects.start:
            assert started_one.ref not in started, "two starts"
            assert boot < machine.trusted_until, "a start without trust"
            started.append(started_one.ref)
            running.add(started_one.ref)
        assert all(kill.ref in started for kill in effects.kill)
        assert len(running) == machine.active_count <= 3
        assert machine.unacknowledged_count == len(unsettled)

    for _ in range(400):
        boot += dice.randrange(20)
        match dice.randrange(9):
            case 0 | 1 | 2:
                machine.assign([assignment(dice.randrange(60))], 0, boot)
            case 3:
                machine.stop([ref(dice.randrange(60))], dice.random() < 0.3, "why", 0)
            case 4 if running:
                victim = dice.choice(sorted(running))
                running.discard(victim)
                machine.task_ended(victim, dice.choice([done(), done(1), End(5, EndReason.CANCELLED)]))
            case 5:
                machine.session_closed()
                epoch += 1
                machine.session_opened(epoch)
                sequence = 0
            case 6:
                machine.lease_trusted(boot + dice.randrange(100), 0, boot)
            case 7:
                for message in machine.take_messages():
                    if isinstance(message, Status) and message.sequence:
                        assert message.sequence == sequence + 1, "no gap"
                        sequence = message.sequence
                machine.acknowledged(dice.randint(0, sequence))
            case _:
                machine.tick(0, boot)
        settle()
    for victim in sorted(running):
        machine.task_ended(victim, done())
    running.clear()
    machine.stop_all(KillMode.NOW, 0)
    settle()
    machine.session_closed()
    machine.session_opened(epoch + 1)
    told = [message for message in iter(machine.take_messages, []) for message in message]
    machine.acknowledged(max((m.sequence for m in told if isinstance(m, Status)), default=0))
    settle()
    assert not unsettled and not machine.attempts
