/// The lease: until when the agent's right to run tasks can be trusted, as the agent last wrote it down.
#ifndef ROTA_SHIM_DEADLINE_H
#define ROTA_SHIM_DEADLINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "report.h"

/// A mapped deadline file and the timer that watches it.
struct deadline {
  const _Atomic uint64_t *trusted_until;  // nanoseconds of CLOCK_BOOTTIME, little-endian
  int file_fd;
  int timer_fd;  // readable once the value last seen has passed
};

/// Maps the file and creates the timer (not armed). Fails when the file is shorter than 8 bytes.
bool deadline_open(struct deadline *deadline, int file_fd, struct failure *failure);

/// Looks at the shared value. True: it lies ahead and the timer is armed for it. False: no trust (any more).
bool deadline_holds(struct deadline *deadline);

#endif
