"""All decisions of a worker about its attempts: no IO, no clock, no threads.

Inputs are methods, with the time where it matters. They collect effects, which the shell takes with
`take_effects` after each batch of inputs and executes; what is to be said to the leader it takes with
`take_messages`, after the effects.

An attempt lives here as

    waiting → active → ended → (acknowledged) remembered

`active` lasts from the effect `start` until the executor says that all of it is dead, `ended` until the
leader has acknowledged the end as durable, over any number of sessions.
"""
from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import replace

from . import limits
from .attempt import Attempt, Cause, Phase, Session
from .model import (
    Assignment,
    AttemptKey,
    AttemptRef,
    CheckpointMessage,
    CheckpointResult,
    Counters,
    Effects,
    End,
    EndReason,
    Health,
    Kill,
    KillMode,
    Progress,
    Status,
    Update,
)

NEVER = -(1 << 63)


class Machine:
    """The state of one worker."""

    def __init__(self, slots: int, tasks: Iterable[str]) -> None:
        self.slots = slots
        self.tasks = frozenset(tasks)
        self.counters = Counters()
        self.leader_epoch = 0
        self.incarnation: int | None = None
        self.is_draining = False
        self.trusted_until = NEVER
        self.attempts: dict[AttemptKey, Attempt] = {}
        self._waiting: deque[AttemptKey] = deque()
        self._memory: OrderedDict[AttemptKey, None] = OrderedDict()
        self._unsent: set[AttemptKey] = set()
        """Whose checkpoint has to be sent."""
        self._session: Session | None = None
        self._effects = Effects()
        self._active = 0
        self._unacknowledged = 0

    # Figures

    @property
    def active_count(self) -> int:
        """Attempts whose task may be running."""
        return self._active

    @property
    def unacknowledged_count(self) -> int:
        """Ends that no leader has acknowledged yet."""
        return self._unacknowledged

    def is_live(self, ref: AttemptRef) -> bool:
        """Whether the attempt's task may still write."""
        attempt = self.attempts.get(ref.key)
        return attempt is not None and attempt.phase is not Phase.ENDED

    def is_trusted(self, boot_ns: int) -> bool:
        return boot_ns < self.trusted_until

    # Assignments and stops

    def assign(self, assignments: Iterable[Assignment], wall_ns: int, boot_ns: int) -> None:
        """The leader gives attempts to this worker; what it has or had is dropped."""
        self._fence_if_untrusted(wall_ns, boot_ns)
        for assignment in assignments:
            self._assign(assignment, wall_ns, boot_ns)

    def _assign(self, assignment: Assignment, wall_ns: int, boot_ns: int) -> None:
        ref, key = assignment.ref, assignment.ref.key
        if self.incarnation is None or ref.incarnation != self.incarnation:
            self.counters.foreign_assignments += 1
            return
        if key in self.attempts or key in self._memory:
            self.counters.duplicate_assignments += 1
            return
        if self._unacknowledged >= limits.UNACKNOWLEDGED:
            self.counters.dropped_assignments += 1
            if self._session is not None:
                self._session.has_dropped = True
            return
        if not self.is_trusted(boot_ns):
            self._refuse(ref, EndReason.FENCED, "the worker's lease could not be trusted", wall_ns)
        elif self.is_draining:
            self._refuse(ref, EndReason.AGENT_STOPPED, "the worker is draining", wall_ns)
        elif assignment.kind != "task" or assignment.name not in self.tasks:
            what = f"task '{assignment.name}'" if assignment.kind == "task" else f"kind '{assignment.kind}'"
            self._refuse(ref, EndReason.START_FAILED, f"the worker does not offer {what}", wall_ns)
        elif len(self.attempts) - self._unacknowledged >= 2 * self.slots + limits.WAITING:
            self._refuse(ref, EndReason.START_FAILED, f"the worker is full: it has {self._active} tasks", wall_ns)
        else:
            self.attempts[key] = Attempt(ref, Phase.WAITING, assignment)
            self._waiting.append(key)

    def stop(self, refs: Iterable[AttemptRef], forget: bool, reason: str, wall_ns: int) -> None:
        """The leader wants attempts stopped; with `forget` it wants no report either."""
        for ref in refs:
            if forget:
                self._forget(ref)
            else:
                self._cancel(ref, reason, wall_ns)

    def _cancel(self, ref: AttemptRef, reason: str, wall_ns: int) -> None:
        attempt = self.attempts.get(ref.key)
        if attempt is None:
            # It has ended and the leader knows; or it never came here, and the leader waits to hear that.
            if ref.key not in self._memory:
                self._refuse(ref, EndReason.CANCELLED, "the worker does not have this attempt", wall_ns)
        elif attempt.phase is Phase.WAITING:
            self._settle(attempt, End(wall_ns, EndReason.CANCELLED, error=reason))
        elif attempt.phase is Phase.ACTIVE:
            self._kill(attempt, KillMode.TERMINATE, Cause.CANCELLED, reason)

    def hand_over(self, refs: Iterable[AttemptRef], reason: str, wall_ns: int) -> None:
        """The leader wants attempts ended so that other agents can have their runs."""
        for ref in refs:
            attempt = self.attempts.get(ref.key)
            if attempt is None:
                # As in `_cancel`.
                if ref.key not in self._memory:
                    self._refuse(ref, EndReason.AGENT_STOPPED, "the worker does not have this attempt", wall_ns)
            elif attempt.phase is Phase.WAITING:
                self._settle(attempt, End(wall_ns, EndReason.AGENT_STOPPED, error=reason))
            elif attempt.phase is Phase.ACTIVE:
                self._kill(attempt, KillMode.TERMINATE, Cause.AGENT_STOPPED, reason)

    def _forget(self, ref: AttemptRef) -> None:
        attempt = self.attempts.get(ref.key)
        if attempt is None:
            self._remember(ref.key)
        elif attempt.phase is Phase.ACTIVE:
            attempt.forgotten = True
            self._kill(attempt, KillMode.NOW, Cause.CANCELLED, "the attempt is not this worker's any more")
        else:
            if attempt.phase is Phase.ENDED:
                self._unacknowledged -= 1
                self._effects.unjournal.append(attempt.ref)
            self._drop(attempt)

    # Tasks

    def task_started(self, ref: AttemptRef, wall_ns: int) -> None:
        attempt = self.attempts.get(ref.key)
        if attempt is not None and attempt.phase is Phase.ACTIVE:
            attempt.started_ns = wall_ns
            self._enqueue(attempt)

    def task_ended(self, ref: AttemptRef, end: End) -> None:
        """A task and all its processes are dead, or it could not be started.

        CANCELLED from an executor only says that the task was stopped on request: the machine knows why.
        """
        attempt = self.attempts.get(ref.key)
        if attempt is None or attempt.phase is not Phase.ACTIVE:
            return
        self._active -= 1
        if attempt.forgotten:
            self._effects.unjournal.append(attempt.ref)
            self._answer_checkpoint(attempt, "the attempt is not this worker's any more")
            self._drop(attempt)
            return
        if end.reason is EndReason.CANCELLED:
            if attempt.cause is Cause.CANCELLED:
                end = replace(end, error=end.error or attempt.cause_text)
            elif attempt.cause is Cause.FENCED:
                end = replace(end, reason=EndReason.FENCED, error="the worker's lease could not be trusted")
            else:
                end = replace(end, reason=EndReason.AGENT_STOPPED, error=end.error or attempt.cause_text or "the worker was stopped")
        self._settle(attempt, end)

    def progress(self, ref: AttemptRef, progress: Progress) -> None:
        """How far a task says that it is."""
        attempt = self.attempts.get(ref.key)
        if attempt is not None and attempt.phase is Phase.ACTIVE:
            attempt.progress = progress
            self._enqueue(attempt)

    def checkpoint(self, ref: AttemptRef, data: bytes, boot_ns: int) -> int:
        """A task saves a checkpoint. The sequence is that of the `CheckpointResult` that will answer."""
        attempt = self.attempts.get(ref.key)
        if attempt is None or attempt.phase is not Phase.ACTIVE:
            self._effects.answers.append(CheckpointResult(ref, 0, "the attempt is over"))
            return 0
        attempt.checkpoints += 1
        sequence = attempt.checkpoints
        self._answer_checkpoint(attempt, "a newer checkpoint has replaced it")
        error = ""
        if len(data) > limits.CHECKPOINT_BYTES:
            error = f"it has {len(data)} bytes; at most {limits.CHECKPOINT_BYTES} are kept"
        elif attempt.cause is Cause.FENCED or not self.is_trusted(boot_ns):
            error = "the worker's lease cannot be trusted"
        if error:
            self._effects.answers.append(CheckpointResult(attempt.ref, sequence, error))
        else:
            attempt.checkpoint = CheckpointMessage(attempt.ref, sequence, data)
            self._unsent.add(ref.key)
        return sequence

    def checkpoint_acknowledged(self, ref: AttemptRef, sequence: int, error: str) -> None:
        attempt = self.attempts.get(ref.key)
        pending = attempt.checkpoint if attempt is not None else None
        # An answer to an earlier one says nothing of this one.
        if attempt is None or pending is None or attempt.ref != ref or pending.sequence != sequence:
            return
        self._answer_checkpoint(attempt, error)

    def _answer_checkpoint(self, attempt: Attempt, error: str) -> None:
        if attempt.checkpoint is not None:
            self._effects.answers.append(CheckpointResult(attempt.ref, attempt.checkpoint.sequence, error))
            attempt.checkpoint = None

    def recovered(self, updates: Iterable[Update], wall_ns: int, leader_epoch: int = 0) -> None:
        """Takes up what the journal of an earlier process holds; all of its tasks are dead."""
        self.leader_epoch = max(self.leader_epoch, leader_epoch)
        for update in updates:
            end = update.end or End(wall_ns, EndReason.AGENT_STOPPED, error="the worker was restarted while it ran")
            if update.ref.key in self.attempts:
                continue
            # Whether it had started died with the earlier process: "never" would have the leader start it
            # again even where the job forbids that.
            started = update.started_ns or (end.ended_ns if end.reason.is_agents_fault else None)
            attempt = Attempt(update.ref, Phase.ENDED, started_ns=started, end=end)
            self.attempts[update.ref.key] = attempt
            self._unacknowledged += 1
            if update.end is None:
                self._effects.journal.append(Update(update.ref, started, end))
            self._enqueue(attempt)

    # The lease

    def new_incarnation(self, create_revision: int) -> None:
        self.incarnation = create_revision

    def lease_trusted(self, until_ns: int, wall_ns: int, boot_ns: int) -> None:
        """The lease may be trusted until then, on the boot-time clock. Only ever moves forward."""
        # Past the old end everything has to be killed, whatever the new one says: the watchdogs do so too.
        self._fence_if_untrusted(wall_ns, boot_ns)
        self.trusted_until = max(self.trusted_until, until_ns)

    def incarnation_lost(self, wall_ns: int, boot_ns: int) -> None:
        """The worker's key is gone. A new incarnation may begin when `active_count` is 0."""
        self.incarnation = None
        self.trusted_until = NEVER
        self._fence_if_untrusted(wall_ns, boot_ns)

    def tick(self, wall_ns: int, boot_ns: int) -> None:
        """Time passes: call it at least when trust runs out."""
        self._fence_if_untrusted(wall_ns, boot_ns)

    def drain(self, wall_ns: int) -> None:
        """Takes no new work. What runs goes on; what waits for a slot is given back."""
        if self.is_draining:
            return
        self.is_draining = True
        if self._session is not None:
            self._session.tell_draining = True
        for attempt in list(self.attempts.values()):
            if attempt.phase is Phase.WAITING:
                self._settle(attempt, End(wall_ns, EndReason.AGENT_STOPPED, error="the worker is draining"))

    def stop_all(self, mode: KillMode, wall_ns: int) -> None:
        """Stops all tasks since the worker stops."""
        self._end_all(wall_ns, EndReason.AGENT_STOPPED, "the worker was stopped", mode, Cause.AGENT_STOPPED)

    def _fence_if_untrusted(self, wall_ns: int, boot_ns: int) -> None:
        if not self.is_trusted(boot_ns):
            error = "the worker's lease could not be trusted"
            self._end_all(wall_ns, EndReason.FENCED, error, KillMode.NOW, Cause.FENCED)

    def _end_all(self, wall_ns: int, reason: EndReason, error: str, mode: KillMode, cause: Cause) -> None:
        for attempt in list(self.attempts.values()):
            if attempt.phase is Phase.WAITING:
                self._settle(attempt, End(wall_ns, reason, error=error))
            elif attempt.phase is Phase.ACTIVE:
                if cause is Cause.FENCED and attempt.killed is not KillMode.NOW:
                    self.counters.fenced += 1
                self._kill(attempt, mode, cause, error)

    # The session

    def known(self) -> list[AttemptRef]:
        """The attempts for the hello of a session, live ones first, as many as fit into one message."""
        known = [a for a in self.attempts.values() if not a.forgotten]
        known.sort(key=lambda attempt: attempt.phase is Phase.ENDED)
        refs, size = [], 0
        for attempt in known:
            size += attempt.ref.wire_bytes
            if size > limits.BATCH_BYTES:
                break
            refs.append(attempt.ref)
        return refs

    def session_opened(self, leader_epoch: int) -> bool:
        """The leader said welcome. False when a newer leader has been seen: close the session then."""
        if leader_epoch < self.leader_epoch:
            return False
        self.leader_epoch = leader_epoch
        self._session = Session(tell_draining=self.is_draining)
        for attempt in self.attempts.values():
            attempt.queued = False
            self._enqueue(attempt)
        self._unsent = {key for key, attempt in self.attempts.items() if attempt.checkpoint is not None}
        return True

    def session_closed(self) -> None:
        self._session = None

    @property
    def has_session(self) -> bool:
        return self._session is not None

    @property
    def wants_new_session(self) -> bool:
        """Assignments were dropped while too much was not acknowledged, and by now there is room for them: the leader sends
        on a new session what the hello does not name.
        """
        dropped = self._session is not None and self._session.has_dropped
        return dropped and self._unacknowledged <= limits.UNACKNOWLEDGED // 2

    def acknowledged(self, sequence: int) -> None:
        """Everything up to this status is durable, or refused for good."""
        session = self._session
        if session is None:
            return
        if sequence > session.last_sequence:
            self.counters.bad_acknowledgements += 1
        while session.in_flight and session.in_flight[0][0] <= sequence:
            for key in session.in_flight.popleft()[1]:
                attempt = self.attempts.get(key)
                if attempt is not None and attempt.phase is Phase.ENDED:
                    self._unacknowledged -= 1
                    self._effects.unjournal.append(attempt.ref)
                    self._drop(attempt)

    def health_sampled(self, health: Health) -> None:
        if self._session is not None:
            self._session.health = health

    def take_messages(self) -> list[Status | CheckpointMessage]:
        """What is to be said to the leader now. All of it has to be in the journal by then."""
        session = self._session
        if session is None:
            return []
        messages: list[Status | CheckpointMessage] = []
        for key in sorted(self._unsent):
            attempt = self.attempts.get(key)
            if attempt is not None and attempt.checkpoint is not None:
                messages.append(attempt.checkpoint)
        self._unsent.clear()
        updates = self._take_updates(session) if len(session.in_flight) < limits.STATUSES_IN_FLIGHT else []
        if updates or session.health is not None or session.tell_draining:
            sequence = 0
            if updates:
                session.last_sequence += 1
                sequence = session.last_sequence
                session.in_flight.append((sequence, [update.ref.key for update in updates if update.end]))
            messages.append(Status(sequence, tuple(updates), session.health, self.is_draining))
            session.health = None
            session.tell_draining = False
        return messages

    def _take_updates(self, session: Session) -> list[Update]:
        updates: list[Update] = []
        size = 0
        while session.outbox and len(updates) < limits.UPDATES_PER_STATUS and size < limits.BATCH_BYTES:
            attempt = self.attempts.get(session.outbox.popleft())
            # It may have been forgotten since.
            if attempt is None or not attempt.queued:
                continue
            attempt.queued = False
            if attempt.forgotten:
                continue
            progress = attempt.progress if attempt.end is None else None
            attempt.progress = None
            updates.append(Update(attempt.ref, attempt.started_ns, attempt.end, progress))
            size += attempt.ref.wire_bytes
            if attempt.end is not None:
                size += len(attempt.end.output_tail) + len(attempt.end.error)
        return updates

    def take_effects(self, wall_ns: int, boot_ns: int) -> Effects:
        """What has to be done now."""
        if self.is_trusted(boot_ns):
            while self._waiting and self._active < self.slots:
                attempt = self.attempts.get(self._waiting.popleft())
                # It may have been stopped while it waited.
                if attempt is None or attempt.phase is not Phase.WAITING or attempt.assignment is None:
                    continue
                attempt.phase = Phase.ACTIVE
                self._active += 1
                self._effects.journal.append(Update(attempt.ref, wall_ns))
                self._effects.start.append(attempt.assignment)
                attempt.assignment = None
        effects, self._effects = self._effects, Effects()
        return effects

    # The steps of an attempt's life

    def _enqueue(self, attempt: Attempt) -> None:
        has_news = attempt.phase is Phase.ENDED or (
            attempt.phase is Phase.ACTIVE and attempt.started_ns is not None
        )
        if self._session is None or attempt.queued or attempt.forgotten or not has_news:
            return
        attempt.queued = True
        self._session.outbox.append(attempt.ref.key)

    def _kill(self, attempt: Attempt, mode: KillMode, cause: Cause, text: str) -> None:
        # A user's wish to cancel outweighs the worker's own reasons.
        if cause is Cause.CANCELLED or attempt.cause is None:
            attempt.cause, attempt.cause_text = cause, text
        if cause is Cause.FENCED:
            self._answer_checkpoint(attempt, text)
        if attempt.killed is None or (attempt.killed is KillMode.TERMINATE and mode is KillMode.NOW):
            attempt.killed = mode
            self._effects.kill.append(Kill(attempt.ref, mode, text))

    def _refuse(self, ref: AttemptRef, reason: EndReason, error: str, wall_ns: int) -> None:
        """Ends an attempt that was never taken up."""
        attempt = Attempt(ref, Phase.WAITING)
        self.attempts[ref.key] = attempt
        self._settle(attempt, End(wall_ns, reason, error=error))

    def _settle(self, attempt: Attempt, end: End) -> None:
        """The end of an attempt is kept until it is acknowledged."""
        error = end.error.encode()[: limits.ERROR_BYTES].decode(errors="ignore")
        end = replace(end, error=error, output_tail=end.output_tail[-limits.OUTPUT_TAIL_BYTES :])
        attempt.phase, attempt.end, attempt.assignment = Phase.ENDED, end, None
        self._unacknowledged += 1
        self._answer_checkpoint(attempt, "the attempt is over")
        self._effects.journal.append(Update(attempt.ref, attempt.started_ns, end))
        self._enqueue(attempt)

    def _drop(self, attempt: Attempt) -> None:
        """Nothing is to be said of an attempt any more."""
        self.attempts.pop(attempt.ref.key, None)
        self._remember(attempt.ref.key)

    def _remember(self, key: AttemptKey) -> None:
        self._memory[key] = None
        if len(self._memory) > limits.REMEMBERED:
            self._memory.popitem(last=False)
