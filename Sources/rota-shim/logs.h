/// The task's output: pipes in, capped and rotated files out.
#ifndef ROTA_SHIM_LOGS_H
#define ROTA_SHIM_LOGS_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"
#include "spec.h"

/// A log file that never grows past its cap, with up to `keep` older ones beside it (`path.1` is the newest).
struct log_file {
  const char *path;
  int fd;  // -1 when it could not be opened again after a rotation
  uint64_t size;
  uint64_t cap;
  unsigned keep;
  uint64_t dropped;  // bytes that could not be written
  bool complained;   // the one diagnostic about dropped bytes was given
};

/// One pipe from the task into one file.
struct log_stream {
  struct log_file file;
  int read_end;    // -1 when closed, or when there is no file
  int write_end;   // for the task; closed in the shim once the task has it
  uint64_t bytes;  // all that the task wrote, dropped bytes included
};

/// Both streams. When both paths name one file there is one pipe for both, which keeps the order in which the
/// task wrote; its bytes are all counted as stdout.
struct logs {
  struct log_stream out;
  struct log_stream err;
  bool shared;
};

/// Opens files and pipes. The write ends are for the task: `logs->out.write_end` and, unless shared, `err`'s.
/// A stream without a path gets /dev/null as its write end.
bool logs_open(struct logs *logs, const struct spec *spec, struct failure *failure);

/// Closes the shim's copies of the write ends, so that the pipes end with the task.
void logs_close_write_ends(struct logs *logs);

/// Moves at most one buffer from the pipe to the file. False when there is nothing (more) to read now.
bool log_stream_pump(struct log_stream *stream);

/// After the tree is dead: takes what is left in the pipes, up to a bound, and says what was lost.
void logs_finish(struct logs *logs);

#endif
