#include "egress.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "egress_plan.h"
#include "egress_rules.h"
#include "egress_warden.h"
#include "util.h"

enum { BEGIN_LIMIT_MS = 15000, WIRE_LIMIT_MS = 15000, LIST_MAX = 65536, OPER_UP = 6 }; // IF_OPER_UP of linux/if.h, which does not go with net/if.h

const char egress_resolv_conf[] = "nameserver " ROUTER_ADDRESS "\noptions timeout:3 attempts:2\n";

static const char *check_list(const char *list)
{
    struct range range;
    const char *wrong = list && strlen(list) > LIST_MAX ? "the list is too long" : NULL;
    while (list && *list && !wrong) {
        wrong = egress_take_range(&list, &range);
    }
    return wrong;
}

const char *egress_check_options(const struct egress_options *options)
{
    if (options->connections < 1 || options->connections > EGRESS_CONNECTIONS_MAX) {
        return "--egress-connections: 1 to 65535";
    }
    const char *wrong = check_list(options->allow);
    return wrong ? wrong : check_list(options->deny);
}

void egress_offer_tun(void)
{
    // Where udev runs all may open it already; elsewhere it is root's alone, and the launcher is not root for long. The mount is seen by the launcher only.
    if (mount("tmpfs", "/dev/net", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=4k,nr_inodes=8,mode=0755")) {
        return; // the warden says what is missing
    }
    if (mknod("/dev/net/tun", S_IFCHR | 0666, makedev(10, 200)) || chmod("/dev/net/tun", 0666)) {
        umount2("/dev/net", MNT_DETACH);
    }
}

static void warden_begin(const struct egress_options *options, int wires, int news)
{
    // The outer init is about to leave the host's files, with all that share its mounts.
    if (unshare(CLONE_NEWNS)) {
        struct warden_news bad = {.error = errno};
        snprintf(bad.why, sizeof bad.why, "no mount namespace for the warden: %s", strerror(errno));
        send_packet(news, &bad, sizeof bad, NULL, 0);
        _exit(1);
    }
    warden_run(options, wires, news);
}

void egress_start(struct egress *egress, const struct egress_options *options, struct missing *missing)
{
    int wires[2], news[2], fds[2];
    struct warden_news begun = {0};
    size_t count = 0;
    *egress = (struct egress){false, -1, -1, -1};
    if (!options->on) {
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wires) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, news)) {
        missing_add(missing, "egress", "raise the limit of open files", "no sockets: %s", strerror(errno));
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        warden_begin(options, wires[1], news[1]);
    }
    close(wires[1]);
    close(news[1]);
    struct pollfd answer = {news[0], POLLIN, 0};
    ssize_t got = pid > 0 && poll(&answer, 1, BEGIN_LIMIT_MS) == 1 ? receive_packet(news[0], &begun, sizeof begun, fds, 2, &count) : -ETIMEDOUT;
    close(news[0]);
    begun.why[sizeof begun.why - 1] = begun.fix[sizeof begun.fix - 1] = 0;
    if (got == (ssize_t)sizeof begun && begun.error == 0 && count == 2) {
        *egress = (struct egress){true, wires[0], fds[0], fds[1]};
        return;
    }
    close(wires[0]); // and so the warden ends, if it lives
    missing_add(missing, "egress", begun.fix[0] ? begun.fix : "see the launcher's lines on stderr", "%s",
                begun.why[0] ? begun.why : "what makes the router did not begin");
}

static int configure(const struct wire_answer *wire)
{
    struct netlink_batch batch;
    const struct address own = plan_cell(wire->number), own6 = plan_cell6(wire->number);
    const struct address router = plan_address(AF_INET, ROUTER_ADDRESS), router6 = plan_address(AF_INET6, ROUTER_ADDRESS6);
    const struct address all = {.family = AF_INET}, all6 = {.family = AF_INET6};
    int ask = netlink_open(NETLINK_ROUTE, 0);
    if (ask < 0) {
        return ask;
    }
    netlink_begin(&batch);
    netlink_silence(&batch, CELL_LINK_INDEX);
    netlink_raise(&batch, CELL_LINK_INDEX, false, 0);
    netlink_add_address(&batch, CELL_LINK_INDEX, &own);
    netlink_add_neighbor(&batch, CELL_LINK_INDEX, &router, &plan_router_mac);
    // Without IPv4 on the host there is still the router to ask for names.
    netlink_add_route(&batch, CELL_LINK_INDEX, wire->v4 ? &all : &router, wire->v4 ? 0 : 32, wire->v4 ? &router : NULL);
    if (wire->v6) {
        netlink_add_address(&batch, CELL_LINK_INDEX, &own6);
        netlink_add_neighbor(&batch, CELL_LINK_INDEX, &router6, &plan_router_mac);
        netlink_add_route(&batch, CELL_LINK_INDEX, &all6, 0, &router6);
    }
    int result = netlink_run(ask, &batch);
    close(ask);
    return result;
}

// Of the cell's link: IF_OPER_* of linux/if.h, or -errno.
static int link_state(int ask)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg body;
    } question = {{.nlmsg_len = sizeof question, .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST}, {.ifi_index = CELL_LINK_INDEX}};
    _Alignas(NLMSG_ALIGNTO) uint8_t answer[8192];
    ssize_t got = send(ask, &question, sizeof question, 0) < 0 ? -1 : recv(ask, answer, sizeof answer, 0);
    const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answer;
    if (got < 0) {
        return -errno;
    }
    if (!NLMSG_OK(header, (size_t)got) || header->nlmsg_type != RTM_NEWLINK) {
        return -EPROTO;
    }
    const struct ifinfomsg *link = NLMSG_DATA(header);
    int left = (int)IFLA_PAYLOAD(header);
    for (const struct rtattr *attribute = IFLA_RTA(link); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == IFLA_OPERSTATE) {
            return *(const uint8_t *)RTA_DATA(attribute);
        }
    }
    return -EPROTO;
}

// Of a pair of links the one that was raised first drops what it is to send until the kernel has noticed, in the background, that the other is up too: a second's loss
// for whoever begins a connection in that moment, as TCP does not ask again sooner. So that one is the cell's, which can look.
static int await_link(void)
{
    const int64_t until = monotonic_ms() + WIRE_LIMIT_MS;
    int ask = netlink_open(NETLINK_ROUTE, 0);
    int state = ask < 0 ? ask : 0;
    while (state >= 0 && (state = link_state(ask)) >= 0 && state != OPER_UP) {
        if (monotonic_ms() > until) {
            state = -ETIMEDOUT;
        }
        poll(NULL, 0, 1);
    }
    close_fd(&ask);
    return state < 0 ? state : 0;
}

static int ask_warden(int wires, const struct wire_request *request, int network, struct wire_answer *answer)
{
    int pair[2];
    size_t count = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        return -errno;
    }
    int result = send_packet(wires, request, sizeof *request, (int[]){pair[1], network}, network < 0 ? 1 : 2);
    close(pair[1]);
    struct pollfd ready = {pair[0], POLLIN, 0};
    if (!result && poll(&ready, 1, WIRE_LIMIT_MS) == 1) {
        ssize_t got = receive_packet(pair[0], answer, sizeof *answer, NULL, 0, &count);
        result = got == (ssize_t)sizeof *answer ? -answer->error : got < 0 ? (int)got : -EPIPE;
    } else if (!result) {
        result = -ETIMEDOUT;
    }
    close(pair[0]);
    return result;
}

uint32_t egress_address(uint32_t number)
{
    const struct address address = plan_cell(number);
    return (uint32_t)address.bytes[0] << 24 | (uint32_t)address.bytes[1] << 16 | (uint32_t)address.bytes[2] << 8 | address.bytes[3];
}

int egress_forget(int wires, uint32_t number)
{
    const struct wire_request request = {.kind = WIRE_FORGET, .number = number};
    struct wire_answer answer;
    return ask_warden(wires, &request, -1, &answer);
}

int egress_wire(int wires, uint32_t *number)
{
    const struct wire_request request = {.kind = WIRE_CELL};
    struct wire_answer answer;
    int network = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (network < 0) {
        return -errno;
    }
    int result = ask_warden(wires, &request, network, &answer);
    close(network);
    if (result) {
        return result;
    }
    *number = answer.number;
    result = configure(&answer);
    if (!result) {
        const struct wire_request raise = {.kind = WIRE_RAISE, .number = answer.number};
        result = ask_warden(wires, &raise, -1, &answer);
    }
    return result ? result : await_link();
}
