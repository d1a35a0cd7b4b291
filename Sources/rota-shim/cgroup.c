#define _GNU_SOURCE
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proc.h"

/// Opens a control file of a folder.
static int open_control(const char *folder, const char *name, int flags) {
  char path[PATH_MAX];
  int length = snprintf(path, sizeof path, "%s/%s", folder, name);
  if (length < 0 || (size_t)length >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return open(path, flags | O_CLOEXEC | O_NOFOLLOW);
}

/// Writes a word to a control file. False where there is no such file, or the kernel refuses.
static bool write_control(const char *folder, const char *name, const char *word) {
  int fd = open_control(folder, name, O_WRONLY);
  if (fd < 0) return false;
  ssize_t length = (ssize_t)strlen(word);
  ssize_t written = write(fd, word, (size_t)length);
  int error = errno;
  close(fd);
  errno = error;
  return written == length;
}

bool cgroups_join(const struct cgroups *cgroups) {
  for (size_t at = 0; at < cgroups->count; at++) {
    // 0 is the writer (cgroup_procs_write in the kernel), whatever its number is in which pid namespace.
    if (!write_control(cgroups->folders[at], "cgroup.procs", "0")) return false;
  }
  return true;
}

/// Reads the processes of one folder, without this one and those of other pid namespaces (0).
/// Returns how many, at most `max`.
static size_t read_processes(const char *folder, pid_t *pids, size_t max) {
  int fd = open_control(folder, "cgroup.procs", O_RDONLY);
  if (fd < 0) return 0;
  char chunk[4096];
  ssize_t length;
  size_t count = 0;
  pid_t pid = 0;
  while (count < max && (length = read(fd, chunk, sizeof chunk)) > 0) {
    for (ssize_t at = 0; at < length && count < max; at++) {
      if (chunk[at] >= '0' && chunk[at] <= '9') {
        pid = pid * 10 + (chunk[at] - '0');
      } else {
        if (pid > 0 && pid != getpid()) pids[count++] = pid;
        pid = 0;
      }
    }
  }
  close(fd);
  return count;
}

static bool contains(const pid_t *pids, size_t count, pid_t pid) {
  for (size_t at = 0; at < count; at++) {
    if (pids[at] == pid) return true;
  }
  return false;
}

/// Kills the processes of one folder, some at a time. Returns whether there were none.
///
/// Why no stranger can be hit: the pidfd pins the process that has the number; the number is read from the folder
/// once more after that, so the pinned process is in the folder.
static bool kill_processes(const char *folder) {
  static pid_t seen[CGROUP_KILL_BATCH], still[SNAPSHOT_MAX];
  int pinned[CGROUP_KILL_BATCH];
  size_t count = read_processes(folder, seen, CGROUP_KILL_BATCH);
  if (count == 0) return true;
  for (size_t at = 0; at < count; at++) pinned[at] = proc_pin(seen[at]);
  size_t there = read_processes(folder, still, SNAPSHOT_MAX);
  for (size_t at = 0; at < count; at++) {
    if (pinned[at] < 0) continue;
    if (contains(still, there, seen[at])) proc_signal(pinned[at], SIGKILL);
    close(pinned[at]);
  }
  return false;
}

/// Does so for a folder and all below it: a task that may write there can have made folders of its own.
static bool kill_below(const char *folder, int depth) {
  bool empty = kill_processes(folder);
  DIR *directory = depth < CGROUP_DEPTH_MAX ? opendir(folder) : NULL;
  if (directory == NULL) return empty;
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL) {
    if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    if (length > 0 && (size_t)length < sizeof path && !kill_below(path, depth + 1)) empty = false;
  }
  closedir(directory);
  return empty;
}

bool cgroups_kill(const struct cgroups *cgroups) {
  bool empty = true;
  for (size_t at = 0; at < cgroups->count; at++) {
    // Version 2 since Linux 5.14 kills all of it at once; elsewhere the limit on processes stops forks first, where
    // there is one. That neither is there is no loss: the processes are killed one by one in any case.
    if (!write_control(cgroups->folders[at], "cgroup.kill", "1")) {
      write_control(cgroups->folders[at], "pids.max", "0");
    }
  }
  for (size_t at = 0; at < cgroups->count; at++) {
    if (!kill_below(cgroups->folders[at], 0)) empty = false;
  }
  return empty;
}
