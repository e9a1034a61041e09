#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control.h"
#include "missing.h"

// Cgroups of one launcher: BASE/<instance>/<tenant>/c<number> in each hierarchy used, on v1, v2 and hybrid hosts. The
// directories are opened and made over by the stub, in the host's namespaces; later everything goes by these descriptors.

enum ability { CG_MEMORY, CG_PIDS, CG_CPU, CG_CPUACCT, CG_FREEZE, CG_ABILITIES };

struct hierarchy {
    bool v2;
    int base;     // the directory shared by all launchers; locked while one starts
    int instance; // ours
    unsigned controllers; // bit per ability that this hierarchy serves
};

struct cgroups {
    struct hierarchy list[CG_ABILITIES];
    size_t count;
    int serves[CG_ABILITIES]; // index into list, or -1
    const char *kind;         // "v2", "hybrid", "v1" or "none"
    bool peak_reset;
};

enum { CELL_PATH_MAX = TENANT_MAX + 16 };

// Below a snapshot's cell in the freezer's hierarchy (leaves.h).
enum leaf { LEAF_TEMPLATE, LEAF_FORKS, LEAF_COUNT };
extern const char *const leaf_names[LEAF_COUNT];

struct cgroup_owner {
    bool give; // chown to uid and gid; else the caller already is the owner
    uid_t uid;
    gid_t gid;
};

// Finds what the host has, removes what dead launchers left, and makes this instance's directories; keeps the base
// directories locked until cgroup_settle. False only when the instance is in use or its name was left in a bad state.
bool cgroup_prepare(struct cgroups *groups, const char *option, const char *instance, struct cgroup_owner owner, struct missing *missing);
// Places the launcher in its instance, so that a live one is never empty, and unlocks.
int cgroup_settle(struct cgroups *groups, pid_t launcher);
// Removes everything of this instance that holds no process. The base directories must be open.
void cgroup_remove_instance(struct cgroups *groups, const char *instance);

// number: the id of the first cell that had these directories.
void cgroup_cell_path(char path[CELL_PATH_MAX], const char *tenant, uint32_t number);
// Called by a cell's PID 1: makes the tenant's and its own directories; of its own only the others when an earlier cell's were kept.
int cgroup_make(const struct cgroups *groups, const char *tenant, const char *path, bool kept);
// Instead of cgroup_remove: keeps what of a dead cell's directories a later one of the same tenant can use. False when they are to be removed; then cgroup_remove tells
// why, if it cannot.
bool cgroup_keep(const struct cgroups *groups, const char *path);
// cgroup_join.c: moves the calling process, which must have one thread only, into the cgroup at path below an instance directory.
int cgroup_join(int instance, bool v2, const char *path);
// own: processes in the cgroup that are not the guest's to count.
int cgroup_limit(const struct cgroups *groups, const char *path, const struct start_request *start, uint32_t own);
// -EBUSY: try again later.
int cgroup_remove(const struct cgroups *groups, const char *path);
// The cell's directory in the freezer's hierarchy, below which a snapshot has its leaves; or -1.
int cgroup_open_freezer(const struct cgroups *groups, const char *path);
// leaves: it may have a snapshot's.
void cgroup_thaw(const struct cgroups *groups, const char *path, bool leaves);
// Fills descriptors in the order in which HELLO lists them; returns their number.
int cgroup_descriptors(const struct cgroups *groups, const char *path, int fds[3]);
bool cgroup_serves(const struct cgroups *groups, enum ability ability, int *instance, bool *v2);
