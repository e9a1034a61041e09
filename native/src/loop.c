#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loop.h"
#include "registrar.h"

int loop_watch(struct loop *loop, int fd, uint32_t events, struct source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void loop_unwatch(struct loop *loop, int fd)
{
    // A copy of the descriptor may live on for a moment in a process just cloned, so closing alone would not end the watch.
    if (fd >= 0 && epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL) && errno != ENOENT) {
        diag("epoll: %s", strerror(errno));
    }
}

static bool serve_one(struct loop *loop, const struct request *request, size_t length)
{
    struct cell *cell = *cells_find(loop, request->cell);
    struct zygote *zygote = zygotes_find(loop, request->cell);
    switch (request->op) {
    case OP_MAKE:
    case OP_ZYGOTE:
        if (cell || zygote) {
            diag("the worker used id %u again", request->cell);
            return false;
        }
        if (request->op == OP_MAKE) {
            cells_make(loop, request);
        } else {
            zygotes_make(loop, request);
        }
        break;
    case OP_START:
        if (cell) {
            cells_start(loop, cell, &request->start, length);
        }
        explicit_bzero(loop->message, length); // cells made later begin as copies of this process
        break;
    case OP_RETIRE:
        if (zygote) {
            zygotes_retire(loop, zygote);
        }
        break;
    case OP_SNAPSHOT:
    case OP_RENEW:
        if (cell) {
            cells_pass_on(loop, cell, request->op, length);
        }
        break;
    default:
        if (cell) {
            cells_kill(loop, cell);
        }
        break;
    }
    return true;
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
        if (!serve_one(loop, &request, (size_t)length)) {
            return false;
        }
    }
}

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
        children_reap(loop);
        break;
    case FROM_WORKER:
        if (event->events & EPOLLOUT) {
            int result;
            while ((result = outbox_flush(&loop->outbox)) == -ETOOMANYREFS) {
                tell_lost(loop, outbox_drop(&loop->outbox));
            }
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
    case FROM_WARDEN:
        diag("the network's warden is gone"); // the rules could no longer follow the host's addresses: better none than stale ones
        loop->stop = true;
        break;
    case FROM_CELL:
        cells_news(loop, source->owner);
        break;
    case FROM_MEMORY:
        memory_check(loop, source->owner);
        break;
    case FROM_KILLED:
        memory_event(loop, source->owner);
        break;
    case FROM_ZYGOTE:
        zygotes_news(loop, source->owner);
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
    while (loop->dead_zygotes) {
        struct zygote *zygote = loop->dead_zygotes;
        loop->dead_zygotes = zygote->next;
        free(zygote);
    }
}

static void kill_all(struct loop *loop)
{
    // Everything dies with this process too, PID 1 of its namespace; but not what v1's freezer holds.
    for (struct zygote *zygote = loop->zygotes; zygote; zygote = zygote->next) {
        zygotes_retire(loop, zygote);
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct cell *cell = loop->buckets[i]; cell; cell = cell->next) {
            cells_kill(loop, cell);
        }
    }
    loop->outbox.first = NULL; // nobody is there to read it; the process ends
    for (int64_t until = monotonic_ms() + 5000; monotonic_ms() < until;) {
        bool left = false;
        children_reap(loop);
        timed_run(loop);
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
    if (loop->epoll < 0 || slots_begin(loop) || sigprocmask(SIG_BLOCK, &mask, NULL)) {
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
    loop->from_warden.kind = FROM_WARDEN;
    int result = loop_watch(loop, launcher->control, EPOLLIN, &loop->from_worker);
    if (!result) {
        result = loop_watch(loop, launcher->life, EPOLLIN, &loop->from_life);
    }
    if (!result) {
        result = loop_watch(loop, loop->signals, EPOLLIN, &loop->from_signal);
    }
    if (!result && launcher->egress.ready) {
        result = loop_watch(loop, launcher->egress.wires, 0, &loop->from_warden); // its end alone
    }
    loop->registrar = -1;
    int dir;
    bool v2;
    if (!result && cgroup_serves(&launcher->cgroups, CG_MEMORY, &dir, &v2) && !v2) {
        loop->registrar = registrar_start();
        result = loop->registrar < 0 ? loop->registrar : loop_watch(loop, loop->registrar, EPOLLIN, &loop->from_registrar);
    }
    return result;
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
    if (launcher->egress.ready) {
        tell_egress(loop);
    }
    while (!loop->stop) {
        struct epoll_event events[64];
        int count = epoll_wait(loop->epoll, events, 64, timed_next(loop));
        if (count < 0 && errno != EINTR) {
            diag("epoll_wait: %s", strerror(errno));
            break;
        }
        for (int i = 0; i < count && !loop->stop; i++) {
            handle(loop, &events[i]);
        }
        timed_run(loop);
        bury(loop);
    }
    kill_all(loop);
    return 0;
}
