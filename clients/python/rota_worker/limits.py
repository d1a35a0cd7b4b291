"""The bounds of a worker. Those of messages are the protocol's: see docs/AGENT_PROTOCOL.md."""
from __future__ import annotations

MESSAGE_BYTES = 4 << 20
"""The longest gRPC message that either side takes."""
BATCH_BYTES = 1 << 20
"""About how much goes into one Hello or Status."""
UPDATES_PER_STATUS = 1_000
STATUSES_IN_FLIGHT = 1_000
"""Statuses that may be unacknowledged before the next one waits."""
UNACKNOWLEDGED = 100_000
"""Ends that may wait for their acknowledgement before new assignments are dropped."""
REMEMBERED = 100_000
"""Ended attempts that are remembered, so that a late duplicate of an assignment is dropped."""
WAITING = 1_000
"""Assignments beyond the slots that may wait for one."""
CHECKPOINT_BYTES = 256 << 10
PROGRESS_MESSAGE_BYTES = 256
RETRY_AFTER_SECONDS = 86_400.0
"""The longest wait before the next attempt that a task may wish for."""
OUTPUT_TAIL_BYTES = 2_048
ERROR_BYTES = 1_024
LOG_REPLY_BYTES = 256 << 10
FRAME_BYTES = 1 << 20
"""The longest message between the worker and the process of a task."""
KILL_GRACE_MS = 10_000
"""Between the request to stop and the kill, where a job says nothing."""
PROGRESS_INTERVAL_SECONDS = 0.25
"""How often progress is passed on; of what a task says meanwhile only the latest counts."""
FORK_SECONDS = 30.0
"""How long the fork server may take to load the handlers."""
LOCK_SECONDS = 30.0
"""How long the processes of an earlier worker on the same folder may take to die."""
LEASE_MARGIN_MIN_MS = 500
BROKEN_SECONDS = 10.0
"""How long a worker that cannot go on waits to hear that its tasks are dead."""
ACKNOWLEDGEMENT_SECONDS = 5.0
"""How long a stopping worker waits for its last acknowledgements."""
WELCOME_SECONDS = 5.0
HEALTH_SECONDS = 5.0
RECONNECT_MIN_SECONDS = 0.05
RECONNECT_MAX_SECONDS = 2.0
STEADY_SESSION_SECONDS = 5.0
"""After a session of this length the waits between connections start small again."""
POLL_PATIENCE_SECONDS = 15.0
"""How long the leader is looked for often; then ever more seldom."""
FOLDERS_KEPT = 5_000
"""Folders of ended attempts that are kept for their logs."""
FOLDER_SECONDS = 24 * 3600.0
JANITOR_SECONDS = 60.0
