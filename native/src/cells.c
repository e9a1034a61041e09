#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cell.h"
#include "loop.h"
#include "root.h"

enum { REMOVE_ATTEMPTS = 200 };

struct cell **cells_find(struct loop *loop, uint32_t id)
{
    struct cell **at = &loop->buckets[id % BUCKETS];
    while (*at && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

void cells_kill(struct loop *loop, struct cell *cell)
{
    if (cell->state == CELL_REMOVING) {
        return;
    }
    if (cell->init.pid > 0 && kill(cell->init.pid, SIGKILL)) {
        diag("cannot kill cell %u: %s", cell->id, strerror(errno));
    }
    cgroup_thaw(&loop->launcher->cgroups, cell->path);
    cell->state = CELL_DYING;
    // Whoever freezes it again meanwhile keeps it from dying: look again until it has.
    cell->remove_ms = monotonic_ms() + REMOVE_RETRY_MS;
    timed_set(loop, cell, true);
}

void cells_try_remove(struct loop *loop, struct cell *cell)
{
    char trouble[128];
    int result = cgroup_remove(&loop->launcher->cgroups, cell->path);
    if (result == -EBUSY && ++cell->attempts < REMOVE_ATTEMPTS) {
        cell->remove_ms = monotonic_ms() + (cell->attempts < 5 ? 1 : REMOVE_RETRY_MS);
        timed_set(loop, cell, true);
        return;
    }
    snprintf(trouble, sizeof trouble, "cgroup %.80s is left: %.30s", cell->path, strerror(-result));
    timed_set(loop, cell, false);
    tell_gone(loop, cell->id, result ? trouble : NULL);
    slot_leave(loop, cell->slot);
    tenant_leave(loop, cell->tenant);
    struct cell **at = cells_find(loop, cell->id);
    *at = cell->next;
    cell->next = loop->dead; // events of this round may still point here
    loop->dead = cell;
}

static void init_ended(struct loop *loop, void *owner, int status)
{
    struct cell *cell = owner;
    (void)status; // the guest's is what counts
    cells_news(loop, cell);
    if (cell->started && !cell->told_end && !cell->failed) {
        tell_exited(loop, cell, 0, SIGKILL); // nothing else ends a PID 1 unheard
    } else if (cell->state == CELL_MAKING && !cell->failed) {
        tell_failed(loop, cell, "cell", 0, "the cell's PID 1 ended before it was ready");
    }
    cell->state = CELL_REMOVING;
    loop_unwatch(loop, cell->socket);
    loop_unwatch(loop, cell->memory.crossed);
    loop_unwatch(loop, cell->memory.killed);
    close_fd(&cell->socket);
    memory_watch_close(&cell->memory);
    cells_try_remove(loop, cell);
}

static bool clone_cell(struct loop *loop, struct cell *cell)
{
    int pair[2];
    int result = root_write_slot(cell->slot);
    if (result) {
        tell_failed(loop, cell, "slot", -result, strerror(-result));
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        tell_failed(loop, cell, "socket", errno, strerror(errno));
        return false;
    }
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        const struct cell_birth birth = {.cell = cell->id, .slot = cell->slot, .tenant = cell->tenant->name, .path = cell->path,
                                         .cgroups = &loop->launcher->cgroups, .filter = &loop->launcher->filter, .socket = pair[1]};
        cell_run(&birth);
    }
    int error = errno;
    close(pair[1]);
    cell->socket = pair[0];
    if (fcntl(cell->socket, F_SETFL, O_NONBLOCK)) { // this end only: PID 1 waits on its own
        diag("fcntl: %s", strerror(errno));
    }
    if (pid < 0) {
        tell_failed(loop, cell, "clone", error, strerror(error));
        close_fd(&cell->socket);
        return false;
    }
    child_add(loop, &cell->init, pid);
    result = loop_watch(loop, cell->socket, EPOLLIN, &cell->from_cell);
    if (result) {
        tell_failed(loop, cell, "epoll", -result, strerror(-result));
        cells_kill(loop, cell);
    }
    return true;
}

void cells_make(struct loop *loop, const struct request *request)
{
    const uint32_t id = request->cell;
    const struct text tenant = request->tenant;
    struct cell *cell = calloc(1, sizeof *cell);
    struct cell refused = {.id = id};
    struct tenant *owner = control_plain_name(tenant, TENANT_MAX) ? tenant_take(loop, tenant) : NULL;
    uid_t slot = cell && owner ? slot_take(loop) : 0;
    if (!cell || !owner || slot == 0) {
        tell_failed(loop, &refused, !owner ? "tenant" : "slot", !owner ? EINVAL : EAGAIN,
                    !owner ? "not a tenant's name: 1 to 64 letters, digits, '.', '_', '-'" : "every uid of the range is taken");
        tell_gone(loop, id, NULL);
        if (owner) {
            tenant_leave(loop, owner);
        }
        free(cell);
        return;
    }
    cell->id = id;
    cell->slot = slot;
    cell->tenant = owner;
    cell->socket = -1;
    cell->init = (struct child){.owner = cell, .ended = init_ended};
    cell->from_cell = (struct source){FROM_CELL, cell};
    cell->from_memory = (struct source){FROM_MEMORY, cell};
    cell->from_killed = (struct source){FROM_KILLED, cell};
    memory_watch_init(&cell->memory);
    cgroup_cell_path(cell->path, owner->name, id);
    struct cell **bucket = &loop->buckets[id % BUCKETS];
    cell->next = *bucket;
    *bucket = cell;
    if (!clone_cell(loop, cell)) {
        cell->state = CELL_REMOVING;
        cells_try_remove(loop, cell);
    }
}

static void ready(struct loop *loop, struct cell *cell, int *fds)
{
    struct message message;
    int all[CELL_READY_FDS - 1 + 3] = {fds[0], fds[1], fds[2]};
    int more = cgroup_descriptors(&loop->launcher->cgroups, cell->path, all + CELL_READY_FDS - 1);
    int result = memory_watch_open(&cell->memory, &loop->launcher->cgroups, cell->id, cell->path, fds[CELL_READY_FDS - 1], loop->registrar);
    if (!result && cell->memory.crossed >= 0) {
        result = loop_watch(loop, cell->memory.crossed, EPOLLIN, &cell->from_memory);
    }
    if (!result && cell->memory.killed >= 0) {
        result = loop_watch(loop, cell->memory.killed, cell->memory.v2 ? EPOLLPRI : EPOLLIN, &cell->from_killed);
    }
    if (more < 0 || result) {
        result = more < 0 ? more : result;
        tell_failed(loop, cell, "cgroup", -result, strerror(-result));
        for (int i = 0; i < CELL_READY_FDS - 1 + (more < 0 ? 0 : more); i++) {
            close_fd(&all[i]);
        }
        cells_kill(loop, cell);
        return;
    }
    cell->state = CELL_WAITING;
    message_begin(&message, OP_READY, cell->id);
    message_u32(&message, cell->slot);
    message_u32(&message, (uint32_t)cell->init.pid);
    tell(loop, &message, all, (size_t)(CELL_READY_FDS - 1 + more));
}

void cells_news(struct loop *loop, struct cell *cell)
{
    while (cell->socket >= 0) {
        struct cell_news news;
        int fds[CELL_READY_FDS];
        size_t count = 0;
        ssize_t got = receive_packet(cell->socket, &news, sizeof news, fds, CELL_READY_FDS, &count);
        if (got != (ssize_t)sizeof news) {
            if (got != -EAGAIN) {
                loop_unwatch(loop, cell->socket); // its death is heard by SIGCHLD
            }
            return;
        }
        if (news.kind == CELL_READY && count == CELL_READY_FDS && cell->state == CELL_MAKING) {
            ready(loop, cell, fds);
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            close(fds[i]);
        }
        if (news.kind == CELL_FAILED && !cell->failed) {
            news.phase[sizeof news.phase - 1] = 0;
            news.message[sizeof news.message - 1] = 0;
            tell_failed(loop, cell, news.phase, news.error, news.message);
        } else if (news.kind == CELL_EXITED && !cell->told_end && !cell->failed) {
            tell_exited(loop, cell, news.code, news.signal);
        }
    }
}
