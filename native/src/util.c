#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void diag(const char *format, ...)
{
    char line[1024];
    int at = snprintf(line, sizeof line, "flint-launcher: ");
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + at, sizeof line - (size_t)at - 1, format, arguments);
    va_end(arguments);
    size_t length = strlen(line);
    if (more < 0) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)line[i] < ' ') {
            line[i] = ' ';
        }
    }
    line[length++] = '\n';
    // Nowhere to report a failure of the report itself.
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored;
}

int write_text(int dir, const char *path, const char *text)
{
    int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t written = write(fd, text, strlen(text));
    int result = written < 0 ? -errno : (size_t)written == strlen(text) ? 0 : -EIO;
    close(fd);
    return result;
}

ssize_t read_text(int dir, const char *path, char *buffer, size_t size)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t length = 0;
    while (length < size - 1) {
        ssize_t got = read(fd, buffer + length, size - 1 - length);
        if (got < 0) {
            int error = errno;
            close(fd);
            return -error;
        }
        if (got == 0) {
            break;
        }
        length += (size_t)got;
    }
    buffer[length] = 0;
    close(fd);
    return (ssize_t)length;
}

int make_file(int dir, const char *path, const char *text, mode_t mode)
{
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return -errno;
    }
    size_t length = strlen(text);
    ssize_t written = length ? write(fd, text, length) : 0;
    int result = written < 0 ? -errno : (size_t)written == length ? 0 : -EIO;
    if (!result && fchmod(fd, mode)) {
        result = -errno;
    }
    close(fd);
    return result;
}

int copy_file(const char *from, int to_dir, const char *to, mode_t mode)
{
    int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0) {
        return -errno;
    }
    int target = openat(to_dir, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    int result = target < 0 ? -errno : 0;
    char block[16384];
    while (!result) {
        ssize_t got = read(source, block, sizeof block);
        if (got <= 0) {
            result = got < 0 ? -errno : 0;
            break;
        }
        for (ssize_t done = 0; done < got && !result;) {
            ssize_t put = write(target, block + done, (size_t)(got - done));
            if (put < 0) {
                result = -errno;
            } else {
                done += put;
            }
        }
    }
    if (!result && fchmod(target, mode)) {
        result = -errno;
    }
    if (target >= 0) {
        close(target);
    }
    close(source);
    return result;
}

int send_packet(int socket, const void *data, size_t length, const int *fds, size_t count)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};
    union {
        char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > MESSAGE_FDS_MAX) {
        return -EINVAL;
    }
    if (count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    }
    for (;;) {
        ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (sent >= 0) {
            return 0;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

ssize_t receive_packet(int socket, void *buffer, size_t size, int *fds, size_t capacity, size_t *count)
{
    struct iovec part = {.iov_base = buffer, .iov_len = size};
    union {
        char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got;
    *count = 0;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -errno;
    }
    int arrived[MESSAGE_FDS_MAX];
    size_t total = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < here && total < MESSAGE_FDS_MAX; i++) {
                memcpy(&arrived[total++], CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            }
        }
    }
    if (total > capacity || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (size_t i = 0; i < total; i++) {
            close(arrived[i]);
        }
        return -EMSGSIZE;
    }
    if (total > 0) {
        memcpy(fds, arrived, total * sizeof(int));
    }
    *count = total;
    return got;
}

void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int close_all_but(int *keep, size_t count)
{
    unsigned next = 3;
    qsort(keep, count, sizeof *keep, compare_fds);
    for (size_t i = 0; i < count; i++) {
        if (keep[i] < 3 || (unsigned)keep[i] < next) {
            continue;
        }
        if ((unsigned)keep[i] > next && syscall(SYS_close_range, next, (unsigned)keep[i] - 1, 0)) {
            return -errno;
        }
        next = (unsigned)keep[i] + 1;
    }
    return syscall(SYS_close_range, next, ~0U, 0) ? -errno : 0;
}

int64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t monotonic_ms(void)
{
    return monotonic_us() / 1000;
}
