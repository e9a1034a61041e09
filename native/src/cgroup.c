#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"
#include "walls.h"

enum {
    SOCKET_BYTES = 32 << 20,
    RESIDUE_BYTES = 1 << 20, // what a directory that is used again may have charged
};

const char *const leaf_names[LEAF_COUNT] = {[LEAF_TEMPLATE] = "t", [LEAF_FORKS] = "i"};

void cgroup_cell_path(char path[CELL_PATH_MAX], const char *tenant, uint32_t number)
{
    snprintf(path, CELL_PATH_MAX, "%s/c%u", tenant, number);
}

bool cgroup_serves(const struct cgroups *groups, enum ability ability, int *instance, bool *v2)
{
    int index = groups->serves[ability];
    if (index < 0) {
        return false;
    }
    *instance = groups->list[index].instance;
    *v2 = groups->list[index].v2;
    return true;
}

static int set(int dir, const char *path, const char *file, const char *text)
{
    char name[CELL_PATH_MAX + 64];
    snprintf(name, sizeof name, "%s/%s", path, file);
    return write_text(dir, name, text);
}

static int set_number(int dir, const char *path, const char *file, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return set(dir, path, file, text);
}

// A file that older kernels, or ones without swap accounting, do not have.
static int optional(int result)
{
    return result == -ENOENT ? 0 : result;
}

static int delegate(int dir, const char *tenant, unsigned controllers)
{
    static const struct {
        enum ability ability;
        const char *text;
    } names[] = {{CG_MEMORY, "+memory"}, {CG_PIDS, "+pids"}, {CG_CPU, "+cpu"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (controllers & 1U << names[i].ability) {
            int result = set(dir, tenant, "cgroup.subtree_control", names[i].text);
            if (result) {
                return result;
            }
        }
    }
    return 0;
}

// A v1 directory can begin anew; a v2 one has counters that only grow. The freezer's is the one that the worker writes to, at whatever time: it is never another cell's.
static bool reusable(const struct hierarchy *one)
{
    return !one->v2 && !(one->controllers & 1U << CG_FREEZE);
}

static int make_one(const struct hierarchy *one, const char *tenant, const char *path, bool kept)
{
    if (kept && reusable(one)) {
        return 0;
    }
    bool fresh = mkdirat(one->instance, tenant, 0755) == 0;
    if (!fresh && errno != EEXIST) {
        return -errno;
    }
    // Written each time: whoever made the tenant's directory may not have come this far.
    int result = one->v2 ? delegate(one->instance, tenant, one->controllers) : 0;
    if (result) {
        return result;
    }
    if (mkdirat(one->instance, path, 0755)) {
        return -errno;
    }
    if (one->v2 && one->controllers & 1U << CG_MEMORY) {
        result = set(one->instance, path, "memory.oom.group", "1");
        if (!result) {
            result = optional(set(one->instance, path, "memory.swap.max", "0"));
        }
    } else if (one->controllers & 1U << CG_MEMORY) {
        result = optional(set(one->instance, path, "memory.swappiness", "0"));
        // v1 counts the buffers of TCP and UDP sockets apart, and not at all unless they have a limit. Set here, off the path of a request: the
        // first such limit on a host makes the kernel patch itself.
        if (!result) {
            result = optional(set_number(one->instance, path, "memory.kmem.tcp.limit_in_bytes", SOCKET_BYTES));
        }
    }
    return result;
}

int cgroup_make(const struct cgroups *groups, const char *tenant, const char *path, bool kept)
{
    for (size_t i = 0; i < groups->count; i++) {
        int result = make_one(&groups->list[i], tenant, path, kept);
        if (result) {
            return result;
        }
    }
    return 0;
}

static uint64_t get_number(int dir, const char *path, const char *file, const char *field)
{
    char name[CELL_PATH_MAX + 64], text[256];
    snprintf(name, sizeof name, "%s/%s", path, file);
    if (read_text(dir, name, text, sizeof text) <= 0) {
        return UINT64_MAX;
    }
    const char *at = field ? strstr(text, field) : text;
    return at ? strtoull(at + (field ? strlen(field) : 0), NULL, 10) : UINT64_MAX;
}

// As it was when it was made; false when that cannot be had.
static bool renew(const struct hierarchy *one, const char *path)
{
    int result = 0;
    if (one->controllers & 1U << CG_MEMORY) {
        // What the dead left charged (file cache, the kernel's own memory) would be the next one's.
        if (get_number(one->instance, path, "memory.usage_in_bytes", NULL) > RESIDUE_BYTES || get_number(one->instance, path, "memory.oom_control", "oom_kill ") != 0) {
            return false;
        }
        result = optional(set(one->instance, path, "memory.memsw.limit_in_bytes", "-1"));
        if (!result) {
            result = set(one->instance, path, "memory.limit_in_bytes", "-1");
        }
        if (!result) {
            result = set(one->instance, path, "memory.max_usage_in_bytes", "0");
        }
    }
    if (!result && one->controllers & 1U << CG_CPU) {
        result = optional(set(one->instance, path, "cpu.cfs_quota_us", "-1"));
    }
    if (!result && one->controllers & 1U << CG_CPUACCT) {
        result = set(one->instance, path, "cpuacct.usage", "0");
    }
    return result == 0;
}

bool cgroup_keep(const struct cgroups *groups, const char *path)
{
    int dir;
    bool v2, any = false;
    if (!cgroup_serves(groups, CG_FREEZE, &dir, &v2)) {
        return false;
    }
    for (size_t i = 0; i < groups->count; i++) {
        if (reusable(&groups->list[i])) {
            any = true;
            if (!renew(&groups->list[i], path)) {
                return false;
            }
        }
    }
    // The kernel's word that no process of the cell is left: all are in every hierarchy, and this one's directory is removed.
    for (size_t i = 0; i < groups->count && any; i++) {
        const struct hierarchy *one = &groups->list[i];
        if (!reusable(one) && unlinkat(one->instance, path, AT_REMOVEDIR)) {
            return false;
        }
    }
    return any;
}

static int limit_memory(int dir, bool v2, const char *path, const struct start_request *start)
{
    uint64_t hard = ((uint64_t)start->memory_mb + start->tmp_mb) << 20;
    if (!wall_stands(WALL_MEMORY)) {
        return 0;
    }
    if (v2) {
        return set_number(dir, path, "memory.max", hard);
    }
    int result = set_number(dir, path, "memory.limit_in_bytes", hard);
    return result ? result : optional(set_number(dir, path, "memory.memsw.limit_in_bytes", hard));
}

static int limit_cpu(int dir, bool v2, const char *path, const struct start_request *start)
{
    char text[48];
    uint64_t quota = (uint64_t)start->cpu_quota_milli * 100; // of a period of 100 ms, in us
    if (quota > 0 && quota < 1000) {
        quota = 1000; // the kernel's least
    }
    int result;
    if (v2) {
        result = set_number(dir, path, "cpu.weight", start->cpu_weight);
    } else {
        uint64_t shares = (uint64_t)start->cpu_weight * 1024 / 100;
        result = set_number(dir, path, "cpu.shares", shares < 2 ? 2 : shares);
    }
    if (result || quota == 0) {
        return result;
    }
    if (v2) {
        snprintf(text, sizeof text, "%llu 100000", (unsigned long long)quota);
        return set(dir, path, "cpu.max", text);
    }
    return set_number(dir, path, "cpu.cfs_quota_us", quota);
}

int cgroup_limit(const struct cgroups *groups, const char *path, const struct start_request *start, uint32_t own)
{
    int dir, result = 0;
    bool v2;
    if (cgroup_serves(groups, CG_MEMORY, &dir, &v2)) {
        result = limit_memory(dir, v2, path, start);
    }
    if (!result && wall_stands(WALL_PIDS) && cgroup_serves(groups, CG_PIDS, &dir, &v2)) {
        result = set_number(dir, path, "pids.max", (uint64_t)start->pids_max + own);
    }
    if (!result && cgroup_serves(groups, CG_CPU, &dir, &v2)) {
        result = limit_cpu(dir, v2, path, start);
    }
    return result;
}

static int remove_dir(int dir, const char *path)
{
    return unlinkat(dir, path, AT_REMOVEDIR) && errno != ENOENT ? -errno : 0;
}

static int remove_leaves(int dir, const char *path)
{
    char name[CELL_PATH_MAX + 8];
    int result = 0;
    for (int leaf = 0; leaf < LEAF_COUNT && !result; leaf++) {
        snprintf(name, sizeof name, "%s/%s", path, leaf_names[leaf]);
        result = remove_dir(dir, name);
    }
    return result;
}

int cgroup_remove(const struct cgroups *groups, const char *path)
{
    int result = 0;
    for (size_t i = 0; i < groups->count; i++) {
        int dir = groups->list[i].instance, removed = remove_dir(dir, path);
        if (removed == -EBUSY && remove_leaves(dir, path) == 0) {
            removed = remove_dir(dir, path);
        }
        result = removed ? removed : result;
    }
    return result;
}

int cgroup_open_freezer(const struct cgroups *groups, const char *path)
{
    int dir;
    bool v2;
    return cgroup_serves(groups, CG_FREEZE, &dir, &v2) ? openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

void cgroup_thaw(const struct cgroups *groups, const char *path, bool leaves)
{
    int dir;
    bool v2;
    // A process frozen by v2 dies of SIGKILL; one frozen by v1's freezer does not.
    if (cgroup_serves(groups, CG_FREEZE, &dir, &v2) && !v2) {
        int result = set(dir, path, "freezer.state", "THAWED");
        if (result && result != -ENOENT) {
            diag("cannot thaw %s: %s", path, strerror(-result));
        }
        for (int leaf = 0; leaf < LEAF_COUNT && leaves; leaf++) {
            char name[CELL_PATH_MAX + 8];
            snprintf(name, sizeof name, "%s/%s", path, leaf_names[leaf]);
            set(dir, name, "freezer.state", "THAWED"); // they may not be made yet
        }
    }
}

int cgroup_descriptors(const struct cgroups *groups, const char *path, int fds[3])
{
    static const struct {
        enum ability ability;
        const char *v1, *v2;
        int flags;
    } files[] = {
        {CG_FREEZE, "freezer.state", "cgroup.freeze", O_WRONLY},
        {CG_MEMORY, "memory.max_usage_in_bytes", "memory.peak", O_RDWR},
        {CG_CPUACCT, "cpuacct.usage", "cpu.stat", O_RDONLY},
    };
    int count = 0;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[CELL_PATH_MAX + 64];
        int dir;
        bool v2;
        if (!cgroup_serves(groups, files[i].ability, &dir, &v2)) {
            continue;
        }
        snprintf(name, sizeof name, "%s/%s", path, v2 ? files[i].v2 : files[i].v1);
        int flags = files[i].ability == CG_MEMORY && !groups->peak_reset ? O_RDONLY : files[i].flags;
        int fd = openat(dir, name, flags | O_CLOEXEC);
        if (fd < 0) {
            int error = errno;
            while (count > 0) {
                close(fds[--count]);
            }
            return -error;
        }
        fds[count++] = fd;
    }
    return count;
}
