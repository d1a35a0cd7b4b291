/// Every bound of rota-shim, in one place.
#ifndef ROTA_SHIM_LIMITS_H
#define ROTA_SHIM_LIMITS_H

#include <stdint.h>

enum {
  // The spec.
  SPEC_BYTES_MAX = 4 * 1024 * 1024,  // whole spec, all records
  SPEC_ARGS_MAX = 32768,             // 'a' records
  SPEC_ENV_MAX = 32768,              // 'e' records
  SPEC_PATH_MAX = 4000,              // bytes of a path; leaves room for ".64" and ".tmp" within PATH_MAX
  SPEC_NUMBER_DIGITS_MAX = 18,       // a decimal number always fits an int64
  CGROUPS_MAX = 8,                   // 'C' records: one for each hierarchy
  GROUPS_MAX = 65536,                // NGROUPS_MAX of Linux
  NICE_MAX = 19,                     // the kernel's own bound

  // Logs.
  LOG_BUFFER_BYTES = 64 * 1024,         // one read from a task's pipe
  LOG_CAP_BYTES_MIN = 256,              // below this a flood would do nothing but rename files
  LOG_KEEP_MAX = 64,                    // rotated files per stream
  LOG_KEEP_DEFAULT = 1,
  LOG_CAP_BYTES_DEFAULT = 64 * 1024 * 1024,
  LOG_DRAIN_BYTES_MAX = 2 * 1024 * 1024,  // read per stream after the tree is dead; a pipe holds at most 1 MiB

  // Killing the tree.
  FREEZE_AFTER_MS = 10,       // a tree that lives longer than this after SIGKILL gets the SIGSTOP treatment
  FREEZE_ROUNDS_MAX = 32,     // looks for processes that still run, before killing all that was found
  SNAPSHOT_MAX = 65536,       // processes of the machine looked at in one round
  CGROUP_KILL_BATCH = 256,    // processes of a control group pinned at a time, each by a descriptor
  CGROUP_DEPTH_MAX = 8,       // folders below a control group's own
  REAP_WAIT_FIRST_MS = 1,     // wait for a SIGCHLD between two passes; doubles when nothing ended
  REAP_WAIT_MAX_MS = 50,
  REAP_WAIT_STUCK_MS = 500,    // once the tree counts as unkillable
  UNKILLABLE_AFTER_MS = 5000,  // then one diagnostic line; the shim goes on trying

  // Talking to the agent.
  STATUS_LINE_MAX = 768,        // below PIPE_BUF, so a line is written whole or not at all
  STATUS_WAIT_MS = 2000,        // for room in the status pipe, only when nothing is left to guard
  FAILURE_MESSAGE_MAX = 512,
  CONTROL_READ_MAX = 64,        // control commands taken per turn of the loop
  AGENT_BACKLOG = 4,            // connections of later agents that wait; one is normal

  // Defaults of the spec.
  GRACE_MS_DEFAULT = 5000,

  // Out-of-memory killer: the shim is tiny and the only one that can clean up.
  OOM_SCORE_ADJ = -900,
};

/// Longest timeout or grace, in milliseconds (ten years).
#define SPEC_DURATION_MS_MAX (10LL * 366 * 24 * 3600 * 1000)

#endif
