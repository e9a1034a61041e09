#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell.h"
#include "launcher.h"
#include "memory.h"
#include "outbox.h"
#include "registrar.h"
#include "root.h"
#include "util.h"

enum { BUCKETS = 1024, REMOVE_ATTEMPTS = 200, REMOVE_RETRY_MS = 10, SLOT_FIRST = 1000, SLOT_NOBODY = 65534, MEGABYTES_MAX = 1 << 20 };

enum source_kind { FROM_REGISTRAR, FROM_WORKER, FROM_LIFE, FROM_SIGNAL, FROM_CELL, FROM_MEMORY, FROM_KILLED };

struct cell;
struct source {
    enum source_kind kind;
    struct cell *cell;
};

enum cell_state {
    CELL_MAKING,
    CELL_WAITING, // ready, no guest
    CELL_RUNNING,
    CELL_DYING,   // PID 1 has been killed, or has said that it ends
    CELL_REMOVING // PID 1 is gone; its cgroups may not be
};

struct cell {
    struct cell *next;                // in its bucket, or among the dead
    struct cell *timed_next, **timed; // while it waits for a time
    uint32_t id;
    enum cell_state state;
    pid_t pid;
    uid_t slot;
    struct tenant *tenant;
    char path[CELL_PATH_MAX];
    int socket;
    bool started, told_end, failed, memory_hit;
    struct memory_watch memory;
    unsigned attempts;
    int64_t remove_ms;
    struct source from_cell, from_memory, from_killed;
};

struct tenant {
    struct tenant *next;
    uint32_t cells;
    char name[TENANT_MAX + 1];
};

struct loop {
    struct launcher *launcher;
    int epoll, signals, registrar;
    struct outbox outbox;
    bool stop;
    struct source from_worker, from_life, from_signal, from_registrar;
    struct cell *buckets[BUCKETS], *timed, *dead;
    struct tenant *tenants;
    uint8_t *slots; // whether each is taken
    uint32_t next_slot;
    uint8_t message[MESSAGE_MAX];
};

// ---- small parts ----

static int watch(struct loop *loop, int fd, uint32_t events, struct source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static void unwatch(struct loop *loop, int fd)
{
    // A copy of the descriptor may live on for a moment in a process just cloned, so closing alone would not end the watch.
    if (fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL) && errno != ENOENT) {
        diag("epoll: %s", strerror(errno));
    }
}

static void tell(struct loop *loop, const struct message *message, int *fds, size_t count)
{
    int result = outbox_send(&loop->outbox, message, fds, count);
    if (result == -EAGAIN) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &loop->from_worker};
        result = epoll_ctl(loop->epoll, EPOLL_CTL_MOD, loop->outbox.socket, &event) ? -errno : 0;
    }
    if (result) {
        loop->stop = true;
    }
}

static void tell_failed(struct loop *loop, struct cell *cell, const char *phase, int error, const char *text)
{
    struct message message;
    cell->failed = true;
    message_begin(&message, OP_FAILED, cell->id);
    message_text(&message, phase);
    message_u32(&message, (uint32_t)error);
    message_text(&message, text);
    tell(loop, &message, NULL, 0);
}

static void tell_exited(struct loop *loop, struct cell *cell, uint32_t code, uint32_t signal)
{
    struct message message;
    cell->told_end = true;
    message_begin(&message, OP_EXITED, cell->id);
    message_u32(&message, code);
    message_u32(&message, signal);
    message_u32(&message, cell->memory_hit || memory_watch_killed(&cell->memory) ? EXITED_MEMORY_LIMIT : 0);
    tell(loop, &message, NULL, 0);
}

static void tell_gone(struct loop *loop, uint32_t id, const char *trouble)
{
    struct message message;
    message_begin(&message, OP_GONE, id);
    message_u32(&message, trouble ? 0 : 1);
    if (trouble) {
        message_text(&message, trouble);
    }
    tell(loop, &message, NULL, 0);
}

static void set_timed(struct loop *loop, struct cell *cell, bool on)
{
    if (on == (cell->timed != NULL)) {
        return;
    }
    if (on) {
        cell->timed = &loop->timed;
        cell->timed_next = loop->timed;
        if (loop->timed) {
            loop->timed->timed = &cell->timed_next;
        }
        loop->timed = cell;
    } else {
        *cell->timed = cell->timed_next;
        if (cell->timed_next) {
            cell->timed_next->timed = cell->timed;
        }
        cell->timed = NULL;
    }
}

static struct cell **find(struct loop *loop, uint32_t id)
{
    struct cell **at = &loop->buckets[id % BUCKETS];
    while (*at && (*at)->id != id) {
        at = &(*at)->next;
    }
    return at;
}

static uid_t take_slot(struct loop *loop)
{
    struct launcher *launcher = loop->launcher;
    if (launcher->mode == MODE_SINGLE_UID) {
        return SLOT_FIRST; // the one that the namespace has
    }
    uint32_t first = launcher->uid_count > 2 * SLOT_FIRST ? SLOT_FIRST : 1;
    for (uint32_t tried = 0; tried < launcher->uid_count; tried++) {
        uint32_t slot = loop->next_slot++;
        if (loop->next_slot >= launcher->uid_count) {
            loop->next_slot = first;
        }
        if (slot >= first && slot < launcher->uid_count && slot != SLOT_NOBODY && !loop->slots[slot]) {
            loop->slots[slot] = 1;
            return slot;
        }
    }
    return 0;
}

static struct tenant *take_tenant(struct loop *loop, struct text name)
{
    struct tenant *tenant = loop->tenants;
    while (tenant && (strlen(tenant->name) != name.length || memcmp(tenant->name, name.data, name.length) != 0)) {
        tenant = tenant->next;
    }
    if (!tenant && (tenant = calloc(1, sizeof *tenant))) {
        memcpy(tenant->name, name.data, name.length);
        tenant->next = loop->tenants;
        loop->tenants = tenant;
    }
    if (tenant) {
        tenant->cells++;
    }
    return tenant;
}

static void leave_tenant(struct loop *loop, struct tenant *tenant)
{
    if (--tenant->cells > 0) {
        return;
    }
    int result = cgroup_remove(&loop->launcher->cgroups, tenant->name);
    if (result && result != -EBUSY) { // busy: a cell whose cgroup could not be removed is still there
        diag("cannot remove cgroup %s: %s", tenant->name, strerror(-result));
    }
    struct tenant **at = &loop->tenants;
    while (*at != tenant) {
        at = &(*at)->next;
    }
    *at = tenant->next;
    free(tenant);
}

// ---- the end of a cell ----

static void kill_cell(struct loop *loop, struct cell *cell)
{
    if (cell->state == CELL_REMOVING) {
        return;
    }
    if (cell->pid > 0 && kill(cell->pid, SIGKILL)) {
        diag("cannot kill cell %u: %s", cell->id, strerror(errno));
    }
    cgroup_thaw(&loop->launcher->cgroups, cell->path);
    cell->state = CELL_DYING;
    // Whoever freezes it again meanwhile keeps it from dying: look again until it has.
    cell->remove_ms = monotonic_ms() + REMOVE_RETRY_MS;
    set_timed(loop, cell, true);
}

static void try_remove(struct loop *loop, struct cell *cell)
{
    char trouble[128];
    int result = cgroup_remove(&loop->launcher->cgroups, cell->path);
    if (result == -EBUSY && ++cell->attempts < REMOVE_ATTEMPTS) {
        cell->remove_ms = monotonic_ms() + (cell->attempts < 5 ? 1 : REMOVE_RETRY_MS);
        set_timed(loop, cell, true);
        return;
    }
    snprintf(trouble, sizeof trouble, "cgroup %.80s is left: %.30s", cell->path, strerror(-result));
    set_timed(loop, cell, false);
    tell_gone(loop, cell->id, result ? trouble : NULL);
    if (loop->launcher->mode != MODE_SINGLE_UID) {
        loop->slots[cell->slot] = 0;
    }
    leave_tenant(loop, cell->tenant);
    struct cell **at = find(loop, cell->id);
    *at = cell->next;
    cell->next = loop->dead; // events of this round may still point here
    loop->dead = cell;
}

static void read_news(struct loop *loop, struct cell *cell);

static void reaped(struct loop *loop, struct cell *cell)
{
    cell->pid = 0; // no longer ours: the kernel may give it to another
    if (cell->socket >= 0) {
        read_news(loop, cell);
    }
    if (cell->started && !cell->told_end && !cell->failed) {
        tell_exited(loop, cell, 0, SIGKILL); // nothing else ends a PID 1 unheard
    } else if (cell->state == CELL_MAKING && !cell->failed) {
        tell_failed(loop, cell, "cell", 0, "the cell's PID 1 ended before it was ready");
    }
    cell->state = CELL_REMOVING;
    unwatch(loop, cell->socket);
    unwatch(loop, cell->memory.crossed);
    unwatch(loop, cell->memory.killed);
    close_fd(&cell->socket);
    memory_watch_close(&cell->memory);
    try_remove(loop, cell);
}

static void reap_all(struct loop *loop)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct cell *found = NULL;
        for (size_t i = 0; i < BUCKETS && !found; i++) {
            for (found = loop->buckets[i]; found && (found->pid != pid || found->state == CELL_REMOVING);) {
                found = found->next;
            }
        }
        if (found) {
            reaped(loop, found);
        }
    }
}

// ---- making ----

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
    cell->pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (cell->pid == 0) {
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
    if (cell->pid < 0) {
        tell_failed(loop, cell, "clone", error, strerror(error));
        close_fd(&cell->socket);
        return false;
    }
    result = watch(loop, cell->socket, EPOLLIN, &cell->from_cell);
    if (result) {
        tell_failed(loop, cell, "epoll", -result, strerror(-result));
        kill_cell(loop, cell);
    }
    return true;
}

static void make(struct loop *loop, uint32_t id, struct text tenant)
{
    struct cell *cell = calloc(1, sizeof *cell);
    struct cell refused = {.id = id};
    struct tenant *owner = control_plain_name(tenant, TENANT_MAX) ? take_tenant(loop, tenant) : NULL;
    uid_t slot = cell && owner ? take_slot(loop) : 0;
    if (!cell || !owner || slot == 0) {
        tell_failed(loop, &refused, !owner ? "tenant" : "slot", !owner ? EINVAL : EAGAIN,
                    !owner ? "not a tenant's name: 1 to 64 letters, digits, '.', '_', '-'" : "every uid of the range is taken");
        tell_gone(loop, id, NULL);
        if (owner) {
            leave_tenant(loop, owner);
        }
        free(cell);
        return;
    }
    cell->id = id;
    cell->slot = slot;
    cell->tenant = owner;
    cell->socket = -1;
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
        try_remove(loop, cell);
    }
}

static void ready(struct loop *loop, struct cell *cell, int *fds)
{
    struct message message;
    int all[CELL_READY_FDS - 1 + 3] = {fds[0], fds[1], fds[2]};
    int more = cgroup_descriptors(&loop->launcher->cgroups, cell->path, all + CELL_READY_FDS - 1);
    int result = memory_watch_open(&cell->memory, &loop->launcher->cgroups, cell->id, cell->path, fds[CELL_READY_FDS - 1], loop->registrar);
    if (!result && cell->memory.crossed >= 0) {
        result = watch(loop, cell->memory.crossed, EPOLLIN, &cell->from_memory);
    }
    if (!result && cell->memory.killed >= 0) {
        result = watch(loop, cell->memory.killed, cell->memory.v2 ? EPOLLPRI : EPOLLIN, &cell->from_killed);
    }
    if (more < 0 || result) {
        result = more < 0 ? more : result;
        tell_failed(loop, cell, "cgroup", -result, strerror(-result));
        for (int i = 0; i < CELL_READY_FDS - 1 + (more < 0 ? 0 : more); i++) {
            close_fd(&all[i]);
        }
        kill_cell(loop, cell);
        return;
    }
    cell->state = CELL_WAITING;
    message_begin(&message, OP_READY, cell->id);
    message_u32(&message, cell->slot);
    message_u32(&message, (uint32_t)cell->pid);
    tell(loop, &message, all, (size_t)(CELL_READY_FDS - 1 + more));
}

// ---- what PID 1 says ----

static void read_news(struct loop *loop, struct cell *cell)
{
    for (;;) {
        struct cell_news news;
        int fds[CELL_READY_FDS];
        size_t count = 0;
        ssize_t got = receive_packet(cell->socket, &news, sizeof news, fds, CELL_READY_FDS, &count);
        if (got != (ssize_t)sizeof news) {
            if (got != -EAGAIN) {
                unwatch(loop, cell->socket); // its death is heard by SIGCHLD
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

// ---- starting ----

static const char *check_limits(const struct start_request *start)
{
    if (start->memory_mb < 1 || start->memory_mb > MEGABYTES_MAX) {
        return "memoryMb: 1 to 1048576";
    }
    if (start->tmp_mb > MEGABYTES_MAX) {
        return "tmpMb: 0 to 1048576";
    }
    if (start->pids_max < 1 || start->pids_max > 1 << 22) {
        return "pidsMax: 1 to 4194304";
    }
    if (start->cpu_weight < 1 || start->cpu_weight > 10000) {
        return "cpuWeight: 1 to 10000";
    }
    if (start->cpu_quota_milli > 1000000) {
        return "cpuQuotaMilli: 0 to 1000000";
    }
    if (start->max_files < 8 || start->max_files > 1 << 20) {
        return "maxFiles: 8 to 1048576";
    }
    if (start->cwd.length == 0 || start->cwd.data[0] != '/') {
        return "cwd: an absolute path";
    }
    return start->arguments.count == 0 ? "argv: at least the program" : NULL;
}

static void refuse(struct loop *loop, struct cell *cell, const char *phase, int error, const char *text)
{
    tell_failed(loop, cell, phase, error, text);
    kill_cell(loop, cell);
}

static void start(struct loop *loop, struct cell *cell, const struct start_request *request, size_t length)
{
    char name[CODE_NAME_MAX + 1];
    if (cell->state != CELL_WAITING) {
        if (cell->state == CELL_MAKING || cell->state == CELL_RUNNING) {
            refuse(loop, cell, "start", EALREADY, cell->state == CELL_MAKING ? "START before READY" : "a cell is started once");
        }
        return; // dying already: the worker's message crossed ours
    }
    const char *wrong = check_limits(request);
    if (wrong) {
        refuse(loop, cell, "limits", EINVAL, wrong);
        return;
    }
    if (!control_path_component(request->code)) {
        refuse(loop, cell, "code", EINVAL, "the code's name is one path component");
        return;
    }
    memcpy(name, request->code.data, request->code.length);
    name[request->code.length] = 0;
    int code = root_open_code(name);
    if (code < 0) {
        refuse(loop, cell, "code", -code, strerror(-code));
        return;
    }
    int result = cgroup_limit(&loop->launcher->cgroups, cell->path, request);
    if (!result) {
        result = memory_watch_start(&cell->memory, request->memory_mb, monotonic_ms());
    }
    if (result) {
        close(code);
        refuse(loop, cell, "cgroup", -result, strerror(-result));
        return;
    }
    cell->started = true;
    cell->state = CELL_RUNNING;
    set_timed(loop, cell, cell->memory.next_check_ms != 0);
    result = send_packet(cell->socket, loop->message, length, &code, 1);
    close(code);
    if (result && result != -EPIPE) { // a broken pipe: PID 1 is dead, and SIGCHLD on its way
        refuse(loop, cell, "start", -result, strerror(-result));
    }
}

static bool serve_worker(struct loop *loop)
{
    int none[1];
    size_t count;
    for (;;) {
        struct request request;
        ssize_t length = receive_packet(loop->outbox.socket, loop->message, sizeof loop->message, none, 0, &count);
        if (length == -EAGAIN) {
            return true;
        }
        if (length <= 0) {
            if (length < 0) {
                diag("reading from the worker: %s", strerror((int)-length));
            }
            return false;
        }
        if (!control_parse(loop->message, (size_t)length, &request)) {
            diag("a message of %zd bytes from the worker does not parse", length);
            return false;
        }
        struct cell *cell = *find(loop, request.cell);
        if (request.op == OP_MAKE) {
            if (cell) {
                diag("the worker used cell id %u again", request.cell);
                return false;
            }
            make(loop, request.cell, request.tenant);
        } else if (cell && request.op == OP_START) {
            start(loop, cell, &request.start, (size_t)length);
            explicit_bzero(loop->message, (size_t)length); // cells made later begin as copies of this process
        } else if (cell) {
            kill_cell(loop, cell);
        }
    }
}

// ---- memory and time ----

static void check_memory(struct loop *loop, struct cell *cell)
{
    if (cell->state != CELL_RUNNING) {
        return;
    }
    if (memory_watch_check(&cell->memory, monotonic_ms()) == MEMORY_EXCEEDED) {
        cell->memory_hit = true;
        kill_cell(loop, cell);
        return;
    }
    set_timed(loop, cell, cell->memory.next_check_ms != 0);
}

static void memory_event(struct loop *loop, struct cell *cell)
{
    char ignored[1024];
    if (cell->memory.killed < 0) {
        return;
    }
    // Reading is what lets the next event be seen.
    ssize_t got = cell->memory.v2 ? pread(cell->memory.killed, ignored, sizeof ignored, 0) : read(cell->memory.killed, ignored, 8);
    if (got < 0 && errno != EAGAIN) {
        diag("memory events of cell %u: %s", cell->id, strerror(errno));
    }
    // The kernel may have killed one process of many; what is left of such a guest is not worth having.
    if (memory_watch_killed(&cell->memory)) {
        cell->memory_hit = true;
        if (cell->state == CELL_RUNNING) {
            kill_cell(loop, cell);
        }
    } else {
        check_memory(loop, cell);
    }
}

static void registrar_event(struct loop *loop)
{
    struct registrar_answer answer;
    while (registrar_answered(loop->registrar, &answer)) {
        struct cell *cell = *find(loop, answer.cell);
        if (cell && cell->state == CELL_RUNNING) {
            memory_watch_armed(&cell->memory, answer.result);
            check_memory(loop, cell); // what was crossed before it was armed is not told
        }
    }
}

static int next_timeout(const struct loop *loop)
{
    int64_t next = INT64_MAX;
    for (const struct cell *cell = loop->timed; cell; cell = cell->timed_next) {
        int64_t at = cell->state == CELL_RUNNING ? cell->memory.next_check_ms : cell->remove_ms;
        next = at < next ? at : next;
    }
    if (next == INT64_MAX) {
        return -1;
    }
    int64_t left = next - monotonic_ms();
    return left < 0 ? 0 : left > 1000 ? 1000 : (int)left;
}

static void run_timed(struct loop *loop)
{
    int64_t now = monotonic_ms();
    for (struct cell *cell = loop->timed, *next; cell; cell = next) {
        next = cell->timed_next;
        if (cell->state == CELL_RUNNING && cell->memory.next_check_ms <= now) {
            check_memory(loop, cell);
        } else if (cell->state == CELL_DYING && cell->remove_ms <= now) {
            cgroup_thaw(&loop->launcher->cgroups, cell->path);
            cell->remove_ms = now + REMOVE_RETRY_MS;
        } else if (cell->state == CELL_REMOVING && cell->remove_ms <= now) {
            try_remove(loop, cell);
        }
    }
}

// ---- the loop ----

static void handle(struct loop *loop, const struct epoll_event *event)
{
    struct source *source = event->data.ptr;
    struct signalfd_siginfo signals[16];
    switch (source->kind) {
    case FROM_LIFE:
        loop->stop = true;
        break;
    case FROM_SIGNAL:
        while (read(loop->signals, signals, sizeof signals) > 0) {
        }
        reap_all(loop);
        break;
    case FROM_WORKER:
        if (event->events & EPOLLOUT) {
            int result = outbox_flush(&loop->outbox);
            struct epoll_event quiet = {.events = EPOLLIN, .data.ptr = &loop->from_worker};
            if (result == 0) {
                result = epoll_ctl(loop->epoll, EPOLL_CTL_MOD, loop->outbox.socket, &quiet) ? -errno : 0;
            }
            loop->stop |= result != 0 && result != -EAGAIN;
        }
        if (event->events & ~(uint32_t)EPOLLOUT && !serve_worker(loop)) {
            loop->stop = true;
        }
        break;
    case FROM_REGISTRAR:
        if (event->events & (EPOLLHUP | EPOLLERR)) {
            diag("the registrar is gone"); // memory could no longer be watched: better none than unlimited ones
            loop->stop = true;
        }
        registrar_event(loop);
        break;
    case FROM_CELL:
        if (source->cell->socket >= 0) {
            read_news(loop, source->cell);
        }
        break;
    case FROM_MEMORY:
        check_memory(loop, source->cell);
        break;
    case FROM_KILLED:
        memory_event(loop, source->cell);
        break;
    }
}

static void bury(struct loop *loop)
{
    while (loop->dead) {
        struct cell *cell = loop->dead;
        loop->dead = cell->next;
        free(cell);
    }
}

static void kill_all(struct loop *loop)
{
    // Everything dies with this process too, PID 1 of its namespace; but not what v1's freezer holds.
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct cell *cell = loop->buckets[i]; cell; cell = cell->next) {
            kill_cell(loop, cell);
        }
    }
    loop->outbox.first = NULL; // nobody is there to read it; the process ends
    for (int64_t until = monotonic_ms() + 5000; monotonic_ms() < until;) {
        bool left = false;
        reap_all(loop);
        run_timed(loop);
        bury(loop);
        for (size_t i = 0; i < BUCKETS; i++) {
            left |= loop->buckets[i] != NULL;
        }
        if (!left) {
            return;
        }
        struct epoll_event event;
        epoll_wait(loop->epoll, &event, 1, 2);
    }
    diag("not every cell could be removed");
}

static int begin(struct loop *loop)
{
    struct launcher *launcher = loop->launcher;
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->slots = calloc(launcher->uid_count > 0 ? launcher->uid_count : 1, 1);
    if (loop->epoll < 0 || !loop->slots || sigprocmask(SIG_BLOCK, &mask, NULL)) {
        return -errno;
    }
    loop->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (loop->signals < 0) {
        return -errno;
    }
    loop->from_worker.kind = FROM_WORKER;
    loop->from_life.kind = FROM_LIFE;
    loop->from_signal.kind = FROM_SIGNAL;
    loop->from_registrar.kind = FROM_REGISTRAR;
    int result = watch(loop, launcher->control, EPOLLIN, &loop->from_worker);
    if (!result) {
        result = watch(loop, launcher->life, EPOLLIN, &loop->from_life);
    }
    if (!result) {
        result = watch(loop, loop->signals, EPOLLIN, &loop->from_signal);
    }
    loop->registrar = -1;
    int dir;
    bool v2;
    if (!result && cgroup_serves(&launcher->cgroups, CG_MEMORY, &dir, &v2) && !v2) {
        loop->registrar = registrar_start();
        result = loop->registrar < 0 ? loop->registrar : watch(loop, loop->registrar, EPOLLIN, &loop->from_registrar);
    }
    return result;
}

static void tell_hello(struct loop *loop)
{
    struct message message;
    char json[sizeof message.data - 16];
    if (!hello_json(loop->launcher, json, sizeof json)) {
        diag("HELLO does not fit its message");
        loop->stop = true;
        return;
    }
    message_begin(&message, OP_HELLO, 0);
    message_text(&message, json);
    tell(loop, &message, NULL, 0);
}

int loop_run(struct launcher *launcher)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop) {
        return 1;
    }
    loop->launcher = launcher;
    loop->outbox.socket = launcher->control;
    int result = begin(loop);
    if (result) {
        diag("cannot begin: %s", strerror(-result));
        return 1;
    }
    tell_hello(loop);
    while (!loop->stop) {
        struct epoll_event events[64];
        int count = epoll_wait(loop->epoll, events, 64, next_timeout(loop));
        if (count < 0 && errno != EINTR) {
            diag("epoll_wait: %s", strerror(errno));
            break;
        }
        for (int i = 0; i < count && !loop->stop; i++) {
            handle(loop, &events[i]);
        }
        run_timed(loop);
        bury(loop);
    }
    kill_all(loop);
    return 0;
}
