/// rota-shim: runs one task and answers for its whole process tree.
///
/// Started by the agent, once per attempt, with
///   fd 3  spec, then control commands ('T', 'K'); its end means that this agent is gone
///   fd 4  status lines: `S` or `F`, then `E`
///   fd 5  the deadline file: trusted_until, 8 bytes, nanoseconds of CLOCK_BOOTTIME
/// When the agent is gone the task goes on until the deadline, and the agent's next process may take over by a socket.
/// README.md beside this file describes the protocol in full.
///
/// One thread, one poll loop. The order of what can end a task: its own exit, then commands, then the deadline,
/// then the timeout; whatever comes first gives the reason and later causes only make it die sooner.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent.h"
#include "deadline.h"
#include "launch.h"
#include "limits.h"
#include "logs.h"
#include "report.h"
#include "spec.h"
#include "tree.h"

enum { CONTROL_FD = 3, STATUS_FD = 4, DEADLINE_FD = 5 };

/// What the loop polls, by index.
enum {
  WATCH_CONTROL, WATCH_AGENT, WATCH_CHILD, WATCH_DEADLINE, WATCH_TIMER, WATCH_LAUNCH, WATCH_OUT, WATCH_ERR, WATCH_COUNT
};

/// Where the task is. STARTING -> RUNNING -> (TERMINATING ->) KILLING; any state may go to KILLING directly.
enum phase { STARTING, RUNNING, TERMINATING, KILLING };

struct shim {
  struct agent agent;
  struct spec spec;
  struct deadline deadline;
  struct logs logs;
  struct launch launch;
  struct tree tree;
  int child_fd;        // signalfd for SIGCHLD
  int timer_fd;        // timeout, then grace
  enum phase phase;
  uint64_t started_at;  // CLOCK_BOOTTIME, nanoseconds; 0 until the task was exec'ed
  const char *reason;  // the first cause, NULL while there is none
};

/// The time limits of the task run on CLOCK_MONOTONIC: a suspended machine does not use them up.
static bool arm_timer(int fd, int64_t milliseconds) {
  struct itimerspec timer = {
      .it_value = {.tv_sec = milliseconds / 1000, .tv_nsec = (long)(milliseconds % 1000) * 1000000L}};
  return timerfd_settime(fd, 0, &timer, NULL) == 0;
}

/// Ends the task now, without grace.
static void kill_task(struct shim *shim, const char *reason) {
  if (shim->reason == NULL) shim->reason = reason;
  shim->phase = KILLING;
}

/// Asks the task to end and gives it its grace.
static void terminate_task(struct shim *shim, const char *reason) {
  if (shim->phase >= TERMINATING) return;
  shim->reason = reason;
  shim->phase = TERMINATING;
  tree_terminate(&shim->tree);
  if (shim->spec.grace_ms == 0 || !arm_timer(shim->timer_fd, shim->spec.grace_ms)) kill_task(shim, reason);
}

/// The one place that decides what a gone agent means: its next process may come until the deadline.
static void on_agent_gone(struct shim *shim) {
  if (!agent_leave(&shim->agent)) kill_task(shim, "agent-gone");
}

static void tell_started(const struct shim *shim) {
  report_started(shim->agent.status_fd, shim->launch.pid, shim->launch.starttime, shim->started_at);
}

/// Another process of the agent connects. It hears what this one knows, so that it can tell whose task this is.
static void on_agent(struct shim *shim) {
  if (agent_accept(&shim->agent) && shim->started_at != 0) tell_started(shim);
}

static void on_control(struct shim *shim) {
  char commands[CONTROL_READ_MAX];
  ssize_t got = read(shim->agent.control_fd, commands, sizeof commands);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    on_agent_gone(shim);
    return;
  }
  for (ssize_t at = 0; at < got; at++) {
    switch (commands[at]) {
      case 'T': terminate_task(shim, "terminated"); break;
      case 'K': kill_task(shim, "killed"); break;
      default: diagnose("unknown control command 0x%02x ignored", (unsigned char)commands[at]); break;
    }
  }
}

static void on_timer(struct shim *shim) {
  uint64_t expirations;
  if (read(shim->timer_fd, &expirations, sizeof expirations) != (ssize_t)sizeof expirations) return;
  if (shim->phase == TERMINATING) {
    kill_task(shim, shim->reason);
  } else {
    terminate_task(shim, "timeout");
  }
}

/// Clears the signalfd; who ended is asked from waitid, since signals of one kind merge.
static void on_child(struct shim *shim) {
  struct signalfd_siginfo signal;
  if (read(shim->child_fd, &signal, sizeof signal) < 0 && errno != EAGAIN) {
    diagnose("cannot read the signalfd: %s", strerror(errno));
  }
}

/// Lowers the chance that the out-of-memory killer takes the shim before the task. After the fork, so that the
/// task does not inherit it; only root may, and it is no loss otherwise.
static void protect_from_oom(void) {
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  char text[16];
  int length = snprintf(text, sizeof text, "%d", OOM_SCORE_ADJ);
  ssize_t ignored = write(fd, text, (size_t)length);
  (void)ignored;
  close(fd);
}

/// The child got as far as execve, or failed. False: it failed.
static bool on_launch(struct shim *shim, struct failure *failure) {
  if (!launch_finish(&shim->launch, &shim->spec, failure)) return false;
  shim->started_at = boottime_ns();
  tell_started(shim);
  if (shim->phase == STARTING) shim->phase = RUNNING;
  protect_from_oom();
  return true;
}

/// Guards the task until its tree has to die. False: it could not be started.
static bool guard(struct shim *shim, struct failure *failure) {
  while (shim->phase != KILLING) {
    struct pollfd watched[WATCH_COUNT] = {
        [WATCH_CONTROL] = {.fd = shim->agent.control_fd, .events = POLLIN},
        [WATCH_AGENT] = {.fd = shim->agent.listen_fd, .events = POLLIN},
        [WATCH_CHILD] = {.fd = shim->child_fd, .events = POLLIN},
        [WATCH_DEADLINE] = {.fd = shim->deadline.timer_fd, .events = POLLIN},
        [WATCH_TIMER] = {.fd = shim->timer_fd, .events = POLLIN},
        [WATCH_LAUNCH] = {.fd = shim->launch.report_fd, .events = POLLIN},
        [WATCH_OUT] = {.fd = shim->logs.out.read_end, .events = POLLIN},
        [WATCH_ERR] = {.fd = shim->logs.err.read_end, .events = POLLIN},
    };
    if (poll(watched, WATCH_COUNT, -1) < 0) {
      if (errno == EINTR) continue;
      diagnose("cannot wait for events: %s; killing the task", strerror(errno));
      kill_task(shim, "killed");
      break;
    }
    if (watched[WATCH_LAUNCH].revents != 0 && !on_launch(shim, failure)) return false;
    if (watched[WATCH_CHILD].revents != 0) on_child(shim);
    // Asked at every turn: an exit that came before a command, the deadline or the timeout counts as such.
    if (tree_main_ended(&shim->tree)) {
      kill_task(shim, "exited");
      break;
    }
    if (watched[WATCH_CONTROL].revents != 0) on_control(shim);
    if (watched[WATCH_AGENT].revents != 0) on_agent(shim);
    if (watched[WATCH_DEADLINE].revents != 0 && !deadline_holds(&shim->deadline)) kill_task(shim, "fenced");
    if (shim->phase != KILLING && watched[WATCH_TIMER].revents != 0) on_timer(shim);
    if (shim->phase == KILLING) break;
    if (watched[WATCH_OUT].revents != 0) log_stream_pump(&shim->logs.out);
    if (watched[WATCH_ERR].revents != 0) log_stream_pump(&shim->logs.err);
  }
  return true;
}

/// Descriptors 0, 1 and 2 must be taken, or a pipe of the task would get one of their numbers.
static bool check_descriptors(void) {
  for (int fd = 0; fd <= 2; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) return false;
  }
  return fcntl(CONTROL_FD, F_GETFD) >= 0 && fcntl(STATUS_FD, F_GETFD) >= 0;
}

static bool prepare(struct shim *shim, struct failure *failure) {
  // Fails only when the agent made the shim a group leader, which serves as well.
  setsid();
  sigset_t blocked, child;
  // All signals, not just those from a terminal: nothing but SIGKILL may end the shim before its task.
  sigfillset(&blocked);
  sigdelset(&blocked, SIGSEGV);
  sigdelset(&blocked, SIGBUS);
  sigdelset(&blocked, SIGILL);
  sigdelset(&blocked, SIGFPE);
  sigdelset(&blocked, SIGABRT);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  // With SIGCHLD ignored, as an agent may leave it, the kernel would reap the children by itself.
  struct sigaction standard = {.sa_handler = SIG_DFL};
  if (sigprocmask(SIG_SETMASK, &blocked, NULL) != 0 || sigaction(SIGCHLD, &standard, NULL) != 0) {
    return fail(failure, errno, "setup", "cannot set up signals: %s", strerror(errno));
  }
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
    return fail(failure, errno, "setup", "cannot become a subreaper: %s", strerror(errno));
  }
  shim->child_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (shim->child_fd < 0) return fail(failure, errno, "setup", "cannot create a signalfd: %s", strerror(errno));
  shim->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (shim->timer_fd < 0) return fail(failure, errno, "setup", "cannot create a timer: %s", strerror(errno));
  return true;
}

static bool agent_is_there(void) {
  struct pollfd control = {.fd = CONTROL_FD, .events = POLLIN};
  return poll(&control, 1, 0) == 0 || (control.revents & POLLIN) != 0;
}

/// Everything up to the fork. Trust is checked last, as close to the start as possible.
static bool start(struct shim *shim, struct failure *failure) {
  if (!prepare(shim, failure)) return false;
  if (!spec_read(CONTROL_FD, &shim->spec, failure)) return false;
  shim->agent.socket_path = shim->spec.socket_path;
  if (!deadline_open(&shim->deadline, DEADLINE_FD, failure)) return false;
  if (!logs_open(&shim->logs, &shim->spec, failure)) return false;
  if (shim->spec.timeout_ms > 0 && !arm_timer(shim->timer_fd, shim->spec.timeout_ms)) {
    return fail(failure, errno, "setup", "cannot arm the timeout: %s", strerror(errno));
  }
  if (!agent_is_there()) return fail(failure, 0, "agent-gone", "the agent was gone before the task started");
  if (!deadline_holds(&shim->deadline)) return fail(failure, 0, "fenced", "the lease was not trusted at the start");
  if (!launch_start(&shim->launch, &shim->spec, &shim->logs, failure)) return false;
  shim->tree.main = shim->launch.pid;
  shim->tree.cgroups = &shim->spec.confinement.cgroups;
  return true;
}

int main(void) {
  if (!check_descriptors()) {
    diagnose("started without its pipes on fds 3 and 4; it is for rota agents only");
    return 2;
  }
  static struct shim shim = {.agent = {.control_fd = CONTROL_FD, .status_fd = STATUS_FD, .listen_fd = -1}};
  struct failure failure;
  if (!start(&shim, &failure)) {
    report_failure(STATUS_FD, shim.spec.result_path, &failure);
    return 0;
  }
  bool started = guard(&shim, &failure);
  tree_destroy(&shim.tree);
  logs_finish(&shim.logs);
  // Killed or ended before the child's word was read: it comes first.
  if (started && shim.launch.report_fd >= 0) started = on_launch(&shim, &failure);
  // One may have connected while the tree died.
  on_agent(&shim);
  if (!started) {
    report_failure(shim.agent.status_fd, shim.spec.result_path, &failure);
  } else {
    struct ending ending = {.reason = shim.reason,
                            .wait_status = shim.tree.main_status,
                            .stdout_bytes = shim.logs.out.bytes,
                            .stderr_bytes = shim.logs.err.bytes};
    report_ended(shim.agent.status_fd, shim.spec.result_path, &ending);
  }
  agent_finish(&shim.agent);
  return 0;
}
