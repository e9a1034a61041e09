#include "egress_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink.h"

enum { RANGES_MAX = 100000, NETLINK_STRICT = 12 }; // NETLINK_GET_STRICT_CHK

int host_network_open(struct host_network *host)
{
    int on = 1;
    host->ask = netlink_open(NETLINK_ROUTE, 0);
    host->events = netlink_open(NETLINK_ROUTE, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR);
    if (host->ask < 0 || host->events < 0) {
        return host->ask < 0 ? host->ask : host->events;
    }
    // So that a host with very many routes is asked for its local ones only.
    if (setsockopt(host->ask, SOL_NETLINK, NETLINK_STRICT, &on, sizeof on) || fcntl(host->events, F_SETFL, O_NONBLOCK)) {
        return -errno;
    }
    return 0;
}

static bool has_default(const char *path, bool (*is_default)(const char *line))
{
    FILE *file = fopen(path, "re");
    char line[512];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        found = is_default(line);
    }
    if (file) {
        fclose(file);
    }
    return found;
}

enum { ROUTE_UP = 1, ROUTE_REJECT = 0x200 };

static bool is_default4(const char *line)
{
    char name[32];
    unsigned long to, via, mask;
    unsigned flags;
    return sscanf(line, "%31s %lx %lx %x %*d %*d %*d %lx", name, &to, &via, &flags, &mask) == 5 && to == 0 && mask == 0 && (flags & ROUTE_UP) &&
           !(flags & ROUTE_REJECT);
}

static bool is_default6(const char *line)
{
    char to[33];
    unsigned length, flags;
    return sscanf(line, "%32s %x %*s %*s %*s %*s %*s %*s %x", to, &length, &flags) == 3 && length == 0 && strspn(to, "0") == 32 &&
           (flags & ROUTE_UP) && !(flags & ROUTE_REJECT);
}

void host_default_routes(bool *v4, bool *v6)
{
    *v4 = has_default("/proc/net/route", is_default4);
    *v6 = has_default("/proc/net/ipv6_route", is_default6);
}

struct found {
    struct range *ranges;
    size_t count, capacity;
};

static int add(struct found *found, const struct nlmsghdr *header)
{
    const struct rtmsg *route = NLMSG_DATA(header);
    int left = (int)RTM_PAYLOAD(header);
    size_t size = route->rtm_family == AF_INET ? 4 : 16;
    struct range range = {.family = route->rtm_family, .length = route->rtm_dst_len};
    bool named = route->rtm_dst_len == 0;
    for (const struct rtattr *attribute = RTM_RTA(route); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == RTA_DST && RTA_PAYLOAD(attribute) == size) {
            memcpy(range.bytes, RTA_DATA(attribute), size);
            named = true;
        }
    }
    if (!named) {
        return -EPROTO;
    }
    if (found->count == found->capacity) {
        size_t capacity = found->capacity ? 2 * found->capacity : 64;
        struct range *more = capacity <= RANGES_MAX ? realloc(found->ranges, capacity * sizeof *more) : NULL;
        if (!more) {
            return capacity <= RANGES_MAX ? -ENOMEM : -E2BIG;
        }
        found->ranges = more;
        found->capacity = capacity;
    }
    found->ranges[found->count++] = range;
    return 0;
}

static int dump(int socket, uint8_t family, uint8_t type, struct found *found)
{
    static uint32_t sequence;
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
    } question = {{.nlmsg_len = sizeof question, .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = ++sequence},
                  {.rtm_family = family, .rtm_type = type}};
    if (send(socket, &question, sizeof question, 0) < 0) {
        return -errno;
    }
    for (int result = 0;;) {
        _Alignas(NLMSG_ALIGNTO) uint8_t answer[32768];
        ssize_t got = recv(socket, answer, sizeof answer, 0);
        if (got <= 0) {
            return got < 0 ? -errno : -EPIPE;
        }
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answer;
        for (size_t left = (size_t)got; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_seq != sequence) {
                continue;
            }
            if (header->nlmsg_type == NLMSG_DONE) {
                return result;
            }
            if (header->nlmsg_type == NLMSG_ERROR) {
                return ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
            }
            // An answer that was interrupted by a change is told again: the change is an event.
            if (header->nlmsg_type == RTM_NEWROUTE && ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type == type && !result) {
                result = add(found, header);
            }
        }
    }
}

int host_own_ranges(const struct host_network *host, struct range **ranges, size_t *count)
{
    struct found found = {0};
    int result = dump(host->ask, AF_INET, RTN_LOCAL, &found);
    if (!result) {
        result = dump(host->ask, AF_INET6, RTN_LOCAL, &found);
    }
    if (!result) {
        result = dump(host->ask, AF_INET6, RTN_ANYCAST, &found);
    }
    if (result == -EOPNOTSUPP && found.count > 0) {
        result = 0; // a host without IPv6
    }
    if (result) {
        free(found.ranges);
        return result;
    }
    *ranges = found.ranges;
    *count = found.count;
    return 0;
}

bool host_changed(const struct host_network *host)
{
    bool changed = false;
    for (;;) {
        _Alignas(NLMSG_ALIGNTO) uint8_t events[32768];
        ssize_t got = recv(host->events, events, sizeof events, 0);
        if (got <= 0) {
            return changed || (got < 0 && errno != EAGAIN && errno != EINTR); // ENOBUFS: some were lost
        }
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)events;
        for (size_t left = (size_t)got; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            uint8_t type = ((const struct rtmsg *)NLMSG_DATA(header))->rtm_type;
            bool route = header->nlmsg_type == RTM_NEWROUTE || header->nlmsg_type == RTM_DELROUTE;
            changed |= !route || type == RTN_LOCAL || type == RTN_ANYCAST;
        }
    }
}
