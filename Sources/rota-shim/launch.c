#define _GNU_SOURCE
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc.h"

/// The steps of the child, as the reports and the `F` line name them.
enum step {
  STEP_SESSION,
  STEP_CGROUP,
  STEP_LIMITS,
  STEP_DESCRIPTORS,
  STEP_USER,
  STEP_DEATH_SIGNAL,
  STEP_CHDIR,
  STEP_SIGNALS,
  STEP_EXEC,
  STEP_COUNT
};

static const char *const step_stages[STEP_COUNT] = {
    [STEP_SESSION] = "session", [STEP_CGROUP] = "cgroup",         [STEP_LIMITS] = "limits",
    [STEP_USER] = "run-as",     [STEP_DEATH_SIGNAL] = "session",  [STEP_CHDIR] = "chdir",
    [STEP_SIGNALS] = "signals", [STEP_DESCRIPTORS] = "descriptors", [STEP_EXEC] = "exec",
};

/// What the child sends when a step fails. Smaller than PIPE_BUF: written whole.
struct child_report {
  int step;
  int error;
};

enum { CHILD_REPORT_FD = 3 };      // in the child, the only descriptor besides 0, 1 and 2
enum { KERNEL_SIGSET_BYTES = 8 };  // 64 signals

static void child_fail(int fd, enum step step) {
  struct child_report report = {.step = step, .error = errno};
  // If this fails the shim sees the exit code 127 instead.
  ssize_t ignored = write(fd, &report, sizeof report);
  (void)ignored;
  _exit(127);
}

/// Everything to its default, nothing blocked, whatever the agent had set.
static void reset_signals(void) {
  // By system call: sigaction refuses the two signals of the C library, which its own posix_spawn sets to ignored.
  // The kernel's structure begins with the handler, and in all of it zero means default; it has at most 32 bytes.
  static const unsigned long standard[4];
  // Fails for SIGKILL and SIGSTOP; nothing to reset there.
  for (int number = 1; number <= SIGRTMAX; number++) {
    syscall(SYS_rt_sigaction, number, standard, NULL, KERNEL_SIGSET_BYTES);
  }
  sigset_t none;
  sigemptyset(&none);
  if (sigprocmask(SIG_SETMASK, &none, NULL) != 0) child_fail(CHILD_REPORT_FD, STEP_SIGNALS);
}

_Noreturn static void run_child(const struct spec *spec, int in, int out, int err, int report, pid_t shim) {
  const struct confinement *confinement = &spec->confinement;
  if (setsid() < 0) child_fail(report, STEP_SESSION);
  // First of all: what the process uses from here on counts for the task.
  if (!confine_join(confinement)) child_fail(report, STEP_CGROUP);
  if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0 ||
      dup3(report, CHILD_REPORT_FD, O_CLOEXEC) < 0) {
    child_fail(report, STEP_DESCRIPTORS);
  }
  if (close_range(CHILD_REPORT_FD + 1, UINT_MAX, 0) != 0) child_fail(CHILD_REPORT_FD, STEP_DESCRIPTORS);
  if (!confine_limit(confinement)) child_fail(CHILD_REPORT_FD, STEP_LIMITS);
  if (!confine_user(confinement)) child_fail(CHILD_REPORT_FD, STEP_USER);
  // A change of user clears it (prctl(2)), so not before.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) child_fail(CHILD_REPORT_FD, STEP_DEATH_SIGNAL);
  if (getppid() != shim) _exit(127);  // the shim died before the line above
  umask(022);
  if (chdir(spec->working_directory) != 0) child_fail(CHILD_REPORT_FD, STEP_CHDIR);
  reset_signals();
  environ = spec->env;  // execvp looks PATH up here
  execvp(spec->argv[0], spec->argv);
  child_fail(CHILD_REPORT_FD, STEP_EXEC);
  _exit(127);
}

/// The task's stdin: /dev/null, or the given bytes in an anonymous file.
static int open_stdin(const struct spec *spec, struct failure *failure) {
  if (spec->stdin_bytes == NULL) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail(failure, errno, "stdin", "cannot open /dev/null: %s", strerror(errno));
    return fd;
  }
  int fd = memfd_create("rota-stdin", MFD_CLOEXEC);
  if (fd < 0) {
    fail(failure, errno, "stdin", "cannot create a file for stdin: %s", strerror(errno));
    return -1;
  }
  size_t done = 0;
  while (done < spec->stdin_length) {
    ssize_t written = write(fd, spec->stdin_bytes + done, spec->stdin_length - done);
    if (written <= 0) {
      fail(failure, errno, "stdin", "cannot store %zu bytes of stdin: %s", spec->stdin_length, strerror(errno));
      close(fd);
      return -1;
    }
    done += (size_t)written;
  }
  if (lseek(fd, 0, SEEK_SET) != 0) {
    fail(failure, errno, "stdin", "cannot rewind stdin: %s", strerror(errno));
    close(fd);
    return -1;
  }
  return fd;
}

bool launch_start(struct launch *launch, const struct spec *spec, struct logs *logs, struct failure *failure) {
  int in = open_stdin(spec, failure);
  if (in < 0) return false;
  int report[2];
  if (pipe2(report, O_CLOEXEC | O_NONBLOCK) != 0) {
    return fail(failure, errno, "setup", "cannot create a pipe: %s", strerror(errno));
  }
  int out = logs->out.write_end;
  int err = logs->shared ? out : logs->err.write_end;
  pid_t shim = getpid();
  // Not vfork: it would suspend the shim until execve, and the deadline with it.
  pid_t pid = fork();
  if (pid < 0) return fail(failure, errno, "fork", "cannot fork: %s", strerror(errno));
  if (pid == 0) run_child(spec, in, out, err, report[1], shim);
  close(in);
  close(report[1]);
  logs_close_write_ends(logs);
  struct proc_stat stat;
  *launch = (struct launch){.pid = pid, .report_fd = report[0]};
  // Set at fork, so there is no need to wait for execve. The child cannot vanish: only the shim can reap it.
  if (proc_read_stat(pid, &stat)) launch->starttime = stat.starttime;
  return true;
}

bool launch_finish(struct launch *launch, const struct spec *spec, struct failure *failure) {
  struct child_report report;
  ssize_t got = read(launch->report_fd, &report, sizeof report);
  close(launch->report_fd);
  launch->report_fd = -1;
  if (got != (ssize_t)sizeof report || report.step < 0 || report.step >= STEP_COUNT) return true;
  const char *stage = step_stages[report.step];
  const char *reason = strerror(report.error);
  switch (report.step) {
    case STEP_CHDIR:
      if (!spec->confinement.changes_user) {
        return fail(failure, report.error, stage, "cannot enter working directory %s: %s", spec->working_directory,
                    reason);
      }
      return fail(failure, report.error, stage, "user %u cannot enter working directory %s: %s",
                  (unsigned)spec->confinement.user, spec->working_directory, reason);
    case STEP_CGROUP: return fail(failure, report.error, stage, "cannot join the task's control group: %s", reason);
    case STEP_LIMITS: return fail(failure, report.error, stage, "cannot set the task's limits: %s", reason);
    case STEP_USER:
      return fail(failure, report.error, stage, "cannot become user %u: %s", (unsigned)spec->confinement.user, reason);
    case STEP_EXEC: return fail(failure, report.error, stage, "cannot execute %s: %s", spec->argv[0], reason);
    default: return fail(failure, report.error, stage, "cannot prepare the task's process: %s", reason);
  }
}
