#include "egress_router.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

enum { LOOPBACK_INDEX = 1, DNS_PORT = 53, DNS_BACKLOG = 128, WIRE_ATTEMPTS = 2000 };

struct setting {
    const char *path, *value;
    bool required;
};

static const struct setting before[] = {
    {"/proc/sys/net/ipv4/ip_forward", "1", true},
    {"/proc/sys/net/ipv4/conf/all/rp_filter", "1", true},
    {"/proc/sys/net/ipv4/conf/default/rp_filter", "1", true},
    {"/proc/sys/net/ipv4/conf/all/route_localnet", "0", true},
    {"/proc/sys/net/ipv4/conf/default/route_localnet", "0", true},
    {"/proc/sys/net/ipv4/conf/all/accept_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/default/accept_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/all/send_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/default/send_redirects", "0", false},
    {"/proc/sys/net/ipv4/conf/all/accept_source_route", "0", false},
    {"/proc/sys/net/ipv4/icmp_ratelimit", "0", false}, // a refusal must be heard, however many there are
};

static const struct setting before6[] = {
    {"/proc/sys/net/ipv6/conf/all/forwarding", "1", true},
    {"/proc/sys/net/ipv6/conf/default/forwarding", "1", true},
    {"/proc/sys/net/ipv6/conf/all/accept_redirects", "0", false},
    {"/proc/sys/net/ipv6/conf/default/accept_redirects", "0", false},
    {"/proc/sys/net/ipv6/conf/default/accept_ra", "0", false},
    {"/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1", false},
    {"/proc/sys/net/ipv6/icmp/ratelimit", "0", false},
};

static const struct setting tuned[] = {
    {"/proc/sys/net/netfilter/nf_conntrack_tcp_loose", "0", false}, // a connection begins with its first packet
    {"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", "3600", false},
};

// What the child that makes the namespace says, with the descriptors.
struct made {
    int32_t error;
    char step[64];
};

static int set_all(const struct setting *settings, size_t count, struct made *made)
{
    for (size_t i = 0; i < count; i++) {
        int result = write_text(AT_FDCWD, settings[i].path, settings[i].value);
        if (result && settings[i].required) {
            snprintf(made->step, sizeof made->step, "%s", settings[i].path);
            return result;
        }
    }
    return 0;
}

static int listen_dns(int type)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(DNS_PORT), .sin_addr = {inet_addr(ROUTER_ADDRESS)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) || (type == SOCK_STREAM && listen(fd, DNS_BACKLOG))) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int raise_loopback(int ask, bool v6)
{
    struct netlink_batch batch;
    const struct address own = plan_address(AF_INET, ROUTER_ADDRESS), own6 = plan_address(AF_INET6, ROUTER_ADDRESS6);
    netlink_begin(&batch);
    netlink_raise(&batch, LOOPBACK_INDEX, true, 0);
    netlink_add_address(&batch, LOOPBACK_INDEX, &own);
    if (v6) {
        netlink_add_address(&batch, LOOPBACK_INDEX, &own6);
    }
    return netlink_run(ask, &batch);
}

static int fill(int fds[ROUTER_FDS], bool v6, struct made *made)
{
    snprintf(made->step, sizeof made->step, "a network namespace");
    if (unshare(CLONE_NEWNET)) {
        return -errno;
    }
    fds[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fds[0] < 0) {
        return -errno;
    }
    int result = set_all(before, sizeof before / sizeof *before, made);
    if (!result && v6) {
        result = set_all(before6, sizeof before6 / sizeof *before6, made);
    }
    if (result) {
        return result;
    }
    snprintf(made->step, sizeof made->step, "netlink");
    fds[1] = netlink_open(NETLINK_ROUTE, 0);
    fds[2] = netlink_open(NETLINK_ROUTE, RTMGRP_LINK);
    fds[3] = netlink_open(NETLINK_NETFILTER, 0);
    for (int i = 1; i < 4; i++) {
        if (fds[i] < 0) {
            return fds[i];
        }
    }
    snprintf(made->step, sizeof made->step, "the router's addresses");
    result = raise_loopback(fds[1], v6);
    if (result) {
        return result;
    }
    snprintf(made->step, sizeof made->step, "port 53 of the router");
    fds[4] = listen_dns(SOCK_DGRAM);
    fds[5] = listen_dns(SOCK_STREAM);
    return fds[4] < 0 ? fds[4] : fds[5] < 0 ? fds[5] : 0;
}

int router_make(struct router *router, bool v6, char *why, size_t size)
{
    int pair[2], fds[ROUTER_FDS];
    struct made made = {0};
    size_t count = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        return -errno;
    }
    pid_t pid = fork();
    if (pid == 0) {
        made.error = fill(fds, v6, &made);
        _exit(send_packet(pair[1], &made, sizeof made, fds, made.error ? 0 : ROUTER_FDS) ? 1 : 0);
    }
    int result = pid < 0 ? -errno : 0;
    close(pair[1]);
    if (!result && receive_packet(pair[0], &made, sizeof made, fds, ROUTER_FDS, &count) != (ssize_t)sizeof made) {
        result = -EPROTO;
    }
    close(pair[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    result = result ? result : made.error;
    made.step[sizeof made.step - 1] = 0;
    snprintf(why, size, "%s", made.step);
    if (!result && count != ROUTER_FDS) {
        result = -EPROTO;
    }
    if (!result) {
        *router = (struct router){fds[0], fds[1], fds[2], fds[3], fds[4], fds[5]};
    }
    return result;
}

void router_tune(const struct router *router)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct made ignored;
        _exit(setns(router->network, CLONE_NEWNET) || set_all(tuned, sizeof tuned / sizeof *tuned, &ignored) ? 1 : 0);
    }
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

int router_raise_tap(const struct router *router, uint32_t link, bool v4, bool v6)
{
    struct netlink_batch batch;
    const struct address own = plan_address(AF_INET, TAP_ADDRESS), gateway = plan_address(AF_INET, TAP_GATEWAY), all = {.family = AF_INET};
    const struct address own6 = plan_address(AF_INET6, TAP_ADDRESS6), gateway6 = plan_address(AF_INET6, TAP_GATEWAY6), all6 = {.family = AF_INET6};
    netlink_begin(&batch);
    netlink_raise(&batch, link, false, WIRE_MTU);
    if (v4) {
        netlink_add_address(&batch, link, &own);
        netlink_add_neighbor(&batch, link, &gateway, &plan_gateway_mac);
        netlink_add_route(&batch, link, &all, 0, &gateway);
    }
    if (v6) {
        netlink_add_address(&batch, link, &own6);
        netlink_add_neighbor(&batch, link, &gateway6, &plan_gateway_mac);
        netlink_add_route(&batch, link, &all6, 0, &gateway6);
    }
    return netlink_run(router->ask, &batch);
}

static int try_wire(const struct router *router, int cell, uint32_t number)
{
    struct netlink_batch batch;
    uint32_t link = WIRE_INDEX_FIRST + number;
    struct veth_pair pair = {.peer_name = CELL_LINK, .index = link, .peer_index = CELL_LINK_INDEX, .mac = plan_router_mac,
                             .peer_mac = plan_cell_mac, .mtu = WIRE_MTU, .peer_namespace = cell};
    snprintf(pair.name, sizeof pair.name, "c%u", number);
    netlink_begin(&batch);
    netlink_add_veth(&batch, &pair);
    return netlink_run(router->ask, &batch);
}

int router_raise(const struct router *router, uint32_t number, bool v6)
{
    struct netlink_batch batch;
    const uint32_t link = WIRE_INDEX_FIRST + number;
    const struct address address = plan_cell(number), address6 = plan_cell6(number);
    netlink_begin(&batch);
    netlink_raise(&batch, link, false, 0);
    netlink_add_neighbor(&batch, link, &address, &plan_cell_mac);
    netlink_add_route(&batch, link, &address, 32, NULL);
    if (v6) {
        netlink_add_neighbor(&batch, link, &address6, &plan_cell_mac);
        netlink_add_route(&batch, link, &address6, 128, NULL);
    }
    return netlink_run(router->ask, &batch);
}

int router_wire(const struct router *router, int cell, uint32_t *number)
{
    int result = -EEXIST;
    for (unsigned attempt = 0; attempt < WIRE_ATTEMPTS && (result == -EEXIST || result == -EBUSY); attempt++) {
        uint32_t next = (*number + attempt) % WIRES_MAX;
        result = try_wire(router, cell, next);
        if (!result) {
            *number = next;
        }
    }
    return result;
}

static int forget(const struct router *router, const struct address *address)
{
    struct netlink_batch batch;
    const struct nfgenmsg body = {.nfgen_family = (uint8_t)address->family};
    enum { FILTER = 25, FILTER_ORIGINAL = 1 }; // CTA_FILTER, CTA_FILTER_ORIG_FLAGS: Linux 5.8
    const uint32_t flags = 1; // CTA_FILTER_F_CTA_IP_SRC, which no header has
    netlink_begin(&batch);
    netlink_request(&batch, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &body, sizeof body);
    size_t tuple = netlink_nest(&batch, NLA_F_NESTED | CTA_TUPLE_ORIG);
    size_t ip = netlink_nest(&batch, NLA_F_NESTED | CTA_TUPLE_IP);
    netlink_attribute(&batch, address->family == AF_INET ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, address->bytes, address->family == AF_INET ? 4 : 16);
    netlink_unnest(&batch, ip);
    netlink_unnest(&batch, tuple);
    size_t filter = netlink_nest(&batch, NLA_F_NESTED | FILTER);
    netlink_attribute(&batch, FILTER_ORIGINAL, &flags, sizeof flags);
    netlink_unnest(&batch, filter);
    return netlink_run(router->flows, &batch);
}

int router_forget(const struct router *router, uint32_t number)
{
    const struct address address = plan_cell(number), address6 = plan_cell6(number);
    int result = forget(router, &address), result6 = forget(router, &address6);
    result = result ? result : result6;
    return result == -ENOENT ? 0 : result;
}
