#define _GNU_SOURCE
#include "deadline.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

static bool large_enough(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && status.st_size >= (off_t)sizeof(uint64_t);
}

bool deadline_open(struct deadline *deadline, int file_fd, struct failure *failure) {
  struct stat status;
  if (fstat(file_fd, &status) != 0) {
    return fail(failure, errno, "deadline", "no deadline file on fd %d: %s", file_fd, strerror(errno));
  }
  if (status.st_size < (off_t)sizeof(uint64_t)) {
    return fail(failure, EINVAL, "deadline", "the deadline file has %lld bytes, at least 8 are needed",
                (long long)status.st_size);
  }
  void *mapping = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, file_fd, 0);
  if (mapping == MAP_FAILED) return fail(failure, errno, "deadline", "cannot map the deadline: %s", strerror(errno));
  int timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
  if (timer_fd < 0) return fail(failure, errno, "deadline", "cannot create a timer: %s", strerror(errno));
  *deadline = (struct deadline){.trusted_until = mapping, .file_fd = file_fd, .timer_fd = timer_fd};
  return true;
}

bool deadline_holds(struct deadline *deadline) {
  // A file that was cut short would raise SIGBUS on access; it carries no trust.
  if (!large_enough(deadline->file_fd)) return false;
  uint64_t until = le64toh(atomic_load_explicit(deadline->trusted_until, memory_order_acquire));
  if (until <= boottime_ns()) return false;
  struct itimerspec timer = {
      .it_value = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)}};
  if (timerfd_settime(deadline->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL) != 0) {
    // A deadline that cannot be watched is no deadline.
    diagnose("cannot arm the deadline timer: %s", strerror(errno));
    return false;
  }
  return true;
}
