// The task of the fault tests: it says in one file, shared by all agents, when it ran.
//
//     witness FOLDER MILLISECONDS FAILURES FLAGS
//
// Lines go to FOLDER/tasks, each in one write: WHAT RUN ATTEMPT FENCE AGENT PID NANOSECONDS RETRIES, with the
// nanoseconds of CLOCK_MONOTONIC, which all hosts of one kernel share. WHAT is start, beat (every 50 ms), end, or busy:
// somebody else holds the lock of the run. The locks are held for as long as any process of the task lives, so a line
// "busy" proves an overlap whatever the clocks say.
//
// It exits with 75 while the run has had fewer than FAILURES failed attempts. FLAGS: `t` leaves a daemon behind, which
// has to be killed; `s` takes the job's lock too, since runs of the job must not overlap each other; `c` works in steps
// and saves a checkpoint after each; `-` none. The lines "from" and "saved" have a step in the place of RETRIES.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MS = 50, STEPS = 6, SAVE_MS = 3000, TEMPORARY_FAILURE = 75, BROKEN = 99 };

static int history;

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static const char *variable(const char *name) {
  const char *value = getenv(name);
  return value != NULL && *value != 0 ? value : "?";
}

static void note_with(const char *what, const char *extra) {
  char line[1024];
  int length = snprintf(line, sizeof line, "%s %s/%s %s %s %s %d %lld %s\n", what, variable("ROTA_JOB_ID"),
                        variable("ROTA_RUN_ID"), variable("ROTA_ATTEMPT"), variable("ROTA_FENCING_TOKEN"),
                        variable("ROTA_WORKER_ID"), getpid(), (long long)now_ns(), extra);
  if (length < 0 || (size_t)length >= sizeof line || write(history, line, (size_t)length) != length) {
    perror("witness: cannot write");
    exit(BROKEN);
  }
}

static void note(const char *what) { note_with(what, variable("ROTA_RETRY_COUNT")); }

static void note_step(const char *what, long step) {
  char text[32];
  snprintf(text, sizeof text, "%ld", step);
  note_with(what, text);
}

static void work(int64_t millis) {
  int64_t end = now_ns() + millis * 1000000;
  for (int64_t left = end - now_ns(); left > 0; left = end - now_ns()) {
    int64_t pause = left < BEAT_MS * 1000000 ? left : BEAT_MS * 1000000;
    nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    note("beat");
  }
}

// A checkpoint's size says which step it is of.
static void save(const char *path, long step) {
  char name[4096], saved[4096], bytes[STEPS] = {0};
  snprintf(name, sizeof name, "%s.new", path);
  snprintf(saved, sizeof saved, "%s.saved", path);
  int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, bytes, (size_t)step) != step || close(fd) != 0 || rename(name, path) != 0) {
    perror(path);
    exit(BROKEN);
  }
  for (int64_t end = now_ns() + (int64_t)SAVE_MS * 1000000; now_ns() < end; work(10)) {
    FILE *file = fopen(saved, "r");
    long durable = 0;
    int found = file != NULL && fscanf(file, "%*s %ld", &durable) == 1;
    if (file != NULL) fclose(file);
    if (found && durable == step) {
      note_step("saved", step);
      return;
    }
  }
}

static void work_in_steps(int64_t millis) {
  const char *path = getenv("ROTA_CHECKPOINT_FILE");
  struct stat found;
  long first = path != NULL && stat(path, &found) == 0 ? (long)found.st_size : 0;
  note_step("from", first);
  for (long step = first + 1; step <= STEPS; step++) {
    work(millis / STEPS);
    if (path != NULL) save(path, step);
  }
}

// Not close-on-exec, and inherited by the daemon: the lock lives as long as the tree.
static void lock(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/locks/%s", folder, name);
  int fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0) {
    perror(path);
    exit(BROKEN);
  }
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) note("busy");
}

static void leave_daemon(void) {
  if (fork() != 0) return;
  setsid();
  if (fork() != 0) _exit(0);
  for (;;) sleep(600);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: witness FOLDER MILLISECONDS FAILURES FLAGS\n");
    return BROKEN;
  }
  char path[4096];
  snprintf(path, sizeof path, "%s/tasks", argv[1]);
  history = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
  if (history < 0) {
    perror(path);
    return BROKEN;
  }
  note("start");
  char name[512];
  snprintf(name, sizeof name, "%s.%s", variable("ROTA_JOB_ID"), variable("ROTA_RUN_ID"));
  lock(argv[1], name);
  if (strchr(argv[4], 's') != NULL) lock(argv[1], variable("ROTA_JOB_ID"));
  if (strchr(argv[4], 't') != NULL) leave_daemon();

  if (strchr(argv[4], 'c') != NULL) {
    work_in_steps(atoll(argv[2]));
  } else {
    work(atoll(argv[2]));
  }
  note("end");
  return atoi(variable("ROTA_RETRY_COUNT")) < atoi(argv[3]) ? TEMPORARY_FAILURE : 0;
}
