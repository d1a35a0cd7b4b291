/// Facts about processes, from /proc.
#ifndef ROTA_SHIM_PROC_H
#define ROTA_SHIM_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// A process as /proc/<pid>/stat shows it. (pid, starttime) names it for good; a pid alone may be used again.
struct proc_stat {
  pid_t pid;
  pid_t parent;
  char state;          // 'R', 'S', 'T' (stopped), 'Z' (zombie), ...
  uint64_t starttime;  // field 22: clock ticks after boot
};

/// False when there is no such process (or no /proc).
bool proc_read_stat(pid_t pid, struct proc_stat *stat);

/// Fills `stats` with the processes of the machine, ascending by pid. Returns how many, 0 when /proc is not readable.
size_t proc_snapshot(struct proc_stat *stats, size_t max);

/// Calls `visit` for each direct child of this (single-threaded) process.
/// False when the kernel was built without that list (CONFIG_PROC_CHILDREN).
bool proc_each_child(void (*visit)(pid_t child));

/// Pins a process, so that a signal reaches it and nobody else: a descriptor, or -1 when there is no such process.
int proc_pin(pid_t pid);

/// Signals a pinned process. False when it is gone, or the kernel refuses.
bool proc_signal(int pinned, int signal);

#endif
