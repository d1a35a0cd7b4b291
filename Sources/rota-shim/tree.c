#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"
#include "proc.h"
#include "report.h"

bool tree_main_ended(struct tree *tree) {
  for (;;) {
    siginfo_t ended = {0};
    if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return errno == ECHILD;
    if (ended.si_pid == 0) return false;
    if (ended.si_pid == tree->main) return true;
    waitpid(ended.si_pid, NULL, WNOHANG);
  }
}

void tree_terminate(const struct tree *tree) {
  // No such group: the child has not called setsid yet, so it is alone.
  pid_t target = kill(-tree->main, SIGTERM) == 0 ? -tree->main : tree->main;
  if (target == tree->main) kill(target, SIGTERM);
  kill(target, SIGCONT);
}

/// Reaps all that has ended. True when no child is left: then no descendant is left either, since each would be
/// the child of another one or of the shim.
static bool reap_all(struct tree *tree, bool *progress) {
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid == 0) return false;
    if (pid < 0) return errno == ECHILD;
    *progress = true;
    if (pid == tree->main) {
      tree->main_status = status;
      tree->main_reaped = true;
    }
  }
}

/// A child that is not reaped yet keeps its pid, so this cannot hit a stranger. Nor can the signal to its group:
/// all sessions of the tree were made within the tree, and a group lies within one session.
static void kill_child(pid_t child) {
  pid_t group = getpgid(child);
  if (group > 1 && group != getpgrp()) kill(-group, SIGKILL);
  kill(child, SIGKILL);
}

static const struct proc_stat *find(const struct proc_stat *stats, size_t count, pid_t pid) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (stats[middle].pid < pid) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && stats[low].pid == pid ? &stats[low] : NULL;
}

/// Signals a process that the snapshot calls ours, if it still is the same one. `parent` is its parent in the
/// snapshot, known to be ours (NULL: the shim itself, or no need to look).
///
/// Why no stranger can be hit: the pidfd pins one process; its stat, read after that, has the start time from the
/// snapshot, so pid, pidfd and snapshot mean the same process; and the parent, read after that, is still the one
/// of the snapshot, so the parent's pid was not used by anybody else in between.
static bool signal_same(const struct proc_stat *seen, const struct proc_stat *parent, bool check_parent, int signal) {
  int fd = proc_pin(seen->pid);
  if (fd < 0) return false;
  struct proc_stat now;
  bool same = proc_read_stat(seen->pid, &now) && now.starttime == seen->starttime;
  if (same && check_parent) {
    same = now.parent == (parent != NULL ? parent->pid : getpid());
    struct proc_stat parent_now;
    if (same && parent != NULL) {
      same = proc_read_stat(parent->pid, &parent_now) && parent_now.starttime == parent->starttime;
    }
  }
  bool sent = same && proc_signal(fd, signal);
  close(fd);
  return same && (sent || signal == SIGSTOP);
}

/// One look at all processes: marks the descendants of the shim and stops those that run.
/// Returns a fingerprint of those that did not stand still yet, 0 when there are none.
static uint64_t stop_descendants(const struct proc_stat *stats, bool *ours, size_t count) {
  uint64_t moving = 0;
  pid_t self = getpid();
  bool changed = true;
  memset(ours, 0, count * sizeof *ours);
  // Children mostly have higher pids than their parents, so one ascending sweep finds nearly all of them.
  while (changed) {
    changed = false;
    for (size_t at = 0; at < count; at++) {
      const struct proc_stat *stat = &stats[at];
      if (ours[at]) continue;
      const struct proc_stat *parent = NULL;
      if (stat->parent != self) {
        parent = find(stats, count, stat->parent);
        if (parent == NULL || !ours[parent - stats]) continue;
      }
      if (!signal_same(stat, parent, true, SIGSTOP)) continue;
      ours[at] = changed = true;
      if (stat->state != 'T') moving += (uint64_t)stat->pid * 2654435761u + stat->starttime;
    }
  }
  return moving;
}

/// Against trees that fork faster than they die: stop everything first, so that nothing can fork into the room
/// that the dead leave, then kill it all. Leaves go first: a stopped process whose group becomes orphaned would be
/// continued by the kernel.
static void freeze_and_kill(void) {
  static struct proc_stat stats[SNAPSHOT_MAX];
  static bool ours[SNAPSHOT_MAX];
  size_t count = 0;
  uint64_t moving = 0, before;
  // What got its SIGSTOP cannot fork any more, so a round that meets the same processes as the one before met no
  // new ones. (They may take long to stop: in uninterruptible sleep, or ended and not reaped.)
  for (int round = 0; round < FREEZE_ROUNDS_MAX; round++) {
    before = moving;
    count = proc_snapshot(stats, SNAPSHOT_MAX);
    moving = stop_descendants(stats, ours, count);
    if (moving == 0 || moving == before) break;
  }
  for (size_t at = count; at-- > 0;) {
    if (ours[at]) signal_same(&stats[at], NULL, false, SIGKILL);
  }
}

static void wait_for_child(int milliseconds) {
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  struct timespec limit = {.tv_nsec = milliseconds * 1000000L};
  sigtimedwait(&child, NULL, &limit);
}

void tree_destroy(struct tree *tree) {
  if (!tree->main_reaped) {
    kill(-tree->main, SIGKILL);  // atomic for the group: no fork can slip through
    kill(tree->main, SIGKILL);   // for a child that has no group of its own yet
  }
  cgroups_kill(tree->cgroups);
  int64_t start = monotonic_ms();
  int wait_ms = REAP_WAIT_FIRST_MS;
  bool complained = false, raised = false;
  for (;;) {
    bool progress = false;
    // What is in the control groups and no descendant was put there by the task, or is a task's that lost its shim.
    if (reap_all(tree, &progress) && cgroups_kill(tree->cgroups)) return;
    // A fork bomb leaves little CPU time to others. Not being allowed to take more is fine.
    if (!raised) setpriority(PRIO_PROCESS, 0, -20);
    raised = true;
    int64_t elapsed = monotonic_ms() - start;
    if (!proc_each_child(kill_child) || elapsed >= FREEZE_AFTER_MS) {
      freeze_and_kill();
    }
    if (elapsed >= UNKILLABLE_AFTER_MS && !complained) {
      complained = true;
      diagnose("the tree of process %d is not dead %lld ms after SIGKILL; still trying", (int)tree->main,
               (long long)elapsed);
    }
    wait_ms = progress ? REAP_WAIT_FIRST_MS : wait_ms * 2;
    int wait_max_ms = complained ? REAP_WAIT_STUCK_MS : REAP_WAIT_MAX_MS;
    if (wait_ms > wait_max_ms) wait_ms = wait_max_ms;
    wait_for_child(wait_ms);
  }
}
