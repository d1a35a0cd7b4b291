/// What to run and how: read from the control pipe, checked, ready for execve.
#ifndef ROTA_SHIM_SPEC_H
#define ROTA_SHIM_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "confine.h"
#include "report.h"

/// A parsed spec. All strings point into one buffer that lives as long as the shim.
struct spec {
  char *bytes;                    // the buffer
  char **argv;                    // 'a', NULL-terminated, at least one element
  char **env;                     // 'e', NULL-terminated, may be empty
  const char *working_directory;  // 'd', default "/"
  const char *stdout_path;        // 'o', NULL: output is discarded
  const char *stderr_path;        // 'r', NULL: output is discarded
  const char *result_path;        // 'x', NULL: no result file
  const char *socket_path;        // 'c', NULL: the task dies with the agent that started it
  const char *stdin_bytes;        // 'i', NULL: /dev/null. Not NUL-terminated, may hold NUL
  size_t stdin_length;
  uint64_t log_cap_bytes;         // 'l', per file
  unsigned log_keep;              // 'n', rotated files
  int64_t timeout_ms;             // 't', 0: none
  int64_t grace_ms;               // 'g'
  struct confinement confinement;  // 'C', 'M', 'P', 'N', 'U', 'G'
};

/// Reads and checks the whole spec; blocks until it is there or the pipe ends.
/// On failure `spec->result_path` is still set when it was among the records read so far.
bool spec_read(int fd, struct spec *spec, struct failure *failure);

#endif
