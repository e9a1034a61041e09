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
#include <sys/wait.h>
#include <unistd.h>

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
    cgroup_thaw(&loop->launcher->cgroups, cell->path, cell->snapshot);
    cell->state = CELL_DYING;
    // Whoever freezes it again meanwhile keeps it from dying: look again until it has.
    cell->remove_ms = monotonic_ms() + REMOVE_RETRY_MS;
    timed_set(loop, cell, true);
}

void cells_try_remove(struct loop *loop, struct cell *cell)
{
    char trouble[128];
    int result = cell->started && spare_keep(loop, cell) ? 0 : cgroup_remove(&loop->launcher->cgroups, cell->path);
    if (result == -EBUSY && ++cell->attempts < REMOVE_ATTEMPTS) {
        cell->remove_ms = monotonic_ms() + (cell->attempts < 5 ? 1 : REMOVE_RETRY_MS);
        timed_set(loop, cell, true);
        return;
    }
    for (size_t i = 0; i < sizeof cell->worker_ends / sizeof *cell->worker_ends; i++) {
        close_fd(&cell->worker_ends[i]);
    }
    snprintf(trouble, sizeof trouble, "cgroup %.80s is left: %.30s", cell->path, strerror(-result));
    timed_set(loop, cell, false);
    slot_leave(loop, cell->slot);
    tenant_leave(loop, cell->tenant); // what was kept goes with the last cell, before that is told to be gone
    tell_gone(loop, cell->id, result ? trouble : NULL);
    struct cell **at = cells_find(loop, cell->id);
    *at = cell->next;
    cell->next = loop->dead; // events of this round may still point here
    loop->dead = cell;
}

static void tell_guest_end(struct loop *loop, struct cell *cell, int status)
{
    tell_exited(loop, cell, WIFEXITED(status) ? (uint32_t)WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
}

void cells_end_orphaned(struct loop *loop, struct cell *cell)
{
    if (!cell->told_end && !cell->failed) {
        tell_guest_end(loop, cell, cell->template_status);
    }
    cells_kill(loop, cell);
}

// A fork may kill its template and still answer; were the cell to end at once, its answer would race with that. Not for what the kernel killed for want of memory.
static bool fork_runs_on(const struct cell *cell)
{
    return cell->state == CELL_RUNNING && cell->fork && !cell->renewing && !cell->told_end && !cell->failed && !memory_watch_killed(&cell->memory);
}

static void guest_ended(struct loop *loop, void *owner, int status)
{
    struct cell *cell = owner;
    cells_news(loop, cell); // a fork of it may have ended before
    if (fork_runs_on(cell)) {
        cell->orphaned = true;
        cell->template_status = status;
        return;
    }
    if (cell->started && !cell->told_end && !cell->failed) {
        tell_guest_end(loop, cell, status);
    } else if ((cell->state == CELL_MAKING || cell->state == CELL_WAITING) && !cell->failed) {
        tell_failed(loop, cell, "guest", 0, cell->state == CELL_MAKING ? "the forked guest ended before it was ready" : "the forked guest ended before it was started");
    }
    cells_kill(loop, cell);
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
    zygotes_leave(loop, cell);
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
        const struct cell_birth birth = {.cell = cell->id, .slot = cell->slot, .template = loop->launcher->template, .tenant = cell->tenant->name, .path = cell->path, .kept = cell->group != cell->id,
                                         .cgroups = &loop->launcher->cgroups, .filter = &loop->launcher->filter, .snapshot_filter = &loop->launcher->snapshot_filter, .socket = pair[1],
                                         .forked = cell->zygote != 0, .wires = cell->egress ? loop->launcher->egress.wires : -1};
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

static void refuse_making(struct loop *loop, uint32_t id, const char *phase, int error, const char *text)
{
    struct cell refused = {.id = id};
    tell_failed(loop, &refused, phase, error, text);
    tell_gone(loop, id, NULL);
}

void cells_make(struct loop *loop, const struct request *request)
{
    const uint32_t id = request->cell;
    const struct make_request *make = &request->make;
    if (!control_plain_name(make->tenant, TENANT_MAX)) {
        refuse_making(loop, id, "tenant", EINVAL, "not a tenant's name: 1 to 64 letters, digits, '.', '_', '-'");
        return;
    }
    if (make->network > NETWORK_EGRESS || (make->network == NETWORK_EGRESS && !loop->launcher->egress.ready)) {
        refuse_making(loop, id, "network", ENOTSUP, "this host gives cells no network; HELLO says why");
        return;
    }
    if (make->zygote && !zygotes_usable(loop, make->zygote)) {
        refuse_making(loop, id, "zygote", ESRCH, "the zygote is not ready, or gone");
        return;
    }
    struct cell *cell = calloc(1, sizeof *cell);
    struct tenant *owner = cell ? tenant_take(loop, make->tenant) : NULL;
    uid_t slot = owner ? slot_take(loop) : 0;
    if (slot == 0) {
        refuse_making(loop, id, "slot", EAGAIN, owner ? "every uid of the range is taken" : "out of memory");
        if (owner) {
            tenant_leave(loop, owner);
        }
        free(cell);
        return;
    }
    cell->id = id;
    cell->made_us = monotonic_us();
    cell->slot = slot;
    cell->tenant = owner;
    cell->socket = -1;
    cell->zygote = make->zygote;
    cell->egress = make->network == NETWORK_EGRESS;
    cell->init = (struct child){.owner = cell, .ended = init_ended};
    cell->guest = (struct child){.owner = cell, .ended = guest_ended};
    memset(cell->worker_ends, 0xff, sizeof cell->worker_ends);
    memset(cell->guest_ends, 0xff, sizeof cell->guest_ends);
    cell->from_cell = (struct source){FROM_CELL, cell};
    cell->from_memory = (struct source){FROM_MEMORY, cell};
    cell->from_killed = (struct source){FROM_KILLED, cell};
    memory_watch_init(&cell->memory);
    cell->group = spare_take(owner);
    cell->group = cell->group ? cell->group : id;
    cgroup_cell_path(cell->path, owner->name, cell->group);
    struct cell **bucket = &loop->buckets[id % BUCKETS];
    cell->next = *bucket;
    *bucket = cell;
    if (!clone_cell(loop, cell)) {
        cell->state = CELL_REMOVING;
        cells_try_remove(loop, cell);
    }
}

void cells_ready(struct loop *loop, struct cell *cell)
{
    struct message message;
    int all[CELL_READY_FDS - 1 + 3], *ends = cell->worker_ends;
    int more = cgroup_descriptors(&loop->launcher->cgroups, cell->path, all + CELL_READY_FDS - 1);
    if (more < 0) {
        cells_refuse(loop, cell, "cgroup", -more, strerror(-more));
        return;
    }
    for (size_t i = 0; i < CELL_READY_FDS - 1; i++) {
        all[i] = ends[i];
        ends[i] = -1; // the message's now
    }
    const int64_t now = monotonic_us();
    cell->state = CELL_WAITING;
    message_begin(&message, OP_READY, cell->id);
    message_u32(&message, cell->slot);
    message_u32(&message, (uint32_t)cell->init.pid);
    message_u32(&message, cell->address);
    message_u32(&message, (uint32_t)(cell->up_us - cell->made_us));
    message_u32(&message, cell->zygote ? (uint32_t)(cell->forked_us - cell->up_us) : 0);
    message_u32(&message, cell->zygote ? (uint32_t)(now - cell->forked_us) : 0);
    tell(loop, &message, all, (size_t)(CELL_READY_FDS - 1 + more));
}

// PID 1 is up: the memory's watch can begin, and the guest be forked.
static void init_ready(struct loop *loop, struct cell *cell, const int *fds)
{
    cell->up_us = monotonic_us();
    memcpy(cell->worker_ends, fds, sizeof cell->worker_ends);
    if (cell->zygote) {
        memcpy(cell->guest_ends, fds + CELL_READY_FDS, sizeof cell->guest_ends);
    }
    memory_watch_place(&cell->memory, &loop->launcher->cgroups, cell->id, cell->path, fds[CELL_READY_FDS - 1], loop->registrar);
    int result = cell->memory.on && cell->memory.v2 ? memory_begin(loop, cell) : 0;
    if (result) {
        cells_refuse(loop, cell, "cgroup", -result, strerror(-result));
    } else if (cell->zygote) {
        zygotes_fork(loop, cell);
    } else {
        cells_ready(loop, cell);
    }
}

static void fork_news(struct loop *loop, struct cell *cell, const struct cell_news *news, int *fds)
{
    if (news->kind == CELL_FORK_EXITED) {
        tell_fork_exited(loop, cell, news->code, news->signal);
        if (cell->orphaned) {
            cells_end_orphaned(loop, cell);
        }
        return;
    }
    memory_watch_fork(&cell->memory, fds[CELL_READY_FDS - 1]);
    cell->fork = news->number;
    cell->renewing = false;
    tell_forked(loop, cell, fds);
    memory_check(loop, cell);
}

void cells_news(struct loop *loop, struct cell *cell)
{
    while (cell->socket >= 0) {
        union {
            struct cell_news one;
            struct cell_unsafe unsafe;
        } packet;
        const bool live = !cell->told_end && !cell->failed;
        int fds[CELL_READY_FDS + CELL_GUEST_FDS];
        size_t count = 0;
        ssize_t got = receive_packet(cell->socket, &packet, sizeof packet, fds, CELL_READY_FDS + CELL_GUEST_FDS, &count);
        struct cell_news news = packet.one;
        if (got == (ssize_t)sizeof packet.unsafe && news.kind == CELL_UNSAFE) {
            if (live) {
                tell_unsafe(loop, cell, &packet.unsafe.findings);
            }
            continue;
        }
        if (got != (ssize_t)sizeof news) {
            if (got != -EAGAIN) {
                loop_unwatch(loop, cell->socket); // its death is heard by SIGCHLD
            }
            return;
        }
        if (news.kind == CELL_READY && count == CELL_READY_FDS + (cell->zygote ? CELL_GUEST_FDS : 0) && cell->state == CELL_MAKING) {
            cell->address = news.number;
            init_ready(loop, cell, fds);
            continue;
        }
        if (live && ((news.kind == CELL_FORKED && count == CELL_READY_FDS) || (news.kind == CELL_FORK_EXITED && news.number == cell->fork && cell->fork))) {
            fork_news(loop, cell, &news, fds);
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
