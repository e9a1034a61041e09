#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "loop.h"
#include "root.h"
#include "walls.h"
#include "zygote_wire.h"

enum { FORKING_MAX = 8 }; // FORKs in a zygote's socket; enough to keep it at work

// ---- what becomes the zygote ----

static _Noreturn void give_up(const char *phase, int error, const char *text)
{
    struct zygote_news news = {.kind = ZYGOTE_TROUBLE, .error = error};
    snprintf(news.phase, sizeof news.phase, "%s", phase);
    snprintf(news.message, sizeof news.message, "%s: %s", text, strerror(error));
    send_packet(ZYGOTE_SOCKET, &news, sizeof news, NULL, 0);
    _exit(127);
}

// The capabilities of a root that is not uid 0 would end with exec.
static int keep_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, sets)) {
        return -errno;
    }
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sets[i].inheritable = sets[i].permitted;
    }
    if (syscall(SYS_capset, &header, sets)) {
        return -errno;
    }
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)) {
            return -errno;
        }
    }
    return 0;
}

static void take_descriptors(int socket)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dup2(socket, ZYGOTE_SOCKET) < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, ZYGOTE_RESERVED) < 0 ||
        dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || syscall(SYS_close_range, (unsigned)ZYGOTE_RESERVED + 1, ~0U, 0)) {
        give_up("descriptors", errno, "of a zygote");
    }
}

static _Noreturn void run(const struct launcher *launcher, const struct zygote_request *request, int socket)
{
    static char storage[MESSAGE_MAX + ARGUMENTS_MAX + ENVIRONMENT_MAX];
    static char *arguments[ARGUMENTS_MAX + 1], *environment[ENVIRONMENT_MAX + 1];
    struct root_failure failure;
    char *free_storage = storage;
    control_unpack(&request->arguments, &free_storage, arguments);
    control_unpack(&request->environment, &free_storage, environment);
    // Its own ends nobody must trust: descriptors 3 and 4 may be other things in this copy of the launcher.
    int high = fcntl(socket, F_DUPFD_CLOEXEC, 100);
    if (high < 0) {
        _exit(127);
    }
    // As the guests, which have it from here. Best effort: an outer limit may forbid it.
    write_text(AT_FDCWD, "/proc/self/oom_score_adj", "500");
    int result = root_enter_cell(launcher->template, 0, CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, &failure);
    take_descriptors(high);
    if (result) {
        give_up("root", -result, failure.subject);
    }
    if (sethostname("sandbox", 7) || setdomainname("", 0)) {
        give_up("hostname", errno, "sethostname");
    }
    if (setsid() < 0) {
        give_up("session", errno, "setsid");
    }
    result = launcher->mode == MODE_SINGLE_UID ? keep_capabilities() : 0;
    if (result) {
        give_up("capabilities", -result, "of a zygote");
    }
    const char *failed = guest_reset_signals();
    if (failed) {
        give_up(failed, errno, "of a zygote");
    }
    execve(arguments[0], arguments, environment);
    give_up("exec", errno, arguments[0]);
}

// ---- making and ending ----

struct zygote *zygotes_find(struct loop *loop, uint32_t id)
{
    struct zygote *zygote = loop->zygotes;
    while (zygote && zygote->id != id) {
        zygote = zygote->next;
    }
    return zygote;
}

bool zygotes_usable(struct loop *loop, uint32_t id)
{
    const struct zygote *zygote = zygotes_find(loop, id);
    return zygote && zygote->ready && !zygote->retired;
}

// A cell that waits for what will not come.
static void abandon(struct loop *loop, uint32_t id)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct cell *cell = loop->buckets[i], *next; cell; cell = next) {
            next = cell->next;
            if (cell->zygote == id && cell->state == CELL_MAKING && !cell->failed) {
                cells_refuse(loop, cell, "zygote", ECHILD, "its zygote has ended");
            }
        }
    }
}

static void forget_early(struct loop *loop)
{
    for (const struct zygote *zygote = loop->zygotes; zygote; zygote = zygote->next) {
        if (zygote->forking > 0) {
            return;
        }
    }
    children_forget_early(loop);
}

static void ended(struct loop *loop, void *owner, int status)
{
    struct zygote *zygote = owner;
    zygotes_news(loop, zygote); // its last words, and its guests'
    const char *text = zygote->trouble[0] ? zygote->trouble : zygote->retired ? "retired" : zygote->ready ? "ended by itself" : "ended before it was ready";
    tell_zygote_gone(loop, zygote->id, status, text);
    loop_unwatch(loop, zygote->socket);
    close_fd(&zygote->socket);
    zygote->retired = true;
    zygote->forking = 0;
    abandon(loop, zygote->id);
    struct zygote **at = &loop->zygotes;
    while (*at != zygote) {
        at = &(*at)->next;
    }
    *at = zygote->next;
    zygote->next = loop->dead_zygotes; // events of this round may still point here
    loop->dead_zygotes = zygote;
    forget_early(loop);
}

static int send_setup(struct loop *loop, int socket)
{
    static struct {
        struct zygote_setup setup;
        struct sock_filter instructions[ZYGOTE_FILTER_MAX];
    } packet;
    const struct cgroups *groups = &loop->launcher->cgroups;
    const struct sock_fprog *filter = &loop->launcher->filter;
    int dirs[CG_ABILITIES];
    packet.setup = (struct zygote_setup){.kind = ZYGOTE_SETUP, .hierarchies = (uint32_t)groups->count, .walls = walls_removed(), .instructions = filter->len};
    if (filter->len > ZYGOTE_FILTER_MAX) {
        return -E2BIG;
    }
    memcpy(packet.instructions, filter->filter, filter->len * sizeof *filter->filter);
    for (size_t i = 0; i < groups->count; i++) {
        packet.setup.v2 |= groups->list[i].v2 ? 1U << i : 0;
        dirs[i] = groups->list[i].instance;
    }
    return send_packet(socket, &packet, sizeof packet.setup + filter->len * sizeof *filter->filter, dirs, groups->count);
}

// Pids below ZYGOTE_PID_MIN are used up, where the kernel cannot be told to skip them.
static int skip_low_pids(void)
{
    if (write_text(AT_FDCWD, "/proc/sys/kernel/ns_last_pid", "300") == 0) {
        return 0;
    }
    for (pid_t pid = 0; pid < ZYGOTE_PID_MIN;) {
        pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0); // no signal at its end
        if (pid == 0) {
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, __WALL) < 0) {
            return -errno;
        }
    }
    return 0;
}

static int start(struct loop *loop, struct zygote *zygote, const struct zygote_request *request)
{
    int pair[2];
    if (!loop->low_pids_gone) {
        int result = skip_low_pids();
        if (result) {
            return result;
        }
        loop->low_pids_gone = true;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        return -errno;
    }
    zygote->socket = pair[0];
    int result = send_setup(loop, pair[0]);
    if (!result) {
        result = fcntl(pair[0], F_SETFL, O_NONBLOCK) ? -errno : loop_watch(loop, pair[0], EPOLLIN, &zygote->from_zygote);
    }
    if (!result) {
        pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) {
            run(loop->launcher, request, pair[1]);
        }
        result = pid < 0 ? -errno : 0;
        if (!result) {
            child_add(loop, &zygote->process, pid);
        }
    }
    close(pair[1]);
    if (result) {
        loop_unwatch(loop, pair[0]);
        close_fd(&zygote->socket);
    }
    return result;
}

void zygotes_make(struct loop *loop, const struct request *request)
{
    struct zygote *zygote = calloc(1, sizeof *zygote);
    int result = !zygote ? -ENOMEM : request->zygote.arguments.count == 0 ? -EINVAL : 0;
    if (!result) {
        zygote->id = request->cell;
        zygote->last = &zygote->first;
        zygote->process = (struct child){.owner = zygote, .ended = ended};
        zygote->from_zygote = (struct source){FROM_ZYGOTE, zygote};
        result = start(loop, zygote, &request->zygote);
    }
    if (result) {
        free(zygote);
        tell_zygote_gone(loop, request->cell, 0, strerror(-result));
        return;
    }
    zygote->next = loop->zygotes;
    loop->zygotes = zygote;
}

void zygotes_retire(struct loop *loop, struct zygote *zygote)
{
    (void)loop;
    zygote->retired = true;
    if (zygote->process.pid > 0 && kill(zygote->process.pid, SIGKILL)) {
        diag("cannot end zygote %u: %s", zygote->id, strerror(errno));
    }
}

// ---- forks ----

static int send_fork(struct loop *loop, struct zygote *zygote, struct cell *cell)
{
    struct zygote_fork fork = {.kind = ZYGOTE_FORK, .cell = cell->id, .uid = cell->slot, .gid = cell->slot};
    int init = (int)syscall(SYS_pidfd_open, cell->init.pid, 0);
    if (init < 0) {
        return -errno;
    }
    const int fds[FORK_FDS] = {[FORK_INIT] = init,
                               [FORK_CHANNEL] = cell->guest_ends[0],
                               [FORK_OUTPUT] = cell->guest_ends[1],
                               [FORK_ERRORS] = cell->guest_ends[2],
                               [FORK_CONTROL] = cell->guest_ends[3]};
    memcpy(fork.path, cell->path, sizeof fork.path);
    (void)loop;
    int result = send_packet(zygote->socket, &fork, sizeof fork, fds, FORK_FDS);
    close(init);
    return result;
}

static void close_guest_ends(struct cell *cell)
{
    for (size_t i = 0; i < CELL_GUEST_FDS; i++) {
        close_fd(&cell->guest_ends[i]);
    }
}

static void send_forks(struct loop *loop, struct zygote *zygote)
{
    while (zygote->first && zygote->forking < FORKING_MAX && zygote->socket >= 0) {
        struct cell *cell = zygote->first;
        int result = send_fork(loop, zygote, cell);
        zygotes_leave(loop, cell);
        if (result) {
            cells_refuse(loop, cell, "zygote", -result, strerror(-result));
        } else {
            cell->fork_sent = true;
            zygote->forking++;
        }
    }
}

void zygotes_fork(struct loop *loop, struct cell *cell)
{
    struct zygote *zygote = zygotes_find(loop, cell->zygote);
    if (!zygote || zygote->retired) {
        cells_refuse(loop, cell, "zygote", ECHILD, "its zygote has ended");
        return;
    }
    cell->fork_next = NULL;
    *zygote->last = cell;
    zygote->last = &cell->fork_next;
    send_forks(loop, zygote);
}

void zygotes_leave(struct loop *loop, struct cell *cell)
{
    struct zygote *zygote = zygotes_find(loop, cell->zygote);
    close_guest_ends(cell);
    if (!zygote) {
        return;
    }
    for (struct cell **at = &zygote->first; *at; at = &(*at)->fork_next) {
        if (*at == cell) {
            *at = cell->fork_next;
            if (zygote->last == &cell->fork_next) {
                zygote->last = at;
            }
            return;
        }
    }
}

// FORKED and ENTERED come in any order.
static void check_ready(struct loop *loop, struct cell *cell)
{
    if (!cell->forked_us) {
        cell->forked_us = monotonic_us();
    }
    if (cell->entered && cell->guest.pid > 0 && cell->state == CELL_MAKING) {
        cells_ready(loop, cell);
    }
}

// What a zygote says must not reach beyond it and its own cells: its end, and with it that of those which wait for it.
static void end_broken(struct loop *loop, struct zygote *zygote, const char *text)
{
    diag("zygote %u: %s", zygote->id, text);
    snprintf(zygote->trouble, sizeof zygote->trouble, "protocol: %s", text);
    zygote->broken = true;
    loop_unwatch(loop, zygote->socket);
    zygotes_retire(loop, zygote);
}

static void forked(struct loop *loop, struct zygote *zygote, const struct zygote_news *news, struct cell *cell)
{
    zygote->forking--;
    if (cell) {
        cell->fork_told = true;
    }
    if (news->pid > 0 && cell && cell->state != CELL_REMOVING) {
        if (!child_add_late(loop, &cell->guest, news->pid)) {
            end_broken(loop, zygote, "it has forked what is no guest");
            return;
        }
        check_ready(loop, cell);
    } else if (news->pid > 0) {
        child_forget(loop, news->pid); // it died with its cell; its number may be another's soon
    } else if (news->pid == 0 && cell && cell->state == CELL_MAKING) {
        cells_refuse(loop, cell, "fork", news->error, strerror(news->error));
    }
    forget_early(loop);
    send_forks(loop, zygote);
}

// NULL, or what is wrong. A cell's id is never used again, so that another's cell is never meant; a cell that is gone may be.
static const char *wrong_news(const struct zygote *zygote, const struct zygote_news *news, const struct cell *cell)
{
    if (news->kind < ZYGOTE_READY || news->kind > ZYGOTE_TROUBLE || news->pid < 0) {
        return "unknown news";
    }
    if (cell && (cell->zygote != zygote->id || !cell->fork_sent)) {
        return "news of a cell that it was not asked for";
    }
    if (news->kind == ZYGOTE_FORKED && (zygote->forking == 0 || (cell && cell->fork_told))) {
        return "more forks than it was asked for";
    }
    return NULL;
}

void zygotes_news(struct loop *loop, struct zygote *zygote)
{
    while (zygote->socket >= 0 && !zygote->broken) {
        struct zygote_news news;
        size_t count;
        ssize_t got = receive_packet(zygote->socket, &news, sizeof news, NULL, 0, &count);
        if (got != (ssize_t)sizeof news) {
            if (got > 0 || got == -EMSGSIZE) {
                end_broken(loop, zygote, "a packet that is no news");
            } else if (got != -EAGAIN) {
                loop_unwatch(loop, zygote->socket); // its end is heard by SIGCHLD
                if (zygote->process.pid > 0) {
                    kill(zygote->process.pid, SIGKILL); // were it to live on, nobody would hear it
                }
            }
            return;
        }
        news.phase[sizeof news.phase - 1] = 0;
        news.message[sizeof news.message - 1] = 0;
        struct cell *cell = news.cell ? *cells_find(loop, news.cell) : NULL;
        const char *wrong = wrong_news(zygote, &news, cell);
        if (wrong) {
            end_broken(loop, zygote, wrong);
            return;
        }
        switch (news.kind) {
        case ZYGOTE_READY:
            if (!zygote->ready && !zygote->retired) {
                zygote->ready = true;
                tell_zygote_ready(loop, zygote);
            }
            break;
        case ZYGOTE_FORKED:
            forked(loop, zygote, &news, cell);
            break;
        case ZYGOTE_ENTERED:
            if (cell) {
                cell->entered = true;
                check_ready(loop, cell);
            }
            break;
        case ZYGOTE_TROUBLE:
            if (cell && cell->state == CELL_MAKING && !cell->failed) {
                cells_refuse(loop, cell, news.phase, news.error, strerror(news.error));
            } else if (news.cell == 0) {
                snprintf(zygote->trouble, sizeof zygote->trouble, "%s: %s", news.phase, news.message);
            }
            break;
        default:
            break;
        }
    }
}
