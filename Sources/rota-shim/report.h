/// What the shim says: status lines and result file for the agent, diagnostics for people. Nothing here blocks
/// while there is a task to guard.
#ifndef ROTA_SHIM_REPORT_H
#define ROTA_SHIM_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "limits.h"

/// Why a task could not be started.
struct failure {
  int error;          // errno value, 0 when no system call failed (stages `fenced` and `agent-gone`)
  const char *stage;  // one word: spec, setup, deadline, fenced, agent-gone, open-log, fork, session, chdir, exec, ...
  char message[FAILURE_MESSAGE_MAX];
};

/// The last facts about a task whose whole process tree is dead.
struct ending {
  const char *reason;  // exited, timeout, terminated, killed, agent-gone or fenced
  int wait_status;     // of the main process, as wait(2) gives it
  uint64_t stdout_bytes;
  uint64_t stderr_bytes;
};

/// Fills `failure` and returns false, so that a function can `return fail(...)`.
bool fail(struct failure *failure, int error, const char *stage, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/// One line on stderr, dropped when stderr has no room: it may be a pipe that a stopped agent no longer reads.
void diagnose(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// CLOCK_BOOTTIME, in nanoseconds.
uint64_t boottime_ns(void);

/// CLOCK_MONOTONIC, in milliseconds.
int64_t monotonic_ms(void);

/// Writes the `S` line. `boottime` is when the task started: a later agent gets the same line.
void report_started(int status_fd, pid_t pid, uint64_t starttime, uint64_t boottime);

/// Writes the `F` line to the result file (`result_path` may be NULL) and to the agent (`status_fd` may be -1).
void report_failure(int status_fd, const char *result_path, const struct failure *failure);

/// Writes the `E` line to the result file (`result_path` may be NULL) and to the agent (`status_fd` may be -1).
/// CPU times and peak memory are those of all reaped descendants (RUSAGE_CHILDREN).
void report_ended(int status_fd, const char *result_path, const struct ending *ending);

#endif
