#include "registrar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

struct question {
    uint32_t cell, unused;
    uint64_t threshold;
};

static _Noreturn void serve(int socket)
{
    int keep[] = {socket};
    if (close_all_but(keep, 1)) {
        _exit(1);
    }
    for (;;) {
        struct question question;
        int fds[3];
        size_t count = 0;
        char text[64];
        ssize_t got = receive_packet(socket, &question, sizeof question, fds, 3, &count);
        if (got == 0) {
            _exit(0);
        }
        if (got != (ssize_t)sizeof question || count != 3) {
            _exit(1);
        }
        struct registrar_answer answer = {.cell = question.cell};
        snprintf(text, sizeof text, "%d %d %llu", fds[0], fds[1], (unsigned long long)question.threshold);
        if (write(fds[2], text, strlen(text)) < 0) {
            answer.result = -errno;
        }
        for (size_t i = 0; i < 3; i++) {
            close(fds[i]);
        }
        if (send_packet(socket, &answer, sizeof answer, NULL, 0)) {
            _exit(1);
        }
    }
}

int registrar_start(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        serve(pair[1]);
    }
    int error = errno;
    close(pair[1]);
    if (pid < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK)) {
        close(pair[0]);
        return pid < 0 ? -error : -errno;
    }
    return pair[0];
}

int registrar_ask(int registrar, uint32_t cell, int event, int usage, int control, uint64_t threshold)
{
    const struct question question = {.cell = cell, .threshold = threshold};
    const int fds[] = {event, usage, control};
    return send_packet(registrar, &question, sizeof question, fds, 3);
}

bool registrar_answered(int registrar, struct registrar_answer *answer)
{
    size_t count;
    return receive_packet(registrar, answer, sizeof *answer, NULL, 0, &count) == (ssize_t)sizeof *answer;
}
