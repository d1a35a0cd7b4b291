#define _GNU_SOURCE
#include "agent.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "limits.h"
#include "report.h"

/// Makes the socket under its last name, from within its folder: an address holds at most 108 bytes, a path more.
static int bind_here(const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  if (length == 0 || length >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  memcpy(address.sun_path, name, length);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  unlink(name);
  // For the owner alone. The task has a umask of its own, and nothing else makes files at this moment.
  mode_t before = umask(0177);
  bool bound = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0 && listen(fd, AGENT_BACKLOG) == 0;
  int error = errno;
  umask(before);
  if (bound) return fd;
  close(fd);
  errno = error;
  return -1;
}

/// Only when it is needed: most tasks end before their agent does.
static int open_socket(const char *path) {
  const char *slash = strrchr(path, '/');
  char folder[PATH_MAX];
  if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof folder) {
    errno = EINVAL;
    return -1;
  }
  memcpy(folder, path, (size_t)(slash - path));
  folder[slash - path] = 0;
  if (chdir(folder) != 0) return -1;
  int fd = bind_here(slash + 1);
  int error = errno;
  // Stays nowhere: the folder may be removed one day. If this fails it only keeps the folder's inode alive.
  if (chdir("/") != 0) diagnose("cannot leave %s: %s", folder, strerror(errno));
  errno = error;
  return fd;
}

/// The two may be one connection.
static void stop_listening(struct agent *agent) {
  if (agent->control_fd >= 0 && agent->control_fd != agent->status_fd) close(agent->control_fd);
  agent->control_fd = -1;
}

static void hang_up(struct agent *agent) {
  stop_listening(agent);
  if (agent->status_fd >= 0) close(agent->status_fd);
  agent->status_fd = -1;
}

bool agent_leave(struct agent *agent) {
  stop_listening(agent);
  if (agent->listen_fd < 0 && agent->socket_path != NULL) {
    agent->listen_fd = open_socket(agent->socket_path);
    if (agent->listen_fd < 0) {
      diagnose("cannot wait for another agent at %s: %s", agent->socket_path, strerror(errno));
    }
  }
  // Somebody may still listen to the last words.
  if (agent->listen_fd < 0) return false;
  hang_up(agent);
  return true;
}

static bool may_command(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  if (peer.uid == 0 || peer.uid == geteuid()) return true;
  diagnose("refused user %u, process %d, as this task's agent", (unsigned)peer.uid, (int)peer.pid);
  return false;
}

bool agent_accept(struct agent *agent) {
  if (agent->listen_fd < 0) return false;
  int fd = accept4(agent->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      diagnose("cannot take another agent's connection: %s", strerror(errno));
    }
    return false;
  }
  if (!may_command(fd)) {
    close(fd);
    return false;
  }
  hang_up(agent);
  agent->control_fd = agent->status_fd = fd;
  return true;
}

void agent_finish(const struct agent *agent) {
  if (agent->listen_fd >= 0) unlink(agent->socket_path);
}
