#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../src/guest.h"
#include "../src/snapshot_wire.h"
#include "../src/walls.h"
#include "flint_zygote.h"

// The guest's side of GO and of snapshots; PID 1's is src/snapshot.c.

enum { CONTROL = 4, SIGNALS = 64, FIRST_FREE = 10, INHERITED_MAX = 4096 };

// ---- words ----

static _Noreturn void wait_for_the_end(void)
{
    for (;;) {
        pause(); // PID 1 is gone, and the kernel kills what it leaves
    }
}

static int say(int socket, enum snapshot_word_kind kind, int error)
{
    const struct snapshot_word word = {.kind = kind, .error = error};
    return send(socket, &word, sizeof word, MSG_NOSIGNAL) == (ssize_t)sizeof word ? 0 : -errno;
}

// Returns the length of a packet, or -errno; at the end of the stream it does not return.
static ssize_t hear(int socket, void *data, size_t size, int *fds, size_t *count)
{
    struct iovec part = {.iov_base = data, .iov_len = size};
    union {
        char space[CMSG_SPACE(sizeof(int) * TEMPLATE_FDS)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        wait_for_the_end();
    }
    if (got < 0) {
        return -errno;
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    size_t arrived = header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (fds && arrived == TEMPLATE_FDS) {
        memcpy(fds, CMSG_DATA(header), sizeof(int) * TEMPLATE_FDS);
    }
    if (count) {
        *count = arrived;
    }
    return got;
}

static int hear_word(int socket, enum snapshot_word_kind kind)
{
    struct snapshot_word word;
    ssize_t got = hear(socket, &word, sizeof word, NULL, NULL);
    return got < 0 ? (int)got : got == (ssize_t)sizeof word && word.kind == kind ? 0 : -EPROTO;
}

// ---- GO ----

static int load_walls(const struct snapshot_go *go, size_t length)
{
    struct sock_fprog program = {.len = (unsigned short)((length - sizeof go->word) / sizeof *go->filter), .filter = (struct sock_filter *)(uintptr_t)go->filter};
    if (program.len == 0) {
        return -EPROTO;
    }
    if (wall_stands(WALL_DUMPABLE) && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) {
        return -errno;
    }
    return wall_stands(WALL_SNAPSHOT) && guest_load_filter(&program) ? -errno : 0;
}

FLINT_EXPORT int flint_zygote_go(int snapshot)
{
    static struct snapshot_go go;
    if (!flint_zygote_is_fork()) {
        return -EINVAL;
    }
    ssize_t got = hear(CONTROL, &go, sizeof go, NULL, NULL);
    if (got < 0) {
        return (int)got;
    }
    if (got < (ssize_t)sizeof go.word || go.word.kind != WORD_GO) {
        return -EPROTO;
    }
    if (!snapshot) {
        return close(CONTROL) ? -errno : 0;
    }
    int result = load_walls(&go, (size_t)got);
    int told = say(CONTROL, WORD_LOADED, -result);
    if (result || told) {
        return result ? result : told;
    }
    return hear_word(CONTROL, WORD_BEGIN);
}

// ---- what a fork inherits ----

enum inherited_kind {
    INHERITED_KEPT,     // says nothing about anybody: opened with O_PATH
    INHERITED_REOPENED, // a file, opened again so that its offset and flags are the fork's own
    INHERITED_CLEARED   // an interpreter's epoll, eventfd or pipe: /dev/null takes its number, and the interpreter makes its own anew
};

struct inherited {
    int fd, flags, close_on_exec;
    enum inherited_kind kind;
    off_t offset;
};

// The kernel's structure, whatever its members are here: it is only kept and given back.
struct disposition {
    unsigned long words[8];
};

// A fork has a copy of it as it was at the moment of its birth.
static struct {
    struct inherited inherited[INHERITED_MAX];
    size_t count;
    struct disposition dispositions[SIGNALS + 1];
    // of one fork
    int fds[TEMPLATE_FDS];
    volatile bool forking;
    volatile int fork_error; // the helper's word: it shares this memory
    int result;              // in the fork: what could not be done
} template;

static bool describe(int fd, struct inherited *one)
{
    struct stat info;
    *one = (struct inherited){.fd = fd, .flags = fcntl(fd, F_GETFL), .close_on_exec = fcntl(fd, F_GETFD) & FD_CLOEXEC ? O_CLOEXEC : 0};
    if (one->flags < 0 || fstat(fd, &info)) {
        return false;
    }
    if (one->flags & O_PATH) {
        one->kind = INHERITED_KEPT;
    } else if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) {
        one->kind = INHERITED_REOPENED;
        one->offset = lseek(fd, 0, SEEK_CUR);
    } else if (S_ISCHR(info.st_mode)) {
        one->kind = INHERITED_REOPENED;
    } else {
        one->kind = INHERITED_CLEARED;
    }
    return true;
}

static int list_inherited(void)
{
    DIR *stream = opendir("/proc/self/fd");
    int result = stream ? 0 : -errno;
    template.count = 0;
    for (struct dirent *entry; !result && (entry = readdir(stream));) {
        int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);
        if (fd <= CONTROL || fd == dirfd(stream)) {
            continue;
        }
        if (template.count == INHERITED_MAX) {
            result = -EMFILE;
        } else if (describe(fd, &template.inherited[template.count])) {
            template.count++;
        }
    }
    if (stream) {
        closedir(stream);
    }
    return result;
}

static int reopen(const struct inherited *one)
{
    enum { MEANT = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECTORY | O_NOATIME };
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", one->fd);
    int fresh = open(path, (one->flags & MEANT) | O_CLOEXEC | O_NOCTTY);
    if (fresh < 0) {
        return -errno;
    }
    int result = one->offset > 0 && lseek(fresh, one->offset, SEEK_SET) < 0 ? -errno : 0;
    if (!result && dup3(fresh, one->fd, one->close_on_exec) < 0) {
        result = -errno;
    }
    close(fresh);
    return result;
}

static int own_inherited(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC), result = null < 0 ? -errno : 0;
    for (size_t i = 0; i < template.count && !result; i++) {
        const struct inherited *one = &template.inherited[i];
        if (one->kind == INHERITED_REOPENED) {
            result = reopen(one);
        } else if (one->kind == INHERITED_CLEARED && dup3(null, one->fd, O_CLOEXEC) < 0) {
            result = -errno;
        }
    }
    if (null >= 0) {
        close(null);
    }
    return result;
}

// The first thing that happens in a fork, before the handlers of other libraries, which open what is the fork's own.
static void take_descriptors(void)
{
    if (!template.forking) {
        return;
    }
    template.result = own_inherited();
    for (int to = 0; to < CONTROL; to++) {
        // The channel is never for programs that the function starts.
        if ((to == 3 ? dup3(template.fds[to], to, O_CLOEXEC) : dup2(template.fds[to], to)) < 0 && !template.result) {
            template.result = -errno;
        }
        close(template.fds[to]);
    }
    close(CONTROL);
}

__attribute__((constructor)) static void prepare(void)
{
    if (pthread_atfork(NULL, NULL, take_descriptors)) {
        _exit(125);
    }
}

// ---- signals ----

// Ignored, not blocked: what a fork sends the template leaves no trace in it, in none of its threads.
static int ignore_signals(void)
{
    static const struct disposition ignored = {{(unsigned long)(uintptr_t)SIG_IGN}};
    for (int signal = 1; signal <= SIGNALS; signal++) {
        if (signal != SIGKILL && signal != SIGSTOP && syscall(SYS_rt_sigaction, signal, &ignored, &template.dispositions[signal], SIGNALS / 8)) {
            return -errno;
        }
    }
    return 0;
}

static void restore_signals(void)
{
    for (int signal = 1; signal <= SIGNALS; signal++) {
        if (signal != SIGKILL && signal != SIGSTOP) {
            syscall(SYS_rt_sigaction, signal, &template.dispositions[signal], NULL, SIGNALS / 8);
        }
    }
}

// ---- forking ----

// 1 in the template, 0 in the fork, or -errno. The helper shares the template's memory and ends, so that the fork becomes a child of the cell's PID 1, which
// is told its end truthfully; libc's own fork runs the handlers that libraries rely on.
static __attribute__((noinline)) int fork_orphan(void)
{
    template.fork_error = 0;
    template.forking = true;
    pid_t helper = vfork();
    if (helper == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            template.forking = false;
            return 0; // in memory of its own: the frames above are its copies
        }
        template.fork_error = pid < 0 ? errno : 0;
        _exit(0);
    }
    template.forking = false;
    if (helper < 0) {
        return -errno;
    }
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR) { // ECHILD once it is gone, since SIGCHLD is ignored
    }
    return template.fork_error ? -template.fork_error : 1;
}

static int move_up(int *fd)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE);
    if (moved < 0) {
        return -errno;
    }
    close(*fd);
    *fd = moved;
    return 0;
}

static int begin_fork(void)
{
    const int control = template.fds[TEMPLATE_FDS - 1];
    int result = template.result ? template.result : setsid() < 0 ? -errno : 0;
    int told = say(control, WORD_HERE, -result);
    if (result || told || hear_word(control, WORD_GO)) {
        _exit(127); // PID 1 has heard why, or is gone
    }
    close(control);
    restore_signals();
    return 0;
}

static int receive_fork(void)
{
    struct snapshot_word word;
    size_t count = 0;
    ssize_t got = hear(CONTROL, &word, sizeof word, template.fds, &count);
    if (got < 0 || got != (ssize_t)sizeof word || word.kind != WORD_FORK || count != TEMPLATE_FDS) {
        return got < 0 ? (int)got : -EPROTO;
    }
    for (int i = 0; i < TEMPLATE_FDS; i++) {
        int result = move_up(&template.fds[i]);
        if (result) {
            return result;
        }
    }
    return 0;
}

FLINT_EXPORT int flint_zygote_template(void)
{
    static bool begun;
    if (!flint_zygote_is_fork() || begun) {
        return -EINVAL;
    }
    begun = true;
    int result = ignore_signals();
    if (!result) {
        result = list_inherited();
    }
    int told = say(CONTROL, WORD_WAITING, -result);
    if (result || told) {
        restore_signals();
        return result ? result : told;
    }
    for (;;) {
        memset(template.fds, 0xff, sizeof template.fds);
        result = receive_fork();
        if (!result) {
            result = fork_orphan();
            if (result == 0) {
                return begin_fork();
            }
        }
        for (int i = 0; i < TEMPLATE_FDS; i++) {
            if (template.fds[i] >= 0) {
                close(template.fds[i]);
            }
        }
        if (say(CONTROL, WORD_FORKED, result < 0 ? -result : 0)) {
            wait_for_the_end();
        }
    }
}
