#define _GNU_SOURCE
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIELD_STATE = 3, FIELD_PARENT = 4, FIELD_STARTTIME = 22 };

/// Parses "pid (comm) state ppid ...". `comm` may hold anything, so fields count from the last ')'.
static bool parse_stat(const char *text, struct proc_stat *stat) {
  const char *at = strrchr(text, ')');
  if (at == NULL || at[1] != ' ' || at[2] == 0) return false;
  at += 2;
  stat->state = *at;
  for (int field = FIELD_STATE; field < FIELD_STARTTIME; field++) {
    at = strchr(at, ' ');
    if (at == NULL) return false;
    at++;
    if (field + 1 == FIELD_PARENT) stat->parent = (pid_t)strtol(at, NULL, 10);
  }
  stat->starttime = strtoull(at, NULL, 10);
  return true;
}

bool proc_read_stat(pid_t pid, struct proc_stat *stat) {
  char path[32], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return false;
  text[length] = 0;
  stat->pid = pid;
  return parse_stat(text, stat);
}

static int by_pid(const void *left, const void *right) {
  pid_t a = ((const struct proc_stat *)left)->pid, b = ((const struct proc_stat *)right)->pid;
  return (a > b) - (a < b);
}

size_t proc_snapshot(struct proc_stat *stats, size_t max) {
  DIR *directory = opendir("/proc");
  if (directory == NULL) return 0;
  size_t count = 0;
  bool sorted = true;
  struct dirent *entry;
  while (count < max && (entry = readdir(directory)) != NULL) {
    char *end;
    long pid = strtol(entry->d_name, &end, 10);
    if (pid <= 0 || *end != 0) continue;
    if (!proc_read_stat((pid_t)pid, &stats[count])) continue;  // gone meanwhile
    if (count > 0 && stats[count - 1].pid > stats[count].pid) sorted = false;
    count++;
  }
  closedir(directory);
  if (!sorted) qsort(stats, count, sizeof *stats, by_pid);
  return count;
}

bool proc_each_child(void (*visit)(pid_t child)) {
  int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  char chunk[4096];
  ssize_t length;
  pid_t pid = 0;
  while ((length = read(fd, chunk, sizeof chunk)) > 0) {
    for (ssize_t at = 0; at < length; at++) {
      if (chunk[at] >= '0' && chunk[at] <= '9') {
        pid = pid * 10 + (chunk[at] - '0');
      } else if (pid > 0) {
        visit(pid);
        pid = 0;
      }
    }
  }
  if (pid > 0) visit(pid);
  close(fd);
  return length == 0;
}

int proc_pin(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

bool proc_signal(int pinned, int signal) { return syscall(SYS_pidfd_send_signal, pinned, signal, NULL, 0) == 0; }
