#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

bool fail(struct failure *failure, int error, const char *stage, const char *format, ...) {
  failure->error = error;
  failure->stage = stage;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure->message, sizeof failure->message, format, arguments);
  va_end(arguments);
  return false;
}

/// Writes one line if the descriptor takes it within `wait_ms`. A line is shorter than PIPE_BUF, so after POLLOUT
/// the write to a pipe does not block and is whole.
static bool write_line(int fd, const char *line, size_t length, int wait_ms) {
  struct pollfd ready = {.fd = fd, .events = POLLOUT};
  if (poll(&ready, 1, wait_ms) != 1 || !(ready.revents & POLLOUT)) return false;
  return write(fd, line, length) == (ssize_t)length;
}

void diagnose(const char *format, ...) {
  char line[STATUS_LINE_MAX];
  int prefix = snprintf(line, sizeof line, "rota-shim[%d]: ", (int)getpid());
  va_list arguments;
  va_start(arguments, format);
  int body = vsnprintf(line + prefix, sizeof line - (size_t)prefix - 1, format, arguments);
  va_end(arguments);
  if (body < 0) return;
  size_t length = strlen(line);
  line[length++] = '\n';
  // There is nobody left to tell when this fails.
  (void)write_line(STDERR_FILENO, line, length, 0);
}

uint64_t boottime_ns(void) {
  struct timespec now;
  // Cannot fail: the clock exists since Linux 2.6.39 and the pointer is good.
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// Temp file and rename, so that a reader sees the whole line or nothing. Not synced to disk: it must survive the
/// agent, not the machine.
static void write_result(const char *path, const char *line, size_t length) {
  char temporary[PATH_MAX];
  int written = snprintf(temporary, sizeof temporary, "%s.tmp", path);
  if (written < 0 || (size_t)written >= sizeof temporary) {
    diagnose("result file path is too long: %s", path);
    return;
  }
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
  if (fd < 0) {
    diagnose("cannot create result file %s: %s", temporary, strerror(errno));
    return;
  }
  errno = 0;
  bool whole = write(fd, line, length) == (ssize_t)length;
  int error = whole ? 0 : (errno != 0 ? errno : ENOSPC);
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(temporary, path) != 0) error = errno;
  if (error != 0) {
    diagnose("cannot write result file %s: %s", path, strerror(error));
    unlink(temporary);
  }
}

/// The final line goes to the result file first: whoever reads it from the pipe can count on the file.
static void write_final(int status_fd, const char *result_path, const char *line, size_t length) {
  if (result_path != NULL) write_result(result_path, line, length);
  // Without an agent the file is what the next one reads.
  if (status_fd >= 0 && !write_line(status_fd, line, length, STATUS_WAIT_MS)) {
    diagnose("the agent does not take the final status: %.*s", (int)length - 1, line);
  }
}

void report_started(int status_fd, pid_t pid, uint64_t starttime, uint64_t boottime) {
  char line[STATUS_LINE_MAX];
  int length = snprintf(line, sizeof line, "S %d %llu %llu\n", (int)pid, (unsigned long long)starttime,
                        (unsigned long long)boottime);
  if (status_fd >= 0 && !write_line(status_fd, line, (size_t)length, 0)) diagnose("the agent does not take the start status");
}

void report_failure(int status_fd, const char *result_path, const struct failure *failure) {
  char line[STATUS_LINE_MAX];
  int length = snprintf(line, sizeof line, "F %d %s %s\n", failure->error, failure->stage, failure->message);
  // The message may quote what the user wrote: keep it one line of printable text.
  for (int at = 0; at < length - 1; at++) {
    if ((unsigned char)line[at] < 0x20 || line[at] == 0x7f) line[at] = '?';
  }
  write_final(status_fd, result_path, line, (size_t)length);
}

static long long microseconds(struct timeval value) { return value.tv_sec * 1000000LL + value.tv_usec; }

void report_ended(int status_fd, const char *result_path, const struct ending *ending) {
  int signal = WIFSIGNALED(ending->wait_status) ? WTERMSIG(ending->wait_status) : 0;
  int code = signal != 0 ? 128 + signal : WEXITSTATUS(ending->wait_status);
  struct rusage usage;
  // Cannot fail: both arguments are valid.
  getrusage(RUSAGE_CHILDREN, &usage);
  char line[STATUS_LINE_MAX];
  int length = snprintf(line, sizeof line, "E %s %d %d %lld %lld %ld %llu %llu %llu\n", ending->reason, code, signal,
                        microseconds(usage.ru_utime), microseconds(usage.ru_stime), usage.ru_maxrss,
                        (unsigned long long)boottime_ns(), (unsigned long long)ending->stdout_bytes,
                        (unsigned long long)ending->stderr_bytes);
  write_final(status_fd, result_path, line, (size_t)length);
}
