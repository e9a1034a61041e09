#include "flint_zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/cgroup.h"
#include "../src/guest.h"
#include "../src/util.h"
#include "../src/walls.h"
#include "../src/zygote_wire.h"
#include "heap.h"
#include "vfork_into.h"

enum {
    OWN_FIRST = 100,       // our own descriptors are above the interpreter's
    INHERITED_MAX = 256,   // descriptors of the interpreter's that every guest has replaced
    INHERITED_LAST = 1023, // beyond it there are none
};

// One per process. A guest has a copy of it as it was at the moment of its fork.
static struct {
    bool forked;
    int socket;
    int dirs[CG_ABILITIES];
    struct zygote_setup setup;
    struct sock_fprog filter;
    int inherited[INHERITED_MAX];
    size_t inherited_count;
    sigset_t mask; // as it was before serve
    // of one fork
    struct zygote_fork request;
    int fds[FORK_FDS];
    int group;   // the cell's v2 cgroup, -1: none
    bool placed; // the guest is born in it
    volatile bool forking;
    volatile pid_t child; // or -errno
    const char *failed;   // in the guest: what could not be done, with its errno
    int error;
} zygote = {.socket = -1, .group = -1};

static struct sock_filter instructions[ZYGOTE_FILTER_MAX];

// ---- what the loader runs before the interpreter ----

static void forget_preload(void)
{
    static const char name[] = "LD_PRELOAD=";
    char **to = environ;
    for (char **from = environ; *from; from++) {
        if (strncmp(*from, name, sizeof name - 1) == 0) {
            explicit_bzero(*from, strlen(*from)); // it would be read in /proc/self/environ
        } else {
            *to++ = *from;
        }
    }
    *to = NULL;
}

static void note(const char *phase)
{
    if (!zygote.failed) {
        zygote.failed = phase;
        zygote.error = errno;
    }
}

// The first thing that happens in a guest, before the handlers of other libraries: libuv's, for one, opens descriptors of the guest's own. What the interpreter had open
// is replaced, not closed, so that what it still means to close or write is harmless and no number means two things.
static void take_descriptors(void)
{
    static const struct {
        enum zygote_fork_fd from;
        int to;
    } ends[] = {{FORK_CHANNEL, 3}, {FORK_OUTPUT, 1}, {FORK_ERRORS, 2}, {FORK_CONTROL, ZYGOTE_RESERVED}};
    if (!zygote.forking) {
        return;
    }
    zygote.forking = false; // what a guest forks later is not ours
    zygote.failed = NULL;
    close_fd(&zygote.group);
    // Each guest's own: flags, locks and owners belong to what was opened, by which guests that share it could speak to each other.
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0) {
        note("descriptors");
    }
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (dup2(zygote.fds[ends[i].from], ends[i].to) < 0) {
            note("descriptors");
        }
        close(zygote.fds[ends[i].from]);
    }
    for (size_t i = 0; i < zygote.inherited_count; i++) {
        if (dup3(null, zygote.inherited[i], O_CLOEXEC) < 0) {
            note("descriptors");
        }
    }
    if (null >= 0) {
        close(null);
    }
}

__attribute__((constructor)) static void prepare(void)
{
    int type;
    socklen_t size = sizeof type;
    forget_preload();
    if (getsockopt(ZYGOTE_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET) {
        heap_begin();
    }
    if (pthread_atfork(NULL, NULL, take_descriptors)) {
        _exit(125);
    }
}

// ---- the guest ----

static const char *join_cgroups(void)
{
    for (uint32_t i = 0; i < zygote.setup.hierarchies; i++) {
        if (zygote.placed && zygote.setup.v2 & 1U << i) {
            continue;
        }
        int result = cgroup_join(zygote.dirs[i], zygote.setup.v2 & 1U << i, zygote.request.path);
        if (result) {
            errno = -result;
            return "cgroup";
        }
    }
    return NULL;
}

static void close_own(void)
{
    close(zygote.fds[FORK_INIT]);
    for (uint32_t i = 0; i < zygote.setup.hierarchies; i++) {
        close(zygote.dirs[i]);
    }
}

static const char *enter(void)
{
    const char *failed = join_cgroups();
    if (failed) {
        return failed;
    }
    if (setns(zygote.fds[FORK_INIT], CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) || unshare(CLONE_NEWCGROUP)) {
        return "namespaces";
    }
    if (setsid() < 0) {
        return "session";
    }
    if ((failed = guest_take_identity(zygote.request.uid, zygote.request.gid))) {
        return failed;
    }
    // Was lost with the identity. The guest may look at itself, as one that was started can.
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) {
        return "dumpable";
    }
    close_own();
    return guest_load_filter(&zygote.filter);
}

static int become_guest(void)
{
    struct zygote_news news = {.kind = ZYGOTE_ENTERED, .cell = zygote.request.cell};
    zygote.forked = true;
    if (!zygote.failed) {
        zygote.failed = enter();
        zygote.error = zygote.failed ? errno : 0;
    }
    if (zygote.failed) {
        news.kind = ZYGOTE_TROUBLE;
        news.error = zygote.error;
        strncpy(news.phase, zygote.failed, sizeof news.phase - 1);
    }
    int result = send_packet(zygote.socket, &news, sizeof news, NULL, 0);
    if (result || zygote.failed || close(zygote.socket) || sigprocmask(SIG_SETMASK, &zygote.mask, NULL)) {
        _exit(127);
    }
    return 0;
}

// ---- the zygote ----

static int open_v2_group(void)
{
    for (uint32_t i = 0; i < zygote.setup.hierarchies; i++) {
        if (zygote.setup.v2 & 1U << i) {
            return openat(zygote.dirs[i], zygote.request.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        }
    }
    return -1;
}

// A guest is not the zygote's child but its helper's, which ends at once: so it is the outer init's, which hears its true end whether the zygote lives or not.
// The helper shares this memory and this stack, and this process waits until it has ended. Returns the guest's pid, 0 in the guest, or -errno.
static pid_t fork_into_cell(void)
{
    zygote.child = -ECHILD;
    zygote.forking = true;
    zygote.group = open_v2_group();
    zygote.placed = zygote.group >= 0;
    const struct clone_args arguments = {.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)zygote.group};
    pid_t helper = zygote.placed ? (pid_t)vfork_into(&arguments, sizeof arguments) : -1;
    if (helper < 0) {
        zygote.placed = false; // it joins by itself, or says why it cannot
        helper = vfork();
    }
    if (helper == 0) {
        if (setns(zygote.fds[FORK_INIT], CLONE_NEWPID)) { // of its children only
            zygote.child = -errno;
            _exit(0);
        }
        pid_t child = fork(); // libc's, for the handlers' sake
        if (child == 0) {
            return 0; // in a copy of this stack
        }
        zygote.child = child < 0 ? -errno : child;
        _exit(0);
    }
    zygote.forking = false;
    close_fd(&zygote.group);
    if (helper < 0) {
        return -errno;
    }
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR) {
    }
    return zygote.child;
}

static void close_received(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
    }
}

static int read_setup(void)
{
    static struct {
        struct zygote_setup setup;
        struct sock_filter instructions[ZYGOTE_FILTER_MAX];
    } packet;
    int fds[CG_ABILITIES];
    size_t count = 0;
    ssize_t got = receive_packet(zygote.socket, &packet, sizeof packet, fds, CG_ABILITIES, &count);
    const struct zygote_setup *setup = &packet.setup;
    if (got < (ssize_t)sizeof *setup || setup->kind != ZYGOTE_SETUP || setup->hierarchies != count || setup->instructions > ZYGOTE_FILTER_MAX ||
        (size_t)got != sizeof *setup + setup->instructions * sizeof *instructions) {
        close_received(fds, count);
        return got < 0 ? (int)got : -EPROTO;
    }
    zygote.setup = *setup;
    memcpy(instructions, packet.instructions, setup->instructions * sizeof *instructions);
    zygote.filter = (struct sock_fprog){.len = (unsigned short)setup->instructions, .filter = instructions};
    for (size_t i = 0; i < count; i++) {
        zygote.dirs[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, OWN_FIRST);
        close(fds[i]);
        if (zygote.dirs[i] < 0) {
            return -errno;
        }
    }
    return 0;
}

static int list_inherited(void)
{
    for (int fd = ZYGOTE_RESERVED + 1; fd <= INHERITED_LAST; fd++) {
        bool own = fd == zygote.socket;
        for (uint32_t i = 0; i < zygote.setup.hierarchies; i++) {
            own |= fd == zygote.dirs[i];
        }
        if (own || fcntl(fd, F_GETFD) < 0) {
            continue;
        }
        if (zygote.inherited_count == INHERITED_MAX) {
            return -EMFILE;
        }
        zygote.inherited[zygote.inherited_count++] = fd;
    }
    return syscall(SYS_close_range, (unsigned)INHERITED_LAST + 1, ~0U, 0) ? -errno : 0;
}

static int begin(void)
{
    sigset_t all;
    const char *failed;
    zygote.socket = fcntl(ZYGOTE_SOCKET, F_DUPFD_CLOEXEC, OWN_FIRST);
    if (zygote.socket < 0) {
        return -errno;
    }
    int result = read_setup();
    if (!result) {
        result = list_inherited();
    }
    if (result) {
        return result;
    }
    walls_remove_all(zygote.setup.walls);
    if ((failed = guest_confine()) || prctl(PR_SET_DUMPABLE, wall_stands(WALL_DUMPABLE) ? 0 : 1, 0, 0, 0)) {
        return -errno;
    }
    heap_settle();
    sigfillset(&all);
    return sigprocmask(SIG_SETMASK, &all, &zygote.mask) ? -errno : 0;
}

FLINT_EXPORT int flint_zygote_serve(void)
{
    int type;
    socklen_t size = sizeof type;
    if (getsockopt(ZYGOTE_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size)) {
        return -errno;
    }
    if (type != SOCK_SEQPACKET) {
        return -EPROTOTYPE;
    }
    if (zygote.forked || zygote.socket >= 0 || getpid() < ZYGOTE_PID_MIN) {
        return -EINVAL;
    }
    int result = begin();
    const struct zygote_news ready = {.kind = ZYGOTE_READY};
    if (!result) {
        result = send_packet(zygote.socket, &ready, sizeof ready, NULL, 0);
    }
    if (result) {
        return result;
    }
    for (;;) {
        size_t count = 0;
        ssize_t got = receive_packet(zygote.socket, &zygote.request, sizeof zygote.request, zygote.fds, FORK_FDS, &count);
        if (got <= 0) {
            _exit(got == 0 ? 0 : 1); // retired, or the launcher is gone
        }
        if (got != (ssize_t)sizeof zygote.request || zygote.request.kind != ZYGOTE_FORK || count != FORK_FDS) {
            _exit(126);
        }
        pid_t pid = fork_into_cell();
        if (pid == 0) {
            return become_guest();
        }
        close_received(zygote.fds, count);
        const struct zygote_news forked = {.kind = ZYGOTE_FORKED, .cell = zygote.request.cell, .pid = pid < 0 ? 0 : pid, .error = pid < 0 ? -pid : 0};
        if (send_packet(zygote.socket, &forked, sizeof forked, NULL, 0)) {
            _exit(1);
        }
    }
}

FLINT_EXPORT int flint_zygote_is_fork(void)
{
    return zygote.forked;
}
