#include "sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"
#include "util.h"

enum { LOOK_AGAIN_MS = 2, PER_BATCH = 32 };

struct family {
    uint8_t family, protocol;
};

static const struct family families[] = {{AF_INET, IPPROTO_TCP}, {AF_INET6, IPPROTO_TCP}, {AF_INET, IPPROTO_UDP}, {AF_INET6, IPPROTO_UDP}};

struct found {
    struct inet_diag_sockid *ids;
    size_t count, capacity;
};

static int keep(struct found *found, const struct inet_diag_sockid *id)
{
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 64;
        struct inet_diag_sockid *more = realloc(found->ids, capacity * sizeof *more);
        if (!more) {
            return -ENOMEM;
        }
        found->ids = more;
        found->capacity = capacity;
    }
    found->ids[found->count++] = *id;
    return 0;
}

// All of them in every state: also what never had a process, a connection that nobody has accepted.
static int list(int socket, struct family family, struct found *found)
{
    struct {
        struct nlmsghdr header;
        struct inet_diag_req_v2 body;
    } question = {{.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                  {.sdiag_family = family.family, .sdiag_protocol = family.protocol, .idiag_states = ~0U}};
    int result = 0;
    found->count = 0;
    if (send(socket, &question, sizeof question, 0) < 0) {
        return -errno;
    }
    for (;;) {
        _Alignas(NLMSG_ALIGNTO) uint8_t answer[32768];
        ssize_t got = recv(socket, answer, sizeof answer, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? -errno : -EPIPE;
        }
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answer;
        for (size_t left = (size_t)got; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE) {
                return result;
            }
            if (header->nlmsg_type == NLMSG_ERROR) {
                return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
            }
            if (header->nlmsg_type == SOCK_DIAG_BY_FAMILY && !result) {
                result = keep(found, &((const struct inet_diag_msg *)NLMSG_DATA(header))->id);
            }
        }
    }
}

// What has ended by itself meanwhile is no failure.
static int end_all(int socket, struct family family, const struct found *found)
{
    int result = 0;
    for (size_t at = 0; at < found->count;) {
        struct netlink_batch batch;
        netlink_begin(&batch);
        for (size_t i = 0; i < PER_BATCH && at < found->count; i++, at++) {
            const struct inet_diag_req_v2 body = {.sdiag_family = family.family, .sdiag_protocol = family.protocol, .idiag_states = ~0U, .id = found->ids[at]};
            netlink_request(&batch, SOCK_DESTROY, 0, &body, sizeof body);
        }
        int one = netlink_run(socket, &batch);
        result = one && one != -ENOENT ? one : result;
    }
    return result;
}

// A line of /proc/net/sockstat begins so, and its counts are those of the namespace, but for "orphan" and "mem".
static long counted(const char *text, const char *line, const char *what)
{
    const char *at = strstr(text, line), *end = at ? strchr(at, '\n') : NULL;
    const char *name = at ? strstr(at, what) : NULL;
    return name && end && name < end ? strtol(name + strlen(what), NULL, 10) : 0;
}

// What a kernel can say that lists no sockets (no module tcp_diag).
static int none_counted(void)
{
    char text[1024], text6[1024];
    ssize_t length = read_text(AT_FDCWD, "/proc/net/sockstat", text, sizeof text);
    if (length <= 0) {
        return -EOPNOTSUPP;
    }
    if (read_text(AT_FDCWD, "/proc/net/sockstat6", text6, sizeof text6) <= 0) {
        text6[0] = 0; // a host without IPv6
    }
    return counted(text, "TCP: ", " inuse ") || counted(text, "TCP: ", " tw ") || counted(text6, "TCP6: ", " inuse ") ? -EOPNOTSUPP : 0;
}

static int end_family(int socket, struct family family, int64_t until)
{
    struct found found = {0};
    for (;;) {
        int result = list(socket, family, &found);
        if (result || found.count == 0) {
            free(found.ids);
            // UDP sockets without a process keep nothing for long.
            return result != -ENOENT ? result : family.protocol == IPPROTO_UDP ? 0 : none_counted();
        }
        result = end_all(socket, family, &found);
        if ((result == -EOPNOTSUPP && family.protocol == IPPROTO_TCP) || monotonic_ms() > until) {
            free(found.ids);
            return result == -EOPNOTSUPP ? result : -ETIMEDOUT;
        }
        poll(NULL, 0, found.count > PER_BATCH ? 0 : LOOK_AGAIN_MS); // some go a moment later
    }
}

int sockets_end(int64_t until)
{
    int result = 0, socket = netlink_open(NETLINK_SOCK_DIAG, 0);
    if (socket < 0) {
        return socket;
    }
    for (size_t i = 0; i < sizeof families / sizeof *families && !result; i++) {
        result = end_family(socket, families[i], until);
    }
    close(socket);
    return result;
}
