/// The control groups that an agent has made for the task: the second net beside the tree of parents. What the task
/// started is in them whoever its parent is.
#ifndef ROTA_SHIM_CGROUP_H
#define ROTA_SHIM_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#include "limits.h"

/// Folders of cgroupfs, one for each hierarchy of version 1, or the one of version 2. None: nothing is limited so.
struct cgroups {
  const char *folders[CGROUPS_MAX];
  size_t count;
};

/// Moves the calling process into all of them. False: errno says why one refused.
bool cgroups_join(const struct cgroups *cgroups);

/// SIGKILLs all that is in them and below, and sees to it that nothing in them forks any more. Returns whether
/// nothing was left to kill. A folder that is gone is empty: the kernel removes none that has processes.
bool cgroups_kill(const struct cgroups *cgroups);

#endif
