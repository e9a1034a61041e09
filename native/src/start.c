#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loop.h"
#include "root.h"

enum { MEGABYTES_MAX = 1 << 20 };

static const char *check_limits(const struct start_request *start, bool forked)
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
    if (start->flags & ~(uint32_t)START_SNAPSHOT) {
        return "flags: 0 or 1";
    }
    if (start->flags & START_SNAPSHOT && !forked) {
        return "flags: 1 is for guests that were forked from a zygote";
    }
    if (forked) {
        return start->arguments.count || start->environment.count ? "argv, env: none, since the guest was forked from a zygote" : NULL;
    }
    return start->arguments.count == 0 ? "argv: at least the program" : NULL;
}

// The guest is there already. 0 also when it has just ended.
static int limit_files(pid_t guest, uint32_t max_files)
{
    struct rlimit files;
    if (guest == 0) {
        return 0;
    }
    if (prlimit(guest, RLIMIT_NOFILE, NULL, &files)) {
        return errno == ESRCH ? 0 : -errno;
    }
    files.rlim_max = max_files < files.rlim_max ? max_files : files.rlim_max;
    files.rlim_cur = files.rlim_max;
    return prlimit(guest, RLIMIT_NOFILE, &files, NULL) && errno != ESRCH ? -errno : 0;
}

void cells_refuse(struct loop *loop, struct cell *cell, const char *phase, int error, const char *text)
{
    tell_failed(loop, cell, phase, error, text);
    cells_kill(loop, cell);
}

void cells_start(struct loop *loop, struct cell *cell, const struct start_request *request, size_t length)
{
    char name[CODE_NAME_MAX + 1];
    if (cell->state != CELL_WAITING) {
        if (cell->state == CELL_MAKING || cell->state == CELL_RUNNING) {
            cells_refuse(loop, cell, "start", EALREADY, cell->state == CELL_MAKING ? "START before READY" : "a cell is started once");
        }
        return; // dying already: the worker's message crossed ours
    }
    const char *wrong = check_limits(request, cell->zygote != 0);
    if (wrong) {
        cells_refuse(loop, cell, "limits", EINVAL, wrong);
        return;
    }
    if (!control_path_component(request->code)) {
        cells_refuse(loop, cell, "code", EINVAL, "the code's name is one path component");
        return;
    }
    memcpy(name, request->code.data, request->code.length);
    name[request->code.length] = 0;
    int code = root_open_code(name);
    if (code < 0) {
        cells_refuse(loop, cell, "code", -code, strerror(-code));
        return;
    }
    int result = cgroup_limit(&loop->launcher->cgroups, cell->path, request, cell->zygote ? 0 : 1);
    if (!result && cell->zygote) {
        result = limit_files(cell->guest.pid, request->max_files);
    }
    if (!result) {
        result = memory_watch_start(&cell->memory, request->memory_mb, monotonic_ms());
    }
    if (result) {
        close(code);
        cells_refuse(loop, cell, "cgroup", -result, strerror(-result));
        return;
    }
    cell->started = true;
    cell->snapshot = request->flags & START_SNAPSHOT;
    cell->state = CELL_RUNNING;
    timed_set(loop, cell, cell->memory.next_check_ms != 0);
    int fds[CELL_START_FDS] = {code, cell->snapshot ? cgroup_open_freezer(&loop->launcher->cgroups, cell->path) : -1};
    result = send_packet(cell->socket, loop->message, length, fds, fds[1] < 0 ? 1 : 2);
    close_fd(&fds[0]);
    close_fd(&fds[1]);
    if (result && result != -EPIPE) { // a broken pipe: PID 1 is dead, and SIGCHLD on its way
        cells_refuse(loop, cell, "start", -result, strerror(-result));
    }
}

void cells_pass_on(struct loop *loop, struct cell *cell, enum op op, size_t length)
{
    if (!cell->snapshot || cell->state != CELL_RUNNING) {
        if (cell->state != CELL_DYING && cell->state != CELL_REMOVING) {
            cells_refuse(loop, cell, "snapshot", EINVAL, "the cell was not started as a snapshot");
        }
        return;
    }
    if (cell->orphaned) { // nothing is left that could be forked
        cells_end_orphaned(loop, cell);
        return;
    }
    // Until the next fork only the hard limit holds: what the last one left in /tmp is on its way out. PID 1 is the one that frees it.
    if (op == OP_RENEW) {
        cell->renewing = true;
        memory_watch_fork(&cell->memory, -1);
    }
    int result = send_packet(cell->socket, loop->message, length, NULL, 0);
    if (result && result != -EPIPE) {
        cells_refuse(loop, cell, "snapshot", -result, strerror(-result));
    }
}
