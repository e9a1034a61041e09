#include "cell.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "egress.h"
#include "guest.h"
#include "root.h"
#include "util.h"
#include "walls.h"
#include "snapshot.h"
#include "snapshot_wire.h"

_Noreturn void cell_give_up(const struct cell_birth *birth, const char *phase, int error, const char *format, ...)
{
    struct cell_news news = {.kind = CELL_FAILED, .error = error};
    va_list arguments;
    snprintf(news.phase, sizeof news.phase, "%s", phase);
    va_start(arguments, format);
    vsnprintf(news.message, sizeof news.message, format, arguments);
    va_end(arguments);
    send_packet(birth->socket, &news, sizeof news, NULL, 0);
    _exit(1);
}

// The guest may share this process's uid: nothing of it may be read or traced once there is one that runs anybody's code.
static void set_dumpable(const struct cell_birth *birth, bool on)
{
    if (prctl(PR_SET_DUMPABLE, on || !wall_stands(WALL_DUMPABLE) ? 1 : 0, 0, 0, 0)) {
        cell_give_up(birth, "dumpable", errno, "prctl: %s", strerror(errno));
    }
}

static void isolate_descriptors(const struct cell_birth *birth)
{
    int keep[2 * CG_ABILITIES + 3], count = 0;
    keep[count++] = birth->socket;
    keep[count++] = birth->template;
    keep[count++] = birth->wires;
    for (size_t i = 0; i < birth->cgroups->count; i++) {
        keep[count++] = birth->cgroups->list[i].instance;
    }
    int result = close_all_but(keep, (size_t)count);
    if (result) {
        cell_give_up(birth, "descriptors", -result, "close_range: %s", strerror(-result));
    }
}

static int raise_loopback(void)
{
    struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
    int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        return -errno;
    }
    strcpy(request.ifr_name, "lo");
    int result = ioctl(probe, SIOCSIFFLAGS, &request) ? -errno : 0;
    close(probe);
    return result;
}

static void enter_namespaces(const struct cell_birth *birth, uint32_t *number)
{
    // What these cost the kernel is not the cell's to pay, so its cgroup comes after, and the cgroup namespace, whose root is where one is, comes last.
    struct root_failure failure;
    int result = root_enter_cell(birth->template, birth->slot, CLONE_NEWIPC | CLONE_NEWUTS | (wall_stands(WALL_NET) ? CLONE_NEWNET : 0), &failure);
    if (result) {
        cell_give_up(birth, "root", -result, "%s %s: %s", failure.step, failure.subject, strerror(-result));
    }
    close(birth->template);
    result = wall_stands(WALL_NET) ? raise_loopback() : 0;
    if (result) {
        cell_give_up(birth, "network", -result, "lo up: %s", strerror(-result));
    }
    if (birth->wires >= 0 && wall_stands(WALL_NET)) {
        result = egress_wire(birth->wires, number);
        if (result) {
            cell_give_up(birth, "network", -result, "wiring the cell: %s", strerror(-result));
        }
        if (!birth->forked) {
            close(birth->wires);
        }
    }
    if (sethostname("sandbox", 7) || setdomainname("", 0)) {
        cell_give_up(birth, "hostname", errno, "sethostname: %s", strerror(errno));
    }
    result = cgroup_make(birth->cgroups, birth->tenant, birth->path, birth->kept);
    for (size_t i = 0; i < birth->cgroups->count && !birth->forked && !result; i++) {
        result = cgroup_join(birth->cgroups->list[i].instance, birth->cgroups->list[i].v2, birth->path);
    }
    if (result) {
        cell_give_up(birth, "cgroup", -result, "entering %s: %s", birth->path, strerror(-result));
    }
    if (!birth->forked && unshare(CLONE_NEWCGROUP)) {
        cell_give_up(birth, "namespaces", errno, "unshare cgroup: %s", strerror(errno));
    }
    for (size_t i = 0; i < birth->cgroups->count; i++) {
        close(birth->cgroups->list[i].instance);
    }
}

static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    int error = errno;
    close(fd);
    return moved < 0 ? -error : moved;
}

// The worker reads bytes only. Descriptors sent along would be closed by whichever of its threads reads, and closing may take as long as
// the guest likes; where the kernel has no such option (before 6.16) the filter takes away what makes a close wait.
static void refuse_descriptors(const struct cell_birth *birth, int channel)
{
    enum { PASS_RIGHTS = 83 }; // SO_PASSRIGHTS, younger than many a header
    int off = 0;
    if (setsockopt(channel, SOL_SOCKET, PASS_RIGHTS, &off, sizeof off) && errno != ENOPROTOOPT) {
        cell_give_up(birth, "descriptors", errno, "refusing descriptors: %s", strerror(errno));
    }
}

struct ends cell_make_ends(const struct cell_birth *birth, int worker[CELL_READY_FDS])
{
    int channel[2], output[2], errors[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) || pipe2(output, O_CLOEXEC) || pipe2(errors, O_CLOEXEC)) {
        cell_give_up(birth, "descriptors", errno, "%s", strerror(errno));
    }
    refuse_descriptors(birth, channel[0]);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (null < 0 || tmp < 0) {
        cell_give_up(birth, "descriptors", errno, "%s", strerror(errno));
    }
    struct ends ends = {move_up(channel[1]), move_up(output[1]), move_up(errors[1]), move_up(null), -1};
    if (ends.channel < 0 || ends.output < 0 || ends.errors < 0 || ends.null < 0) {
        cell_give_up(birth, "descriptors", EMFILE, "too few descriptors");
    }
    worker[0] = channel[0];
    worker[1] = output[0];
    worker[2] = errors[0];
    worker[3] = tmp;
    return ends;
}

static struct ends report_ready(const struct cell_birth *birth, uint32_t link)
{
    struct cell_news news = {.kind = CELL_READY, .number = birth->wires >= 0 && wall_stands(WALL_NET) ? egress_address(link) : 0};
    int fds[CELL_READY_FDS + CELL_GUEST_FDS], control[2] = {-1, -1};
    size_t count = CELL_READY_FDS;
    struct ends ends = cell_make_ends(birth, fds);
    if (birth->forked) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control)) {
            cell_give_up(birth, "descriptors", errno, "%s", strerror(errno));
        }
        const int guests[CELL_GUEST_FDS] = {ends.channel, ends.output, ends.errors, control[1]};
        memcpy(fds + count, guests, sizeof guests);
        count += CELL_GUEST_FDS;
        ends.control = control[0];
    }
    int result = send_packet(birth->socket, &news, sizeof news, fds, count);
    if (result == -ETOOMANYREFS) {
        cell_give_up(birth, "descriptors", ETOOMANYREFS, "a sandbox of the same uid holds as many descriptors under way as its user may have: use subordinate uids, or kill it");
    }
    if (result) {
        _exit(1); // the launcher is gone
    }
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
    }
    return ends;
}

// Waits for START. Orphans cannot exist yet, and the launcher's end ends the cell.
static size_t receive_start(const struct cell_birth *birth, uint8_t *message, int fds[CELL_START_FDS])
{
    size_t count = 0;
    ssize_t length = receive_packet(birth->socket, message, MESSAGE_MAX, fds, CELL_START_FDS, &count);
    if (length <= 0) {
        _exit(0);
    }
    if (count < 1) {
        cell_give_up(birth, "start", EPROTO, "START came without the code");
    }
    return (size_t)length;
}

// What a cell needs of START before its guest may see it: /tmp's size, the code. A cell runs one guest, so the message is kept.
// freezer: the cell's directory in the freezer's hierarchy, when that came along, or -1.
static struct start_request take_start(const struct cell_birth *birth, int *freezer)
{
    static uint8_t message[MESSAGE_MAX];
    struct request request;
    int fds[CELL_START_FDS] = {-1, -1};
    size_t length = receive_start(birth, message, fds);
    const int code = fds[0];
    *freezer = fds[1];
    if (!control_parse(message, length, &request) || request.op != OP_START) {
        cell_give_up(birth, "start", EPROTO, "START does not parse");
    }
    int result = root_size_tmp(request.start.tmp_mb);
    if (result) {
        cell_give_up(birth, "tmp", -result, "sizing /tmp to %u MB: %s", request.start.tmp_mb, strerror(-result));
    }
    if (syscall(SYS_move_mount, code, "", AT_FDCWD, "/var/task", MOVE_MOUNT_F_EMPTY_PATH)) {
        cell_give_up(birth, "code", errno, "mounting at /var/task: %s", strerror(errno));
    }
    close(code);
    return request.start;
}

static pid_t start_guest(const struct cell_birth *birth, const struct ends *ends)
{
    // Used once; static to stay off the stack.
    static char storage[MESSAGE_MAX + ARGUMENTS_MAX + ENVIRONMENT_MAX], cwd[CWD_MAX + 1];
    static char *arguments[ARGUMENTS_MAX + 1], *environment[ENVIRONMENT_MAX + 1];
    char *free_storage = storage;
    int report[2];
    int freezer; // comes for snapshots only
    const struct start_request start = take_start(birth, &freezer);
    control_unpack(&start.arguments, &free_storage, arguments);
    control_unpack(&start.environment, &free_storage, environment);
    memcpy(cwd, start.cwd.data, start.cwd.length);
    cwd[start.cwd.length] = 0;
    if (pipe2(report, O_CLOEXEC)) {
        cell_give_up(birth, "start", errno, "pipe: %s", strerror(errno));
    }
    int report_high = move_up(report[1]);
    if (report_high < 0) {
        cell_give_up(birth, "start", -report_high, "pipe: %s", strerror(-report_high));
    }
    const struct guest guest = {.uid = birth->slot, .gid = birth->slot, .max_files = start.max_files, .channel = ends->channel,
                                .output = ends->output, .errors = ends->errors, .null = ends->null, .report = report_high, .cwd = cwd,
                                .arguments = arguments, .environment = environment, .filter = birth->filter};
    pid_t pid = fork();
    if (pid == 0) {
        guest_become(&guest);
    }
    if (pid < 0) {
        cell_give_up(birth, "fork", errno, "fork: %s", strerror(errno));
    }
    close(report_high);
    close(ends->channel);
    close(ends->output);
    close(ends->errors);
    close(ends->null);
    struct guest_failure failure = {0};
    ssize_t got = read(report[0], &failure, sizeof failure);
    if (got == (ssize_t)sizeof failure) {
        failure.phase[sizeof failure.phase - 1] = 0;
        cell_give_up(birth, failure.phase, failure.error, "%.200s: %s", strcmp(failure.phase, "cwd") == 0 ? cwd : arguments[0],
                strerror(failure.error));
    }
    close(report[0]);
    return pid;
}

static void report_end(const struct cell_birth *birth, int status)
{
    struct cell_news news = {.kind = CELL_EXITED};
    if (WIFSIGNALED(status)) {
        news.signal = (uint32_t)WTERMSIG(status);
    } else {
        news.code = (uint32_t)WEXITSTATUS(status);
    }
    send_packet(birth->socket, &news, sizeof news, NULL, 0);
}

static _Noreturn void reap(const struct cell_birth *birth, pid_t guest)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid == guest) {
            report_end(birth, status);
            _exit(0); // and with it whatever the guest left behind
        }
        if (pid < 0 && errno != EINTR) {
            cell_give_up(birth, "wait", errno, "waitpid: %s", strerror(errno));
        }
    }
}

// Gives a forked guest, which waits for it, its GO.
static void let_go(const struct cell_birth *birth, const struct ends *ends, uint32_t link)
{
    const struct snapshot_word go = {.kind = WORD_GO};
    struct snapshot_guest guest = {.birth = birth, .filter = birth->snapshot_filter, .control = ends->control, .link = link};
    const struct start_request start = take_start(birth, &guest.freezer);
    set_dumpable(birth, false);
    if (start.flags & START_SNAPSHOT) {
        int instance;
        cgroup_serves(birth->cgroups, CG_FREEZE, &instance, &guest.v2);
        snapshot_run(&guest);
    }
    int result = send_packet(ends->control, &go, sizeof go, NULL, 0);
    if (result && result != -EPIPE) { // it has ended, which the launcher knows
        cell_give_up(birth, "start", -result, "telling the guest to go: %s", strerror(-result));
    }
    close(ends->control);
}

// The guest is the launcher's to wait for; what it leaves behind is ours.
static _Noreturn void attend(const struct cell_birth *birth, const struct ends *ends, uint32_t link)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD); // blocked, as the launcher has it
    struct pollfd waits[] = {{.fd = birth->socket, .events = POLLIN}, {.fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), .events = POLLIN}};
    if (waits[1].fd < 0) {
        cell_give_up(birth, "wait", errno, "signalfd: %s", strerror(errno));
    }
    for (bool started = false;;) {
        struct signalfd_siginfo ignored[8];
        if (poll(waits, 2, -1) < 0) {
            if (errno != EINTR) {
                cell_give_up(birth, "wait", errno, "poll: %s", strerror(errno));
            }
            continue;
        }
        if (waits[1].revents) {
            while (read(waits[1].fd, ignored, sizeof ignored) > 0) {
            }
            while (waitpid(-1, NULL, WNOHANG) > 0) {
            }
        }
        if (waits[0].revents) {
            if (started) {
                _exit(0); // there is nothing more to hear: the launcher's end
            }
            let_go(birth, ends, link);
            started = true;
        }
    }
}

_Noreturn void cell_run(const struct cell_birth *birth)
{
    isolate_descriptors(birth);
    // What runs in a cell dies first when the host runs out of memory. Best effort: an outer limit may forbid it.
    write_text(AT_FDCWD, "/proc/self/oom_score_adj", "500");
    // Who joins these namespaces by a pidfd must be allowed to look at this process.
    set_dumpable(birth, birth->forked);
    uint32_t link = 0;
    enter_namespaces(birth, &link);
    struct ends ends = report_ready(birth, link);
    if (birth->forked) {
        close(ends.null);
        attend(birth, &ends, link);
    }
    reap(birth, start_guest(birth, &ends));
}
