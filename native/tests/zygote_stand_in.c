// In the zygotes of tests that have no launcher: forks plain processes in no cell. One packet on descriptor 3 with four descriptors (channel, stdout, stderr, control)
// asks for a fork and is answered with its pid, four bytes; "G" on the control socket is GO. A template gets such packets on its control socket.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../zygote/flint_zygote.h"

#define RESERVED 4
#define LAST 1023

static int forked, forking, null_device;
static int descriptors[4];
static unsigned char inherited[LAST + 1];

// Before the handlers of the interpreter's libraries, which open descriptors of the guest's own.
static void take_descriptors(void)
{
    static const int to[4] = {3, 1, 2, RESERVED};
    if (!forking) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        dup2(descriptors[i], to[i]);
        close(descriptors[i]);
    }
    for (int i = RESERVED + 1; i <= LAST; i++) {
        if (inherited[i]) {
            dup3(null_device, i, O_CLOEXEC);
        }
    }
    close(null_device);
    forking = 0;
}

__attribute__((constructor)) static void start(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup3(null, RESERVED, O_CLOEXEC);
    if (null != RESERVED) {
        close(null);
    }
    char *value = getenv("LD_PRELOAD");
    if (value != NULL) {
        unsetenv("LD_PRELOAD");
        explicit_bzero(value - strlen("LD_PRELOAD="), strlen("LD_PRELOAD=") + strlen(value));
    }
    pthread_atfork(NULL, NULL, take_descriptors);
}

static int receive(int socket)
{
    char word[8], room[CMSG_SPACE(4 * sizeof(int))];
    struct iovec part = {word, sizeof word};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    ssize_t count;
    do {
        count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        _exit(0);
    }
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_len != CMSG_LEN(4 * sizeof(int))) {
        return -EPROTO;
    }
    memcpy(descriptors, CMSG_DATA(header), sizeof descriptors);
    return 0;
}

// The helper shares this process's memory and stack while this process waits for it; its child is nobody's here and goes on from this frame in a copy of the memory.
__attribute__((noinline)) static pid_t fork_away(void)
{
    static volatile pid_t child;
    pid_t helper = vfork();
    if (helper == 0) {
        child = fork();
        if (child == 0) {
            return 0;
        }
        _exit(0);
    }
    waitpid(helper, NULL, __WALL);
    return child;
}

static int serve_on(int socket)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    null_device = fcntl(null, F_DUPFD_CLOEXEC, 100);
    close(null);
    for (int i = RESERVED + 1; i <= LAST; i++) {
        inherited[i] = i != null_device && fcntl(i, F_GETFD) >= 0;
    }
    for (;;) {
        int result = receive(socket);
        if (result != 0) {
            return result;
        }
        forking = 1;
        pid_t pid = fork_away();
        if (pid == 0) {
            forked = 1;
            setsid();
            return fcntl(RESERVED, F_SETFD, FD_CLOEXEC);
        }
        forking = 0;
        for (int i = 0; i < 4; i++) {
            close(descriptors[i]);
        }
        if (send(socket, &pid, sizeof pid, MSG_NOSIGNAL) != sizeof pid) {
            _exit(0);
        }
    }
}

int flint_zygote_serve(void)
{
    int type;
    socklen_t size = sizeof type;
    if (getsockopt(3, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_SEQPACKET) {
        return -ENOTSOCK;
    }
    return serve_on(3);
}

int flint_zygote_go(int snapshot)
{
    char word;
    ssize_t count;
    do {
        count = recv(4, &word, 1, 0);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        _exit(0);
    }
    return snapshot || close(4) == 0 ? 0 : -errno;
}

int flint_zygote_template(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    int control = fcntl(4, F_DUPFD_CLOEXEC, 5);
    if (control < 0) {
        return -errno;
    }
    int result = serve_on(control);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result != 0 ? result : flint_zygote_go(0);
}

int flint_zygote_is_fork(void)
{
    return forked;
}
