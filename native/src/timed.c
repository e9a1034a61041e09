#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loop.h"
#include "registrar.h"

void timed_set(struct loop *loop, struct cell *cell, bool on)
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

int memory_begin(struct loop *loop, struct cell *cell)
{
    int result = memory_watch_open(&cell->memory);
    if (!result && cell->memory.crossed >= 0) {
        result = loop_watch(loop, cell->memory.crossed, EPOLLIN, &cell->from_memory);
    }
    return result ? result : loop_watch(loop, cell->memory.killed, cell->memory.v2 ? EPOLLPRI : EPOLLIN, &cell->from_killed);
}

// The first check of a running cell's memory, under v1. False when the cell cannot be watched, or has had too much already.
static bool begin_checks(struct loop *loop, struct cell *cell)
{
    int result = memory_begin(loop, cell);
    if (result) {
        diag("cannot watch the memory of cell %u: %s", cell->id, strerror(-result)); // better no guest than an unlimited one
    } else {
        cell->memory_hit = memory_watch_killed(&cell->memory);
    }
    if (result || cell->memory_hit) {
        cells_kill(loop, cell);
        return false;
    }
    return true;
}

void memory_check(struct loop *loop, struct cell *cell)
{
    if (cell->state != CELL_RUNNING) {
        return;
    }
    if (cell->memory.on && cell->memory.usage < 0 && !begin_checks(loop, cell)) {
        return;
    }
    if (memory_watch_check(&cell->memory, monotonic_ms()) == MEMORY_EXCEEDED) {
        if (!cell->renewing) {
            cell->memory_hit = true;
            cells_kill(loop, cell);
            return;
        }
        cell->memory.next_check_ms = monotonic_ms() + MEMORY_CHECK_MS;
    }
    timed_set(loop, cell, cell->memory.next_check_ms != 0);
}

void memory_event(struct loop *loop, struct cell *cell)
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
            cells_kill(loop, cell);
        }
    } else {
        memory_check(loop, cell);
    }
}

void registrar_event(struct loop *loop)
{
    struct registrar_answer answer;
    while (registrar_answered(loop->registrar, &answer)) {
        struct cell *cell = *cells_find(loop, answer.cell);
        if (cell && cell->state == CELL_RUNNING) {
            memory_watch_armed(&cell->memory, answer.result);
            memory_check(loop, cell); // what was crossed before it was armed is not told
        }
    }
}

int timed_next(const struct loop *loop)
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

void timed_run(struct loop *loop)
{
    int64_t now = monotonic_ms();
    for (struct cell *cell = loop->timed, *next; cell; cell = next) {
        next = cell->timed_next;
        if (cell->state == CELL_RUNNING && cell->memory.next_check_ms <= now) {
            memory_check(loop, cell);
        } else if (cell->state == CELL_DYING && cell->remove_ms <= now) {
            cgroup_thaw(&loop->launcher->cgroups, cell->path, cell->snapshot);
            cell->remove_ms = now + REMOVE_RETRY_MS;
        } else if (cell->state == CELL_REMOVING && cell->remove_ms <= now) {
            cells_try_remove(loop, cell);
        }
    }
}
