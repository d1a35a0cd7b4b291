#define _GNU_SOURCE
#include "confine.h"

#include <errno.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

bool confine_join(const struct confinement *confinement) { return cgroups_join(&confinement->cgroups); }

/// Lowers a limit, the hard one too. A lower one that is there already stays.
static bool lower(int resource, int64_t bound) {
  if (bound == 0) return true;
  struct rlimit limit;
  if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) return false;
  if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > (rlim_t)bound) limit.rlim_max = (rlim_t)bound;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit((__rlimit_resource_t)resource, &limit) == 0;
}

bool confine_limit(const struct confinement *confinement) {
  if (confinement->nice != 0) {
    errno = 0;
    // -1 may be the new value.
    if (nice((int)confinement->nice) == -1 && errno != 0) return false;
  }
  return lower(RLIMIT_AS, confinement->address_space_bytes) && lower(RLIMIT_NPROC, confinement->processes);
}

bool confine_user(const struct confinement *confinement) {
  if (!confinement->changes_user) return true;
  gid_t group = confinement->groups[0];
  if (setgroups(confinement->group_count, confinement->groups) != 0) return false;
  if (setresgid(group, group, group) != 0) return false;
  if (setresuid(confinement->user, confinement->user, confinement->user) != 0) return false;
  // Whoever could go back has not changed. (Root as the wanted user could always.)
  if (confinement->user != 0 && setuid(0) == 0) {
    errno = EPERM;
    return false;
  }
  return true;
}
