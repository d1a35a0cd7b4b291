/// What the task's process gives up between fork and execve: room, and the agent's user.
#ifndef ROTA_SHIM_CONFINE_H
#define ROTA_SHIM_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "limits.h"

/// The bounds and the user of a task. All zero: none, and the agent's user.
struct confinement {
  struct cgroups cgroups;       // 'C'
  int64_t address_space_bytes;  // 'M', RLIMIT_AS; 0: as it is
  int64_t processes;            // 'P', RLIMIT_NPROC, which counts the user's processes; 0: as they are
  int64_t nice;                 // 'N', added to the shim's own
  bool changes_user;            // 'U' was there
  uid_t user;                   // 'U'
  gid_t *groups;                // 'G', the first is the primary one
  size_t group_count;
};

/// Joins the groups of processes and sets the limits. False: errno says why not.
bool confine_join(const struct confinement *confinement);
bool confine_limit(const struct confinement *confinement);

/// Becomes the user, for good. After this the parent-death signal has to be set anew: the kernel clears it.
bool confine_user(const struct confinement *confinement);

#endif
