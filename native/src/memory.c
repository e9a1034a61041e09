#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "registrar.h"
#include "util.h"
#include "walls.h"

enum {
    SLOW_CHECK_MS = 500,
    SETTLED_CHECKS = 10,    // so many equal readings, and events take over again
    SETTLED_STEP = 2 << 20, // bytes more than the settled use that wake the watch
    REGISTERED_MAX = 32,    // events asked of v1 for one cell; each costs the kernel a little
};

void memory_watch_init(struct memory_watch *watch)
{
    *watch = (struct memory_watch){.usage = -1, .stat = -1, .tmp = -1, .fork_tmp = -1, .crossed = -1, .killed = -1, .registrar = -1};
}

void memory_watch_close(struct memory_watch *watch)
{
    watch->on = false;
    watch->next_check_ms = 0;
    close_fd(&watch->usage);
    close_fd(&watch->stat);
    close_fd(&watch->tmp);
    close_fd(&watch->fork_tmp);
    close_fd(&watch->crossed);
    close_fd(&watch->killed);
}

static void name_of(const struct memory_watch *watch, const char *file, char name[CELL_PATH_MAX + 64])
{
    snprintf(name, CELL_PATH_MAX + 64, "%s/%s", watch->path, file);
}

static int open_one(const struct memory_watch *watch, const char *file)
{
    char name[CELL_PATH_MAX + 64];
    name_of(watch, file, name);
    int fd = openat(watch->dir, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int write_one(const struct memory_watch *watch, const char *file, const char *text)
{
    char name[CELL_PATH_MAX + 64];
    name_of(watch, file, name);
    return write_text(watch->dir, name, text);
}

void memory_watch_place(struct memory_watch *watch, const struct cgroups *groups, uint32_t cell, const char *path, int tmp, int registrar)
{
    watch->cell = cell;
    watch->tmp = tmp;
    watch->registrar = registrar;
    snprintf(watch->path, sizeof watch->path, "%s", path);
    watch->on = cgroup_serves(groups, CG_MEMORY, &watch->dir, &watch->v2);
}

int memory_watch_open(struct memory_watch *watch)
{
    watch->usage = open_one(watch, watch->v2 ? "memory.current" : "memory.usage_in_bytes");
    watch->stat = open_one(watch, "memory.stat");
    if (watch->usage < 0 || watch->stat < 0) {
        return watch->usage < 0 ? watch->usage : watch->stat;
    }
    if (watch->v2) {
        watch->killed = open_one(watch, "memory.events");
        return watch->killed < 0 ? watch->killed : 0;
    }
    watch->crossed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    watch->killed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch->crossed < 0 || watch->killed < 0) {
        return -errno;
    }
    char text[32];
    int control = open_one(watch, "memory.oom_control");
    if (control < 0) {
        return control;
    }
    snprintf(text, sizeof text, "%d %d", watch->killed, control);
    int result = write_one(watch, "cgroup.event_control", text);
    close(control);
    return result;
}

static void complain(const struct memory_watch *watch, int result)
{
    if (result && result != -ENOENT && result != -ENODEV) { // gone meanwhile
        diag("cannot watch the memory of %s: %s", watch->path, strerror(-result));
    }
}

static int set_high(const struct memory_watch *watch, uint64_t level)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)level);
    return write_one(watch, "memory.high", level ? text : "max");
}

// Asks for an event when use goes beyond level. On v1 the watch goes on checking until memory_watch_armed.
static void arm(struct memory_watch *watch, uint64_t level)
{
    char name[CELL_PATH_MAX + 64];
    int result;
    if (watch->v2) {
        result = set_high(watch, level);
        watch->armed = result ? 0 : level;
    } else if (watch->asked || watch->registered >= REGISTERED_MAX) {
        return; // a guest that provokes this costs a check each 20 ms, no more
    } else {
        name_of(watch, "cgroup.event_control", name);
        int control = openat(watch->dir, name, O_WRONLY | O_CLOEXEC);
        result = control < 0 ? -errno : registrar_ask(watch->registrar, watch->cell, watch->crossed, watch->usage, control, level);
        close_fd(&control);
        if (!result) {
            watch->asked = level;
            watch->registered++;
        }
    }
    complain(watch, result == -EAGAIN ? 0 : result);
}

void memory_watch_armed(struct memory_watch *watch, int result)
{
    complain(watch, result);
    if (!result) {
        watch->armed = watch->asked > watch->armed ? watch->asked : watch->armed;
        watch->limit_armed |= watch->asked == watch->limit;
    }
    watch->asked = 0;
}

int memory_watch_start(struct memory_watch *watch, uint32_t memory_mb, int64_t now_ms)
{
    watch->limit = (uint64_t)memory_mb << 20;
    watch->on = watch->on && wall_stands(WALL_MEMORY);
    if (!watch->on) {
        return 0;
    }
    if (!watch->v2) {
        watch->next_check_ms = now_ms + MEMORY_CHECK_MS;
        return 0;
    }
    watch->next_check_ms = 0;
    int result = set_high(watch, watch->limit);
    watch->armed = result ? 0 : watch->limit;
    return result;
}

static bool read_usage(const struct memory_watch *watch, uint64_t *usage)
{
    char text[32];
    ssize_t length = pread(watch->usage, text, sizeof text - 1, 0);
    if (length <= 0) {
        return false;
    }
    text[length] = 0;
    *usage = strtoull(text, NULL, 10);
    return true;
}

static uint64_t stat_field(const char *text, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, name, length) == 0 && line[length] == ' ') {
            return strtoull(line + length + 1, NULL, 10);
        }
    }
    return 0;
}

void memory_watch_fork(struct memory_watch *watch, int tmp)
{
    close_fd(&watch->fork_tmp);
    watch->fork_tmp = tmp;
}

static uint64_t used_in(int tmp)
{
    struct statfs info;
    return tmp < 0 || fstatfs(tmp, &info) ? 0 : (uint64_t)(info.f_blocks - info.f_bfree) * (uint64_t)info.f_bsize;
}

// What of the use does not count: file cache that can be dropped, and /tmp.
static uint64_t excused(const struct memory_watch *watch)
{
    static char text[16384];
    uint64_t result = 0;
    ssize_t length = pread(watch->stat, text, sizeof text - 1, 0);
    if (length > 0) {
        text[length] = 0;
        result = watch->v2 ? stat_field(text, "active_file") + stat_field(text, "inactive_file") + stat_field(text, "slab_reclaimable")
                           : stat_field(text, "total_active_file") + stat_field(text, "total_inactive_file");
    }
    return result + used_in(watch->tmp) + used_in(watch->fork_tmp);
}

static bool event_will_come(const struct memory_watch *watch, uint64_t usage)
{
    if (usage > watch->limit) {
        return watch->armed > usage;
    }
    return watch->v2 ? watch->armed == watch->limit : watch->limit_armed;
}

enum memory_verdict memory_watch_check(struct memory_watch *watch, int64_t now_ms)
{
    uint64_t usage, drained;
    if (!watch->on || watch->limit == 0 || !read_usage(watch, &usage)) {
        watch->next_check_ms = 0;
        return MEMORY_FINE;
    }
    if (watch->crossed >= 0) {
        ssize_t ignored = read(watch->crossed, &drained, sizeof drained); // only the fact that it fired matters
        (void)ignored;
    }
    if (usage > watch->limit) {
        uint64_t pardon = excused(watch);
        if (usage > pardon && usage - pardon > watch->limit) {
            return MEMORY_EXCEEDED;
        }
    }
    watch->unchanged = usage == watch->last_usage ? watch->unchanged + 1 : 0;
    watch->last_usage = usage;
    if (watch->v2 && usage <= watch->limit && watch->armed != watch->limit) {
        arm(watch, watch->limit);
    } else if (watch->v2 && watch->armed != 0 && usage >= watch->armed) {
        // Beyond it memory.high slows a guest down that is only filling /tmp, as it may.
        complain(watch, set_high(watch, 0));
        watch->armed = 0;
    } else if (!event_will_come(watch, usage) && watch->unchanged >= SETTLED_CHECKS) {
        arm(watch, usage <= watch->limit ? watch->limit : usage + SETTLED_STEP);
    }
    if (!event_will_come(watch, usage)) {
        watch->next_check_ms = now_ms + MEMORY_CHECK_MS;
    } else {
        // Above the limit what is in /tmp can still turn into memory without any level being crossed.
        watch->next_check_ms = usage > watch->limit ? now_ms + SLOW_CHECK_MS : 0;
    }
    return MEMORY_FINE;
}

bool memory_watch_killed(const struct memory_watch *watch)
{
    char name[CELL_PATH_MAX + 64], text[1024];
    if (!watch->on) {
        return false;
    }
    name_of(watch, watch->v2 ? "memory.events" : "memory.oom_control", name);
    return read_text(watch->dir, name, text, sizeof text) > 0 && stat_field(text, "oom_kill") > 0;
}
