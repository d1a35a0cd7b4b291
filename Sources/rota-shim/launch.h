/// Starting the main process of the task.
#ifndef ROTA_SHIM_LAUNCH_H
#define ROTA_SHIM_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "logs.h"
#include "report.h"
#include "spec.h"

/// A child on its way to execve.
struct launch {
  pid_t pid;
  uint64_t starttime;  // /proc/<pid>/stat field 22, 0 when /proc is not there
  int report_fd;       // ends without data when execve succeeded, carries the reason when anything failed
};

/// Forks. The caller watches `report_fd`: nothing here waits for the child, which may hang in chdir or execve on
/// a dead network file system while the deadline goes on.
bool launch_start(struct launch *launch, const struct spec *spec, struct logs *logs, struct failure *failure);

/// Reads the child's report and closes it; call when `report_fd` is readable or the child has ended.
/// True: the task runs (or was killed on the way, without an error of its own). False: it could not be started.
bool launch_finish(struct launch *launch, const struct spec *spec, struct failure *failure);

#endif
