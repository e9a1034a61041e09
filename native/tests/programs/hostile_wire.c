// The hostile end of the wires of src/zygote_wire.h and src/snapshot_wire.h, for tests/fuzz_wires.py.
//   hostile_wire zygote SEED   a zygote that serves as one does, for the most part, and says what none may say
//   hostile_wire guest         a true zygote, whose guests get a seed over their channel (8 bytes) and play the template's part as badly as that seed says
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/snapshot_wire.h"
#include "../../src/zygote_wire.h"

extern int flint_zygote_serve(void) __attribute__((weak));

enum { CHANNEL = 3, CONTROL = 4, FDS_MAX = 32 };

static uint64_t state;
static uint8_t packet[1 << 16];

static uint32_t number(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 16) % below);
}

static uint32_t odd_number(void)
{
    static const uint32_t odd[] = {0, 1, 2, 3, 100, 4096, 65535, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    return number(2) ? number(12) : odd[number(sizeof odd / sizeof *odd)];
}

static void transmit(int to, const void *data, size_t length, size_t count)
{
    struct iovec part = {(void *)(uintptr_t)data, length};
    union {
        char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int null = count ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
    if (null >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        for (size_t i = 0; i < count; i++) {
            memcpy(CMSG_DATA(header) + i * sizeof(int), &null, sizeof null);
        }
    }
    sendmsg(to, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (null >= 0) {
        close(null);
    }
}

// As it is, or cut, longer, changed, with descriptors.
static void transmit_badly(int to, const void *data, size_t length)
{
    size_t count = 0;
    memcpy(packet, data, length);
    switch (number(6)) {
    case 0: length = number((uint32_t)length); break;
    case 1: memset(packet + length, 0x5a, 64); length += 1 + number(number(4) ? 64 : sizeof packet - 1024); break;
    case 2: packet[number((uint32_t)length)] = (uint8_t)number(256); break;
    case 3: count = 1 + number(number(2) ? 4 : FDS_MAX); break;
    case 4:
        for (size_t i = 0; i < length; i++) {
            packet[i] = (uint8_t)number(256);
        }
        break;
    default: break;
    }
    transmit(to, packet, length, count);
}

static size_t receive(int from, void *data, size_t size, int *fds, size_t *count)
{
    struct iovec part = {data, size};
    union {
        char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    *count = header && header->cmsg_type == SCM_RIGHTS ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (*count) {
        memcpy(fds, CMSG_DATA(header), *count * sizeof(int));
    }
    if (got <= 0) {
        _exit(0);
    }
    return (size_t)got;
}

// ---- a zygote ----

static void tell_news(uint32_t cell)
{
    struct zygote_news news = {.kind = 3 + number(4), .cell = number(3) ? cell : odd_number(), .pid = number(3) ? getpid() : (int32_t)odd_number(),
                               .error = (int32_t)odd_number()};
    memset(news.phase, 'p', number(2) ? sizeof news.phase : 5);
    memset(news.message, 'm', number(2) ? sizeof news.message : 5);
    if (number(3)) {
        transmit(ZYGOTE_SOCKET, &news, sizeof news, 0);
    } else {
        transmit_badly(ZYGOTE_SOCKET, &news, sizeof news);
    }
}

static _Noreturn void be_zygote(void)
{
    int fds[FDS_MAX];
    size_t count;
    uint32_t cell = 0;
    receive(ZYGOTE_SOCKET, packet, sizeof packet, fds, &count);
    if (number(4)) {
        const struct zygote_news ready = {.kind = ZYGOTE_READY};
        transmit(ZYGOTE_SOCKET, &ready, sizeof ready, 0);
    }
    for (uint32_t left = 1 + number(12); left > 0; left--) {
        struct pollfd wait = {ZYGOTE_SOCKET, POLLIN, 0};
        if (poll(&wait, 1, number(2) ? 100 : 0) > 0 && number(8)) {
            receive(ZYGOTE_SOCKET, packet, sizeof packet, fds, &count);
            memcpy(&cell, packet + 4, sizeof cell);
            for (size_t i = 0; i < count; i++) {
                close(fds[i]);
            }
            struct zygote_news entered = {.kind = ZYGOTE_ENTERED, .cell = cell};
            if (number(2)) { // says that it has forked, and it has not
                transmit(ZYGOTE_SOCKET, &entered, sizeof entered, 0);
            }
            continue;
        }
        tell_news(cell);
    }
    if (number(2)) {
        close(ZYGOTE_SOCKET);
    }
    for (; number(2);) {
        pause();
    }
    _exit((int)number(256));
}

// ---- a guest that should become a template ----

static void say(int to, uint32_t kind)
{
    const struct snapshot_word word = {.kind = kind, .error = number(24) ? 0 : (int32_t)odd_number()};
    if (number(24)) {
        transmit(to, &word, sizeof word, 0);
    } else {
        const struct snapshot_word odd = {.kind = number(9), .error = (int32_t)odd_number()};
        transmit_badly(to, number(2) ? &word : &odd, sizeof word);
    }
}

// Another process says it, or the same twice, or more than was due.
static void misbehave(int to)
{
    switch (number(72)) {
    case 0: say(to, number(9)); break;
    case 1:
        if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
            say(to, 1 + number(7));
            _exit(0);
        }
        break;
    case 2:
        for (uint32_t i = number(200); i > 0; i--) {
            say(to, number(9));
        }
        break;
    case 3: close(to); break;
    case 4: shutdown(to, (int)number(3)); break;
    case 5: _exit((int)number(256));
    default: break;
    }
}

static void be_fork(int control)
{
    int fds[FDS_MAX];
    size_t count;
    misbehave(control);
    say(control, WORD_HERE);
    misbehave(control);
    receive(control, packet, sizeof packet, fds, &count);
    misbehave(control);
    usleep(number(3) * 1000);
    _exit((int)number(256));
}

static void fork_orphan(int control)
{
    pid_t helper = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (helper == 0) {
        if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
            be_fork(control);
        }
        _exit(0);
    }
    waitpid(helper, NULL, 0);
}

static _Noreturn void be_guest(void)
{
    int fds[FDS_MAX];
    size_t count;
    if (read(CHANNEL, &state, sizeof state) != sizeof state) {
        _exit(1);
    }
    misbehave(CONTROL);
    receive(CONTROL, packet, sizeof packet, fds, &count); // GO
    misbehave(CONTROL);
    say(CONTROL, WORD_LOADED);
    misbehave(CONTROL);
    receive(CONTROL, packet, sizeof packet, fds, &count); // BEGIN
    misbehave(CONTROL);
    say(CONTROL, WORD_WAITING);
    for (;;) {
        misbehave(CONTROL);
        receive(CONTROL, packet, sizeof packet, fds, &count);
        misbehave(CONTROL);
        if (count == TEMPLATE_FDS && number(24)) {
            fork_orphan(fds[TEMPLATE_FDS - 1]);
        }
        for (size_t i = 0; i < count; i++) {
            close(fds[i]);
        }
        misbehave(CONTROL);
        say(CONTROL, WORD_FORKED);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "zygote") == 0) {
        state = strtoull(argv[2], NULL, 10) | 1;
        be_zygote();
    }
    if (!flint_zygote_serve || flint_zygote_serve()) {
        return 95;
    }
    be_guest();
}
