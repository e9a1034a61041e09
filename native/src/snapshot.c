#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "egress.h"
#include "fork_tmp.h"
#include "inspect.h"
#include "leaves.h"
#include "snapshot_wire.h"
#include "sockets.h"
#include "util.h"
#include "walls.h"

// Everything below this process is hostile: whatever it is waited for has its time, after which the cell ends.
enum { STEP_MS = 10000, LOOK_AGAIN_MS = 5 };

struct snapshot {
    const struct snapshot_guest *guest;
    int signals;
    pid_t template;
    struct descriptors *before; // those that the guest had when it had run nothing of the function's
    bool waiting;               // it has become the template
    bool asked, taken, refused;
    struct leaves leaves;
    struct fork_tmp tmp;
    uint32_t number;
    pid_t fork; // 0: none, or its end was told
};

// ---- ends, news, words ----

static _Noreturn void end_all(struct snapshot *snapshot, const char *phase, int error, const char *what)
{
    // On v1 what stays frozen does not die, and this process could not end before it.
    leaves_freeze(&snapshot->leaves, LEAF_TEMPLATE, false, 0);
    leaves_freeze(&snapshot->leaves, LEAF_FORKS, false, 0);
    cell_give_up(snapshot->guest->birth, phase, error < 0 ? -error : error, "%s: %s", what, strerror(error < 0 ? -error : error));
}

static _Noreturn void give_up(struct snapshot *snapshot, int error, const char *what)
{
    end_all(snapshot, "snapshot", error, what);
}

// The process that is to be the template, or a fork of it, does not do its part: it is the function's, and so is the fault.
static _Noreturn void blame(struct snapshot *snapshot, int error, const char *what)
{
    end_all(snapshot, "template", error, what);
}

static void check(struct snapshot *snapshot, int result, const char *what)
{
    if (result < 0) {
        give_up(snapshot, result, what);
    }
}

static void tell(const struct snapshot *snapshot, const void *news, size_t size, const int *fds, size_t count)
{
    if (send_packet(snapshot->guest->birth->socket, news, size, fds, count)) {
        _exit(1); // the launcher is gone
    }
}

static int say(int socket, enum snapshot_word_kind kind, const int *fds, size_t count)
{
    const struct snapshot_word word = {.kind = kind};
    return send_packet(socket, &word, sizeof word, fds, count);
}

// A word and who said it, which is the kernel's word. 0 when there is none yet, -EPIPE at the end of the stream, -EPROTO for anything but a word.
static int hear(int socket, struct snapshot_word *word, pid_t *from)
{
    struct iovec part = {.iov_base = word, .iov_len = sizeof *word};
    union {
        char space[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got;
    do {
        got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
    }
    // Descriptors that were sent along do not fit beside the credentials, and are dropped by the kernel.
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS) {
        return got == 0 ? -EPIPE : -EPROTO;
    }
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(header), sizeof sender);
    *from = sender.pid;
    if (got == 0) {
        return -EPIPE;
    }
    return got == (ssize_t)sizeof *word && !(message.msg_flags & MSG_TRUNC) && word->error >= 0 ? 1 : -EPROTO;
}

static int name_senders(int socket)
{
    int on = 1;
    return setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ? -errno : 0;
}

// ---- children ----

static void tell_fork_end(struct snapshot *snapshot, int status)
{
    struct cell_news news = {.kind = CELL_FORK_EXITED, .number = snapshot->number};
    if (WIFSIGNALED(status)) {
        news.signal = (uint32_t)WTERMSIG(status);
    } else {
        news.code = (uint32_t)WEXITSTATUS(status);
    }
    snapshot->fork = 0;
    tell(snapshot, &news, sizeof news, NULL, 0);
}

// True when there is no child left. All that a fork has started is one in the end, since nobody in the cell may be a subreaper; the template is none.
static bool reap(struct snapshot *snapshot)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == snapshot->fork) {
            tell_fork_end(snapshot, status);
        }
    }
    return pid < 0;
}

struct sweep {
    const struct snapshot *snapshot;
    pid_t fork; // spared too; 0: none
    unsigned found; // some more than once
    bool kill_them;
};

static bool sweep_one(pid_t pid, void *state)
{
    struct sweep *sweep = state;
    if (pid != sweep->snapshot->template && pid != sweep->fork) {
        sweep->found++;
        if (sweep->kill_them) {
            kill(pid, SIGKILL);
        }
    }
    return true;
}

// Processes of the cell that are none of PID 1, the template and this fork.
static unsigned strangers(struct snapshot *snapshot, pid_t fork, bool kill_them)
{
    struct sweep sweep = {.snapshot = snapshot, .fork = fork, .kill_them = kill_them};
    check(snapshot, each_process(snapshot->template, &snapshot->leaves, sweep_one, &sweep), "looking for processes");
    return sweep.found;
}

// Kills everything but the template, and proves it.
static void clear(struct snapshot *snapshot)
{
    const int64_t until = monotonic_ms() + STEP_MS;
    for (;;) {
        check(snapshot, leaves_kill(&snapshot->leaves, LEAF_FORKS), "killing a fork");
        unsigned left = strangers(snapshot, 0, true); // does not see who has given up his memory already
        if (reap(snapshot) && left == 0 && leaves_empty(&snapshot->leaves, LEAF_FORKS)) {
            return;
        }
        if (monotonic_ms() > until) {
            give_up(snapshot, ETIMEDOUT, "the fork's processes do not die");
        }
        struct pollfd death = {.fd = snapshot->signals, .events = POLLIN};
        struct signalfd_siginfo ignored[8];
        if (poll(&death, 1, LOOK_AGAIN_MS) > 0) {
            while (read(snapshot->signals, ignored, sizeof ignored) > 0) {
            }
        }
    }
}

// ---- forking ----

struct expected {
    int control;   // of the new fork
    pid_t fork;    // 0: it has said nothing yet
    bool answered; // the template has
};

static void hear_fork(struct snapshot *snapshot, struct expected *expected)
{
    struct snapshot_word word;
    pid_t from = 0;
    int result = hear(expected->control, &word, &from);
    if (result < 0) {
        blame(snapshot, result, "hearing from the fork");
    }
    if (result == 0) {
        return;
    }
    if (word.kind != WORD_HERE || word.error) {
        blame(snapshot, word.error ? word.error : EPROTO, "a fork could not take its descriptors");
    }
    expected->fork = from;
}

// Only children of PID 1 can be waited for. The fork is one once the helper has ended, which the template has waited for; the template is none.
static void check_fork(struct snapshot *snapshot, pid_t fork)
{
    siginfo_t info = {0};
    if (fork <= 1 || fork == snapshot->template || waitid(P_PID, (id_t)fork, &info, WEXITED | WNOHANG | WNOWAIT)) {
        blame(snapshot, EPROTO, "what says that it is the fork is no child of PID 1");
    }
}

// False when the template is dead, of which the launcher hears.
static bool hear_template(struct snapshot *snapshot, struct expected *expected)
{
    struct snapshot_word word;
    pid_t from = 0;
    int result = hear(snapshot->guest->control, &word, &from);
    if (result == -EPIPE && !process_lives(snapshot->template)) {
        return false;
    }
    if (result < 0) {
        blame(snapshot, result, "hearing from the template");
    }
    if (result > 0) {
        if (from != snapshot->template || word.kind != WORD_FORKED || word.error) {
            blame(snapshot, word.error ? word.error : EPROTO, "the template could not fork");
        }
        expected->answered = true;
    }
    return true;
}

static bool await_fork(struct snapshot *snapshot, struct expected *expected)
{
    const int64_t until = monotonic_ms() + STEP_MS;
    while (!expected->fork || !expected->answered) {
        struct pollfd waits[] = {{.fd = expected->fork ? -1 : expected->control, .events = POLLIN},
                                 {.fd = expected->answered ? -1 : snapshot->guest->control, .events = POLLIN}};
        int64_t left = until - monotonic_ms();
        if (left <= 0) {
            blame(snapshot, ETIMEDOUT, "the template does not fork");
        }
        if (poll(waits, 2, (int)left) < 0 && errno != EINTR) {
            give_up(snapshot, errno, "poll");
        }
        // The template's word first: a fork's socket ends too when the template dies with it.
        if (waits[1].revents && !hear_template(snapshot, expected)) {
            return false;
        }
        if (waits[0].revents && !expected->fork) {
            if (!process_lives(snapshot->template)) {
                return false;
            }
            hear_fork(snapshot, expected);
        }
    }
    return true;
}

static bool ask_template(struct snapshot *snapshot, const struct ends *ends, int control[2])
{
    const int64_t until = monotonic_ms() + STEP_MS;
    check(snapshot, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) ? -errno : 0, "a socket");
    check(snapshot, name_senders(control[0]), "SO_PASSCRED");
    check(snapshot, leaves_freeze(&snapshot->leaves, LEAF_TEMPLATE, false, until), "thawing the template");
    kill(snapshot->template, SIGCONT); // the fork before may have stopped it
    const int fds[TEMPLATE_FDS] = {ends->null, ends->output, ends->errors, ends->channel, control[1]};
    int result = say(snapshot->guest->control, WORD_FORK, fds, TEMPLATE_FDS);
    close(control[1]);
    if (result && !process_lives(snapshot->template)) {
        return false;
    }
    if (result) {
        blame(snapshot, result, "asking the template to fork");
    }
    return true;
}

static void close_ends(const struct ends *ends)
{
    close(ends->channel);
    close(ends->output);
    close(ends->errors);
    close(ends->null);
}

// Makes the next fork and lets it go. Returns at once when the template has died.
static void make_fork(struct snapshot *snapshot)
{
    struct cell_news news = {.kind = CELL_FORKED};
    int worker[CELL_READY_FDS], control[2];
    int fresh = snapshot->tmp.mounts == 0 ? fork_tmp_mount(&snapshot->tmp) : open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(snapshot, fresh, "making /tmp");
    struct ends ends = cell_make_ends(snapshot->guest->birth, worker);
    close(worker[CELL_READY_FDS - 1]);
    worker[CELL_READY_FDS - 1] = fresh;
    bool asked = ask_template(snapshot, &ends, control);
    close_ends(&ends);
    struct expected expected = {.control = control[0]};
    if (asked && await_fork(snapshot, &expected)) {
        const int64_t until = monotonic_ms() + STEP_MS;
        check_fork(snapshot, expected.fork);
        snapshot->number++;
        snapshot->fork = expected.fork;
        check(snapshot, leaves_enter(&snapshot->leaves, LEAF_FORKS, expected.fork), "moving the fork");
        check(snapshot, leaves_freeze(&snapshot->leaves, LEAF_TEMPLATE, true, until), "freezing the template");
        if (strangers(snapshot, expected.fork, false) > 0 && wall_stands(WALL_RENEW)) {
            blame(snapshot, EPROTO, "the template made more than one process");
        }
        check(snapshot, say(control[0], WORD_GO, NULL, 0), "telling the fork to go");
        news.number = snapshot->number;
        tell(snapshot, &news, sizeof news, worker, CELL_READY_FDS);
    }
    close(control[0]);
    for (int i = 0; i < CELL_READY_FDS; i++) {
        close(worker[i]);
    }
}

// ---- SNAPSHOT and RENEW ----

static void take(struct snapshot *snapshot)
{
    const int64_t until = monotonic_ms() + STEP_MS;
    struct cell_unsafe unsafe = {.kind = CELL_UNSAFE};
    check(snapshot, leaves_make(&snapshot->leaves, snapshot->guest->freezer, snapshot->guest->v2, snapshot->guest->birth->slot), "the leaves of the cell's cgroup");
    check(snapshot, leaves_enter(&snapshot->leaves, LEAF_TEMPLATE, snapshot->template), "moving the template");
    check(snapshot, leaves_freeze(&snapshot->leaves, LEAF_TEMPLATE, true, until), "freezing the template");
    check(snapshot, fork_tmp_begin(&snapshot->tmp, &unsafe.findings), "looking at /tmp");
    inspect(snapshot->template, &snapshot->leaves, snapshot->before, snapshot->tmp.device, &unsafe.findings);
    if (unsafe.findings.count == 0) {
        snapshot->taken = true;
        make_fork(snapshot);
        return;
    }
    snapshot->refused = true;
    check(snapshot, leaves_freeze(&snapshot->leaves, LEAF_TEMPLATE, false, until), "thawing the template");
    tell(snapshot, &unsafe, sizeof unsafe, NULL, 0);
}

static void renew(struct snapshot *snapshot)
{
    if (wall_stands(WALL_RENEW)) {
        clear(snapshot);
        check(snapshot, fork_tmp_drop(&snapshot->tmp), "putting /tmp back");
        // Those that wait for a peer hold the cell's memory for minutes after their process. A template has none: inspect.c.
        check(snapshot, sockets_end(monotonic_ms() + STEP_MS), "ending the sockets that its processes left");
        // Else strangers whom the last fork spoke to could go on speaking to the next, and keep it from having connections of its own.
        int wires = snapshot->guest->birth->wires;
        check(snapshot, wires < 0 ? 0 : egress_forget(wires, snapshot->guest->link), "forgetting connections");
    }
    while (snapshot->fork) { // only in the tests' variant
        kill(snapshot->fork, SIGKILL);
        reap(snapshot);
    }
    make_fork(snapshot);
}

// False at the end of the launcher.
static bool serve_launcher(struct snapshot *snapshot)
{
    struct request request;
    uint8_t message[64];
    size_t count;
    ssize_t got = receive_packet(snapshot->guest->birth->socket, message, sizeof message, NULL, 0, &count);
    if (got <= 0) {
        return false;
    }
    if (!control_parse(message, (size_t)got, &request)) {
        give_up(snapshot, EPROTO, "the launcher's word");
    }
    if (request.op == OP_SNAPSHOT && !snapshot->asked) {
        snapshot->asked = true;
        if (snapshot->waiting) {
            take(snapshot);
        }
    } else if (request.op == OP_RENEW && snapshot->taken) {
        renew(snapshot);
    } else {
        give_up(snapshot, EINVAL, request.op == OP_RENEW ? "RENEW of what is no snapshot" : "SNAPSHOT comes once");
    }
    return true;
}

static void serve_guest(struct snapshot *snapshot)
{
    struct snapshot_word word;
    pid_t from = 0;
    int result = hear(snapshot->guest->control, &word, &from);
    if (result == 0) {
        return;
    }
    if (result < 0) {
        blame(snapshot, result, "hearing from the guest");
    }
    if (!snapshot->template && word.kind == WORD_LOADED) {
        check(snapshot, -word.error, "the snapshot's filter");
        snapshot->template = from;
        snapshot->before = descriptors_list(from);
        check(snapshot, snapshot->before ? 0 : -errno, "looking at the guest's descriptors");
        result = say(snapshot->guest->control, WORD_BEGIN, NULL, 0);
        if (result) {
            blame(snapshot, result, "telling the guest to begin");
        }
    } else if (from == snapshot->template && word.kind == WORD_WAITING && !snapshot->waiting) {
        if (word.error) {
            blame(snapshot, word.error, "becoming a template");
        }
        snapshot->waiting = true;
        if (snapshot->asked) {
            take(snapshot);
        }
    } else {
        blame(snapshot, EPROTO, "the guest's word");
    }
}

static void send_go(struct snapshot *snapshot)
{
    static struct snapshot_go go = {.word.kind = WORD_GO};
    const struct sock_fprog *filter = snapshot->guest->filter;
    memcpy(go.filter, filter->filter, filter->len * sizeof *go.filter);
    check(snapshot, name_senders(snapshot->guest->control), "SO_PASSCRED");
    int result = send_packet(snapshot->guest->control, &go, sizeof go.word + filter->len * sizeof *go.filter, NULL, 0);
    if (result != -EPIPE) { // it has ended, which the launcher knows
        check(snapshot, result, "telling the guest to go");
    }
}

_Noreturn void snapshot_run(const struct snapshot_guest *guest)
{
    sigset_t mask;
    struct snapshot snapshot = {.guest = guest};
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    check(&snapshot, sigprocmask(SIG_BLOCK, &mask, NULL) ? -errno : 0, "sigprocmask");
    snapshot.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    check(&snapshot, snapshot.signals < 0 ? -errno : 0, "signalfd");
    send_go(&snapshot);
    for (int64_t until = INT64_MAX;;) {
        // Once it waits, the template is heard only when it was asked something. A guest that has closed its control is no template, and is heard of by its end.
        struct pollfd waits[] = {{.fd = guest->birth->socket, .events = POLLIN}, {.fd = snapshot.signals, .events = POLLIN},
                                 {.fd = snapshot.waiting ? -1 : guest->control, .events = POLLIN}};
        int64_t left = until - monotonic_ms();
        if (poll(waits, 3, until == INT64_MAX ? -1 : left < 0 ? 0 : (int)left) < 0 && errno != EINTR) {
            give_up(&snapshot, errno, "poll");
        }
        if (waits[1].revents) {
            struct signalfd_siginfo ignored[8];
            while (read(snapshot.signals, ignored, sizeof ignored) > 0) {
            }
            reap(&snapshot);
        }
        if (waits[2].revents) {
            serve_guest(&snapshot);
        }
        if (waits[0].revents && !serve_launcher(&snapshot)) {
            _exit(0);
        }
        until = snapshot.asked && !snapshot.waiting ? (until == INT64_MAX ? monotonic_ms() + STEP_MS : until) : INT64_MAX;
        if (monotonic_ms() > until) {
            blame(&snapshot, ETIMEDOUT, "the guest does not become a template");
        }
    }
}
