#include "leaves.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

static int write_at(int fd, const char *text)
{
    return pwrite(fd, text, strlen(text), 0) < 0 ? -errno : 0;
}

static ssize_t read_at(int fd, char *text, size_t size)
{
    ssize_t length = pread(fd, text, size - 1, 0);
    text[length < 0 ? 0 : length] = 0;
    return length < 0 ? -errno : length;
}

// v1 lets move a process whoever has its uid or is the host's root; what is open counts as opened by whom it was opened, on older kernels as written by whom it is
// written. So PID 1 takes the guest's uid for the moment, and keeps its capabilities: the kernel drops the effective ones, not those that may be raised again.
static int take_uid(uid_t uid)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_setresuid, -1, uid, -1) || syscall(SYS_capget, &header, data)) {
        return -errno;
    }
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].effective = data[i].permitted;
    }
    return syscall(SYS_capset, &header, data) ? -errno : 0;
}

static int open_leaf(struct leaves *leaves, int dir, enum leaf leaf)
{
    const char *const names[] = {"cgroup.procs", leaves->v2 ? "cgroup.freeze" : "freezer.state", leaves->v2 ? "cgroup.events" : "freezer.state"};
    const int flags[] = {O_WRONLY, O_WRONLY, O_RDONLY};
    int *const fds[] = {&leaves->procs[leaf], &leaves->freeze[leaf], &leaves->events[leaf]};
    char path[64];
    if (mkdirat(dir, leaf_names[leaf], 0755) && errno != EEXIST) {
        return -errno;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", leaf_names[leaf], names[i]);
        *fds[i] = openat(dir, path, flags[i] | O_CLOEXEC);
        if (*fds[i] < 0) {
            return -errno;
        }
    }
    return 0;
}

static int open_all(struct leaves *leaves, int dir)
{
    char path[64];
    uid_t own = geteuid();
    int result = leaves->v2 || own == leaves->uid ? 0 : take_uid(leaves->uid);
    for (int leaf = 0; leaf < LEAF_COUNT && !result; leaf++) {
        result = open_leaf(leaves, dir, (enum leaf)leaf);
    }
    int back = geteuid() == own ? 0 : take_uid(own);
    if (leaves->v2 && !result) {
        snprintf(path, sizeof path, "%s/cgroup.kill", leaf_names[LEAF_FORKS]);
        leaves->kill = openat(dir, path, O_WRONLY | O_CLOEXEC); // not before Linux 5.14
    }
    return result ? result : back;
}

int leaves_make(struct leaves *leaves, int dir, bool v2, uid_t uid)
{
    *leaves = (struct leaves){.on = dir >= 0, .v2 = v2, .dir = dir, .uid = uid, .procs = {-1, -1}, .freeze = {-1, -1}, .events = {-1, -1}, .kill = -1};
    return leaves->on ? open_all(leaves, dir) : 0;
}

int leaves_enter(const struct leaves *leaves, enum leaf leaf, pid_t pid)
{
    char text[16];
    if (!leaves->on) {
        return 0;
    }
    snprintf(text, sizeof text, "%d", pid);
    uid_t own = geteuid();
    int result = leaves->v2 || own == leaves->uid ? 0 : take_uid(leaves->uid);
    if (!result) {
        result = write_at(leaves->procs[leaf], text);
    }
    int back = geteuid() == own ? 0 : take_uid(own);
    return result ? result : back;
}

// Whether events (v2) or the state (v1) say so; reading v1's state is also what completes it.
static bool is_frozen(const struct leaves *leaves, enum leaf leaf, bool frozen)
{
    char text[256];
    if (read_at(leaves->events[leaf], text, sizeof text) < 0) {
        return false;
    }
    if (leaves->v2) {
        return strstr(text, frozen ? "frozen 1" : "frozen 0") != NULL;
    }
    return strncmp(text, frozen ? "FROZEN" : "THAWED", 6) == 0;
}

int leaves_freeze(const struct leaves *leaves, enum leaf leaf, bool frozen, int64_t until)
{
    if (!leaves->on) {
        return 0;
    }
    const char *text = leaves->v2 ? (frozen ? "1" : "0") : (frozen ? "FROZEN" : "THAWED");
    int result = write_at(leaves->freeze[leaf], text);
    while (!result && !is_frozen(leaves, leaf, frozen)) {
        if (monotonic_ms() > until) {
            result = -ETIMEDOUT;
        }
        struct pollfd changed = {.fd = leaves->v2 ? leaves->events[leaf] : -1, .events = POLLPRI};
        poll(&changed, 1, leaves->v2 ? 20 : 1);
    }
    return result;
}

// dir: of a cgroup, below the cell's. Whether there is any.
static bool each_in(const struct leaves *leaves, const char *dir, bool (*visit)(pid_t pid, void *state), void *visit_state)
{
    char path[64], text[65536];
    bool any = false;
    // Opened each time: v1 shows one open file the same list for a second.
    snprintf(path, sizeof path, "%s/cgroup.procs", dir);
    ssize_t length = read_text(leaves->dir, path, text, sizeof text);
    for (char *state = NULL, *item = length > 0 ? strtok_r(text, "\n", &state) : NULL; item; item = strtok_r(NULL, "\n", &state)) {
        pid_t pid = (pid_t)strtol(item, NULL, 10);
        any = true;
        if (pid > 1 && visit && !visit(pid, visit_state)) { // 0 would be one that is not in our namespace: none of ours
            break;
        }
    }
    return any;
}

static bool kill_one(pid_t pid, void *unused)
{
    (void)unused;
    kill(pid, SIGKILL);
    return true;
}

void leaves_each(const struct leaves *leaves, bool (*visit)(pid_t pid, void *state), void *state)
{
    if (leaves->on) {
        each_in(leaves, ".", visit, state);
        for (int leaf = 0; leaf < LEAF_COUNT; leaf++) {
            each_in(leaves, leaf_names[leaf], visit, state);
        }
    }
}

int leaves_kill(const struct leaves *leaves, enum leaf leaf)
{
    if (!leaves->on) {
        return 0;
    }
    if (leaves->kill >= 0 && leaf == LEAF_FORKS) {
        return write_at(leaves->kill, "1");
    }
    // Frozen first, so that nothing forks away while it is gone through. v1 lets die only what is thawed again.
    int result = write_at(leaves->freeze[leaf], leaves->v2 ? "1" : "FROZEN");
    each_in(leaves, leaf_names[leaf], kill_one, NULL);
    int thawed = write_at(leaves->freeze[leaf], leaves->v2 ? "0" : "THAWED");
    return result ? result : thawed;
}

bool leaves_empty(const struct leaves *leaves, enum leaf leaf)
{
    return !leaves->on || !each_in(leaves, leaf_names[leaf], NULL, NULL);
}
