#define _GNU_SOURCE
#include "logs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/// Single-threaded: one buffer serves both streams.
static char buffer[LOG_BUFFER_BYTES];

static int open_file(const char *path) {
  // O_NONBLOCK: a FIFO under that name must not hang the shim. It means nothing for a regular file.
  return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
}

static void complain(struct log_file *file, const char *what, int error) {
  if (file->complained) return;
  file->complained = true;
  diagnose("%s %s: %s; output that does not fit is dropped", what, file->path, strerror(error));
}

/// Moves `path` to `path.1`, `path.1` to `path.2` and so on; the oldest is overwritten.
static bool shift_files(struct log_file *file) {
  char from[PATH_MAX], to[PATH_MAX];
  for (unsigned number = file->keep; number >= 1; number--) {
    // Cannot be cut off: SPEC_PATH_MAX leaves room for the suffix.
    if (number > 1) {
      snprintf(from, sizeof from, "%s.%u", file->path, number - 1);
    } else {
      snprintf(from, sizeof from, "%s", file->path);
    }
    snprintf(to, sizeof to, "%s.%u", file->path, number);
    if (rename(from, to) != 0 && errno != ENOENT) {
      complain(file, "cannot rotate", errno);
      return false;
    }
  }
  return true;
}

/// Makes room in the file: rotates it, or empties it when no rotated file is kept.
static bool rotate(struct log_file *file) {
  if (file->fd >= 0) {
    if (file->keep == 0) {
      if (ftruncate(file->fd, 0) != 0) {
        complain(file, "cannot empty", errno);
        return false;
      }
      file->size = 0;
      return true;
    }
    if (!shift_files(file)) return false;
    close(file->fd);
  }
  file->fd = open_file(file->path);
  if (file->fd < 0) {
    complain(file, "cannot open", errno);
    return false;
  }
  file->size = 0;
  return true;
}

/// How much of `bytes` goes into the current file: up to the last line end that fits, else all that fits.
static size_t share_for_file(const struct log_file *file, const char *bytes, size_t length) {
  uint64_t room = file->size < file->cap ? file->cap - file->size : 0;
  if (length <= room) return length;
  const char *line_end = memrchr(bytes, '\n', (size_t)room);
  return line_end != NULL ? (size_t)(line_end - bytes) + 1 : (size_t)room;
}

/// Writes as much as the disk takes; drops and counts the rest. Never fails for the caller.
static void log_file_write(struct log_file *file, const char *bytes, size_t length) {
  while (length > 0) {
    size_t share = file->fd >= 0 ? share_for_file(file, bytes, length) : 0;
    if (share == 0 && !rotate(file)) break;
    if (share == 0) continue;
    ssize_t written = write(file->fd, bytes, share);
    if (written <= 0) {
      if (written < 0 && errno == EINTR) continue;
      complain(file, "cannot write", written < 0 ? errno : ENOSPC);
      break;
    }
    file->size += (uint64_t)written;
    bytes += written;
    length -= (size_t)written;
    // A line end decided where to cut: the file is as full as it gets.
    if ((size_t)written == share && length > 0 && !rotate(file)) break;
  }
  file->dropped += length;
}

static bool open_log(struct log_file *file, const char *path, const struct spec *spec, struct stat *status,
                     struct failure *failure) {
  int fd = open_file(path);
  if (fd < 0) return fail(failure, errno, "open-log", "cannot open log %s: %s", path, strerror(errno));
  if (fstat(fd, status) != 0) return fail(failure, errno, "open-log", "cannot stat log %s: %s", path, strerror(errno));
  if (!S_ISREG(status->st_mode)) return fail(failure, EINVAL, "open-log", "log %s is not a regular file", path);
  *file = (struct log_file){
      .path = path, .fd = fd, .size = (uint64_t)status->st_size, .cap = spec->log_cap_bytes, .keep = spec->log_keep};
  return true;
}

static bool open_pipe(struct log_stream *stream, struct failure *failure) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail(failure, errno, "setup", "cannot create a pipe: %s", strerror(errno));
  // Only the shim's end: the task expects a blocking pipe.
  if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
    return fail(failure, errno, "setup", "cannot make a pipe non-blocking: %s", strerror(errno));
  }
  stream->read_end = ends[0];
  stream->write_end = ends[1];
  return true;
}

static bool open_discard(struct log_stream *stream, struct failure *failure) {
  stream->write_end = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (stream->write_end < 0) return fail(failure, errno, "open-log", "cannot open /dev/null: %s", strerror(errno));
  return true;
}

static bool open_stream(struct log_stream *stream, const char *path, const struct spec *spec, struct stat *status,
                        struct failure *failure) {
  if (path == NULL) return open_discard(stream, failure);
  return open_log(&stream->file, path, spec, status, failure) && open_pipe(stream, failure);
}

bool logs_open(struct logs *logs, const struct spec *spec, struct failure *failure) {
  struct log_stream closed = {.file = {.fd = -1}, .read_end = -1, .write_end = -1};
  *logs = (struct logs){.out = closed, .err = closed};
  struct stat out = {0}, err = {0};
  if (!open_stream(&logs->out, spec->stdout_path, spec, &out, failure)) return false;
  if (spec->stdout_path != NULL && spec->stderr_path != NULL && strcmp(spec->stdout_path, spec->stderr_path) == 0) {
    logs->shared = true;
    return true;
  }
  if (!open_stream(&logs->err, spec->stderr_path, spec, &err, failure)) return false;
  if (spec->stdout_path != NULL && spec->stderr_path != NULL && out.st_dev == err.st_dev && out.st_ino == err.st_ino) {
    // Two spellings of one file. Rotating it from two sides would lose one of them.
    close(logs->err.file.fd);
    close(logs->err.read_end);
    close(logs->err.write_end);
    logs->err = closed;
    logs->shared = true;
  }
  return true;
}

void logs_close_write_ends(struct logs *logs) {
  if (logs->out.write_end >= 0) close(logs->out.write_end);
  if (logs->err.write_end >= 0) close(logs->err.write_end);
  logs->out.write_end = logs->err.write_end = -1;
}

bool log_stream_pump(struct log_stream *stream) {
  if (stream->read_end < 0) return false;
  ssize_t got = read(stream->read_end, buffer, sizeof buffer);
  if (got > 0) {
    stream->bytes += (uint64_t)got;
    log_file_write(&stream->file, buffer, (size_t)got);
    return true;
  }
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) diagnose("cannot read the task's output for %s: %s", stream->file.path, strerror(errno));
  close(stream->read_end);
  stream->read_end = -1;
  return false;
}

static void finish_stream(struct log_stream *stream) {
  uint64_t stop = stream->bytes + LOG_DRAIN_BYTES_MAX;
  while (stream->bytes < stop && log_stream_pump(stream)) continue;
  if (stream->file.dropped > 0) {
    diagnose("%llu bytes of output for %s were dropped", (unsigned long long)stream->file.dropped, stream->file.path);
  }
}

void logs_finish(struct logs *logs) {
  finish_stream(&logs->out);
  finish_stream(&logs->err);
}
