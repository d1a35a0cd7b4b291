#define _GNU_SOURCE
#include "spec.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_HEADER_BYTES = 5 };  // tag, little-endian length

/// One record as it stands in the buffer.
struct record {
  unsigned char tag;
  char *bytes;
  size_t length;
};

/// Growing lists with a bound, and which single-valued tags were seen.
struct parser {
  struct spec *spec;
  size_t args;
  size_t envs;
  size_t args_capacity;
  size_t envs_capacity;
  bool seen[256];
};

static bool read_exactly(int fd, char *into, size_t wanted, struct failure *failure) {
  size_t have = 0;
  while (have < wanted) {
    ssize_t got = read(fd, into + have, wanted - have);
    if (got > 0) {
      have += (size_t)got;
    } else if (got == 0) {
      return fail(failure, EINVAL, "spec", "the spec ends after %zu of %zu bytes", have, wanted);
    } else if (errno == EAGAIN) {
      struct pollfd ready = {.fd = fd, .events = POLLIN};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return fail(failure, errno, "spec", "cannot read the spec from fd %d: %s", fd, strerror(errno));
    }
  }
  return true;
}

static uint32_t little_endian_32(const char *bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return le32toh(value);
}

/// Appends to a NULL-terminated list, growing it by doubling.
static bool append(char ***list, size_t *count, size_t *capacity, size_t max, char *value, const char *what,
                   struct failure *failure) {
  if (*count == max) return fail(failure, E2BIG, "spec", "more than %zu %s", max, what);
  if (*count + 1 >= *capacity) {
    size_t grown = *capacity == 0 ? 64 : *capacity * 2;
    char **moved = realloc(*list, grown * sizeof **list);
    if (moved == NULL) return fail(failure, ENOMEM, "spec", "no memory for %zu %s", grown, what);
    *list = moved;
    *capacity = grown;
  }
  (*list)[(*count)++] = value;
  (*list)[*count] = NULL;
  return true;
}

static bool parse_number(const struct record *record, int64_t low, int64_t high, int64_t *value,
                         struct failure *failure) {
  int64_t parsed = 0;
  if (record->length == 0 || record->length > SPEC_NUMBER_DIGITS_MAX) {
    return fail(failure, EINVAL, "spec", "'%c' is not a decimal number of 1 to %d digits", record->tag,
                SPEC_NUMBER_DIGITS_MAX);
  }
  for (size_t at = 0; at < record->length; at++) {
    char digit = record->bytes[at];
    if (digit < '0' || digit > '9') return fail(failure, EINVAL, "spec", "'%c' is not a decimal number", record->tag);
    parsed = parsed * 10 + (digit - '0');
  }
  if (parsed < low || parsed > high) {
    return fail(failure, EINVAL, "spec", "'%c' is %lld, expected %lld to %lld", record->tag, (long long)parsed,
                (long long)low, (long long)high);
  }
  *value = parsed;
  return true;
}

static bool parse_path(const struct record *record, const char **path, struct failure *failure) {
  if (record->length == 0 || record->length > SPEC_PATH_MAX) {
    int error = record->length == 0 ? EINVAL : ENAMETOOLONG;
    return fail(failure, error, "spec", "path '%c' has %zu bytes, expected 1 to %d", record->tag, record->length,
                SPEC_PATH_MAX);
  }
  *path = record->bytes;
  return true;
}

static bool parse_variable(struct parser *parser, const struct record *record, struct failure *failure) {
  const char *equals = memchr(record->bytes, '=', record->length);
  if (equals == NULL || equals == record->bytes) {
    return fail(failure, EINVAL, "spec", "environment entry %zu is not NAME=VALUE", parser->envs);
  }
  return append(&parser->spec->env, &parser->envs, &parser->envs_capacity, SPEC_ENV_MAX, record->bytes,
                "environment entries", failure);
}

static bool parse_cgroup(struct confinement *confinement, const struct record *record, struct failure *failure) {
  struct cgroups *cgroups = &confinement->cgroups;
  if (cgroups->count == CGROUPS_MAX) return fail(failure, E2BIG, "spec", "more than %d control groups", CGROUPS_MAX);
  return parse_path(record, &cgroups->folders[cgroups->count++], failure);
}

/// Numbers with commas between them, the primary group first.
static bool parse_groups(struct confinement *confinement, const struct record *record, struct failure *failure) {
  size_t most = 1;
  for (size_t at = 0; at < record->length; at++) most += record->bytes[at] == ',';
  if (most > GROUPS_MAX) return fail(failure, E2BIG, "spec", "more than %d groups", GROUPS_MAX);
  confinement->groups = malloc(most * sizeof *confinement->groups);
  if (confinement->groups == NULL) return fail(failure, ENOMEM, "spec", "no memory for %zu groups", most);
  size_t at = 0;
  while (confinement->group_count < most) {
    uint64_t group = 0;
    size_t first = at;
    for (; at < record->length && record->bytes[at] >= '0' && record->bytes[at] <= '9' && group < UINT32_MAX; at++) {
      group = group * 10 + (uint64_t)(record->bytes[at] - '0');
    }
    // -1 means "no change" to the kernel, so it is nobody's number.
    if (at == first || group >= UINT32_MAX) break;
    confinement->groups[confinement->group_count++] = (gid_t)group;
    if (at == record->length) return true;
    if (record->bytes[at++] != ',') break;
  }
  return fail(failure, EINVAL, "spec", "'G' is not a list of group numbers with commas between them");
}

static bool parse_record(struct parser *parser, const struct record *record, struct failure *failure) {
  struct spec *spec = parser->spec;
  unsigned char tag = record->tag;
  if (tag != 'i' && memchr(record->bytes, 0, record->length) != NULL) {
    return fail(failure, EINVAL, "spec", "record '%c' holds a NUL byte", tag);
  }
  if (tag != 'a' && tag != 'e' && tag != 'C') {
    if (parser->seen[tag]) return fail(failure, EINVAL, "spec", "tag 0x%02x is repeated", tag);
    parser->seen[tag] = true;
  }
  int64_t number = 0;
  switch (tag) {
    case 'a':
      return append(&spec->argv, &parser->args, &parser->args_capacity, SPEC_ARGS_MAX, record->bytes, "arguments",
                    failure);
    case 'e': return parse_variable(parser, record, failure);
    case 'd': return parse_path(record, &spec->working_directory, failure);
    case 'o': return parse_path(record, &spec->stdout_path, failure);
    case 'r': return parse_path(record, &spec->stderr_path, failure);
    case 'x': return parse_path(record, &spec->result_path, failure);
    case 'c': return parse_path(record, &spec->socket_path, failure);
    case 't': return parse_number(record, 0, SPEC_DURATION_MS_MAX, &spec->timeout_ms, failure);
    case 'g': return parse_number(record, 0, SPEC_DURATION_MS_MAX, &spec->grace_ms, failure);
    case 'l':
      if (!parse_number(record, LOG_CAP_BYTES_MIN, INT64_MAX, &number, failure)) return false;
      spec->log_cap_bytes = (uint64_t)number;
      return true;
    case 'n':
      if (!parse_number(record, 0, LOG_KEEP_MAX, &number, failure)) return false;
      spec->log_keep = (unsigned)number;
      return true;
    case 'C': return parse_cgroup(&spec->confinement, record, failure);
    case 'M': return parse_number(record, 1, INT64_MAX, &spec->confinement.address_space_bytes, failure);
    case 'P': return parse_number(record, 1, INT64_MAX, &spec->confinement.processes, failure);
    case 'N': return parse_number(record, 1, NICE_MAX, &spec->confinement.nice, failure);
    case 'U':
      if (!parse_number(record, 0, (int64_t)UINT32_MAX - 1, &number, failure)) return false;
      spec->confinement.user = (uid_t)number;
      spec->confinement.changes_user = true;
      return true;
    case 'G': return parse_groups(&spec->confinement, record, failure);
    case 'i':
      spec->stdin_bytes = record->bytes;
      spec->stdin_length = record->length;
      return true;
    default: return fail(failure, EINVAL, "spec", "unknown tag 0x%02x", tag);
  }
}

/// Strings are terminated in place: the byte behind a record is the tag of the next one, already read by then,
/// or the spare byte at the end of the buffer.
static bool parse_records(char *bytes, size_t length, struct spec *spec, struct failure *failure) {
  struct parser parser = {.spec = spec};
  size_t at = 0;
  while (at < length) {
    if (length - at < RECORD_HEADER_BYTES) {
      bytes[at] = 0;
      return fail(failure, EINVAL, "spec", "record header cut off at byte %zu", at);
    }
    struct record record = {.tag = (unsigned char)bytes[at], .length = little_endian_32(bytes + at + 1)};
    bytes[at] = 0;
    at += RECORD_HEADER_BYTES;
    if (record.length > length - at) {
      return fail(failure, EINVAL, "spec", "record 0x%02x at byte %zu claims %zu bytes, %zu are left", record.tag,
                  at - RECORD_HEADER_BYTES, record.length, length - at);
    }
    record.bytes = bytes + at;
    at += record.length;
    if (!parse_record(&parser, &record, failure)) return false;
  }
  bytes[length] = 0;
  if (parser.args == 0) return fail(failure, EINVAL, "spec", "no argument: at least one 'a' record is needed");
  if (spec->confinement.changes_user != (spec->confinement.group_count > 0)) {
    return fail(failure, EINVAL, "spec", "a user ('U') goes with its groups ('G')");
  }
  return true;
}

bool spec_read(int fd, struct spec *spec, struct failure *failure) {
  static char *no_strings[] = {NULL};
  *spec = (struct spec){
      .working_directory = "/",
      .log_cap_bytes = LOG_CAP_BYTES_DEFAULT,
      .log_keep = LOG_KEEP_DEFAULT,
      .grace_ms = GRACE_MS_DEFAULT,
  };
  char header[4];
  if (!read_exactly(fd, header, sizeof header, failure)) return false;
  uint32_t length = little_endian_32(header);
  if (length > SPEC_BYTES_MAX) {
    return fail(failure, E2BIG, "spec", "the spec has %u bytes, the limit is %d", length, SPEC_BYTES_MAX);
  }
  spec->bytes = malloc((size_t)length + 1);
  if (spec->bytes == NULL) return fail(failure, ENOMEM, "spec", "no memory for a spec of %u bytes", length);
  if (!read_exactly(fd, spec->bytes, length, failure)) return false;
  if (!parse_records(spec->bytes, length, spec, failure)) return false;
  if (spec->env == NULL) spec->env = no_strings;
  return true;
}
