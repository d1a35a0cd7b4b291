/// The task's process tree: the main process and everything that descends from it. The shim is the subreaper of
/// all of them, so a process whose parent ends becomes the shim's own child, never init's.
#ifndef ROTA_SHIM_TREE_H
#define ROTA_SHIM_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "cgroup.h"

struct tree {
  pid_t main;        // also its session and process group, which it cannot leave
  bool main_reaped;  // from then on the number may mean another process
  int main_status;   // as wait(2) gives it, once reaped
  const struct cgroups *cgroups;  // where the task was put; what is in them dies with it
};

/// Reaps ended orphans. True when the main process has ended; it stays a zombie, so that its number stays its own.
bool tree_main_ended(struct tree *tree);

/// Asks politely: SIGTERM to the main process group (and SIGCONT, for a stopped task to hear it).
void tree_terminate(const struct tree *tree);

/// SIGKILLs everything and returns when the last process is reaped and the control groups are empty. Waits for as long as that takes: a process
/// in uninterruptible sleep is not dead, and saying that it is would break the promise of one owner.
/// Needs SIGCHLD to be blocked.
void tree_destroy(struct tree *tree);

#endif
