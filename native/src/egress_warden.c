#include "egress_warden.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "egress_host.h"
#include "egress_programs.h"
#include "egress_router.h"
#include "util.h"

enum { TAP_LIMIT_MS = 5000, RESTART_MS = 1000, RULES_RETRY_MS = 1000, TEST_LINE = 200 };

struct warden {
    const struct egress_options *options;
    int wires, news, signals;
    struct host_network host;
    struct router router;
    const char *nft, *pasta_path;
    bool v4, v6;
    bool wanted;           // a cell has been wired: pasta is kept running
    pid_t pasta;           // 0: none
    int pasta_said;        // -1: none
    char words[TEST_LINE]; // pasta's last
    uint32_t tap;          // the index of its link, 0 until it is there
    uint32_t next;         // number of the next cell's link
    int64_t restart_ms;    // when pasta is to be started; 0: not
    int64_t rules_ms;      // when the host's addresses are to be read; 0: not
};

static _Noreturn void give_up(const struct warden *warden, const char *fix, const char *format, ...) __attribute__((format(printf, 3, 4)));

static _Noreturn void give_up(const struct warden *warden, const char *fix, const char *format, ...)
{
    struct warden_news news = {.error = EOPNOTSUPP};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(news.why, sizeof news.why, format, arguments);
    va_end(arguments);
    snprintf(news.fix, sizeof news.fix, "%s", fix);
    send_packet(warden->news, &news, sizeof news, NULL, 0);
    _exit(1);
}

// ---- the rules ----

// The host's own addresses, behind all other rules when these are to be made first.
struct rules {
    const struct egress_options *options; // NULL: the rules are there
    struct range *own;
    size_t count;
};

static void write_rules(FILE *out, const struct rules *rules)
{
    if (rules->options) {
        egress_write_rules(out, rules->options);
    }
    egress_write_host(out, rules->own, rules->count);
}

static int load(const struct warden *warden, const struct rules *rules, char *why, size_t size)
{
    int memory = memfd_create("rules", MFD_CLOEXEC);
    int copy = memory < 0 ? -1 : dup(memory);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "w");
    if (!out) {
        close_fd(&copy);
        close_fd(&memory);
        return -ENOMEM;
    }
    write_rules(out, rules);
    int result = fclose(out) ? -EIO : egress_run_nft(warden->nft, warden->router.network, memory, why, size);
    close(memory);
    return result;
}

static int load_rules(const struct warden *warden, bool first, char *why, size_t size)
{
    struct rules rules = {.options = first ? warden->options : NULL};
    int result = host_own_ranges(&warden->host, &rules.own, &rules.count);
    snprintf(why, size, "%s", result ? strerror(-result) : "");
    if (!result) {
        result = load(warden, &rules, why, size);
    }
    free(rules.own);
    return result;
}

// ---- pasta ----

static void stop_pasta(struct warden *warden)
{
    if (warden->pasta > 0) {
        kill(warden->pasta, SIGKILL);
        while (waitpid(warden->pasta, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    warden->pasta = 0;
    warden->tap = 0;
    close_fd(&warden->pasta_said);
}

static void start_pasta(struct warden *warden)
{
    warden->restart_ms = 0;
    warden->words[0] = 0;
    pid_t pid = egress_start_pasta(warden->pasta_path, warden->router.network, warden->v4, warden->v6, &warden->pasta_said);
    if (pid < 0) {
        diag("pasta cannot be started: %s", strerror(-pid));
        warden->restart_ms = monotonic_ms() + RESTART_MS;
        return;
    }
    warden->pasta = pid;
}

static void hear_pasta(struct warden *warden)
{
    char part[TEST_LINE];
    ssize_t got = -1;
    while (warden->pasta_said >= 0 && (got = read(warden->pasta_said, part, sizeof part - 1)) > 0) {
        part[got] = 0;
        snprintf(warden->words, sizeof warden->words, "%s", part);
    }
    if (got == 0) {
        close_fd(&warden->pasta_said); // its end would be told again and again
    }
}

static void reap(struct warden *warden)
{
    struct signalfd_siginfo ignored[8];
    pid_t pid;
    while (read(warden->signals, ignored, sizeof ignored) > 0) {
    }
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        if (pid == warden->pasta) {
            hear_pasta(warden);
            warden->pasta = 0;
            stop_pasta(warden);
            diag("pasta ended; functions have no network until it is up again: %s", warden->words);
            warden->restart_ms = monotonic_ms() + RESTART_MS;
        }
    }
}

// ---- links ----

static void tap_came(struct warden *warden, uint32_t link)
{
    if (warden->tap == link) {
        return;
    }
    int result = router_raise_tap(&warden->router, link, warden->v4, warden->v6);
    if (result) {
        diag("the link of pasta: %s", strerror(-result));
        stop_pasta(warden);
        warden->restart_ms = monotonic_ms() + RESTART_MS;
        return;
    }
    warden->tap = link;
}

static void link_event(struct warden *warden, const struct nlmsghdr *header)
{
    const struct ifinfomsg *link = NLMSG_DATA(header);
    int left = (int)IFLA_PAYLOAD(header);
    char name[LINK_NAME_MAX + 1] = "";
    for (const struct rtattr *attribute = IFLA_RTA(link); RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
        if (attribute->rta_type == IFLA_IFNAME && RTA_PAYLOAD(attribute) <= LINK_NAME_MAX) {
            memcpy(name, RTA_DATA(attribute), RTA_PAYLOAD(attribute));
        }
    }
    if (header->nlmsg_type == RTM_NEWLINK && strcmp(name, TAP_NAME) == 0 && warden->pasta > 0) {
        tap_came(warden, (uint32_t)link->ifi_index);
    } else if (header->nlmsg_type == RTM_DELLINK && name[0] == 'c' && link->ifi_index >= WIRE_INDEX_FIRST) {
        int result = router_forget(&warden->router, (uint32_t)link->ifi_index - WIRE_INDEX_FIRST);
        if (result) {
            diag("connections of a sandbox that is gone: %s", strerror(-result));
        }
    }
}

static void hear_links(struct warden *warden)
{
    _Alignas(NLMSG_ALIGNTO) uint8_t events[32768];
    ssize_t got;
    while ((got = recv(warden->router.links, events, sizeof events, MSG_DONTWAIT)) > 0) {
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)events;
        for (size_t left = (size_t)got; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == RTM_NEWLINK || header->nlmsg_type == RTM_DELLINK) {
                link_event(warden, header);
            }
        }
    }
}

// Starts pasta and waits for its link.
static bool raise_pasta(struct warden *warden)
{
    int64_t until = monotonic_ms() + TAP_LIMIT_MS;
    if (warden->pasta == 0) {
        start_pasta(warden);
    }
    while (warden->pasta > 0 && warden->tap == 0 && monotonic_ms() < until) {
        struct pollfd sources[] = {{warden->router.links, POLLIN, 0}, {warden->signals, POLLIN, 0}};
        poll(sources, 2, 100);
        hear_links(warden);
        if (warden->pasta > 0 && waitpid(warden->pasta, NULL, WNOHANG) == warden->pasta) {
            warden->pasta = 0;
        }
    }
    hear_pasta(warden);
    if (warden->tap == 0) {
        stop_pasta(warden);
    }
    return warden->tap != 0;
}

// ---- cells ----

// Whether what a cell sends will leave: pasta and its link are there. It is started for the first cell, and for one that comes just after its end.
static bool forwards(struct warden *warden)
{
    warden->wanted = true;
    if (warden->tap == 0 && warden->rules_ms == 0 && !raise_pasta(warden)) {
        diag("pasta does not start; it is tried again: %s", warden->words);
        warden->restart_ms = monotonic_ms() + RESTART_MS;
    }
    return warden->tap != 0;
}

static void serve_wires(struct warden *warden)
{
    struct wire_request request;
    int fds[2];
    size_t count = 0;
    ssize_t got = receive_packet(warden->wires, &request, sizeof request, fds, 2, &count);
    if (got <= 0 && got != -EAGAIN) {
        _exit(0); // the launcher is gone
    }
    struct wire_answer answer = {.error = EPROTO, .v4 = warden->v4, .v6 = warden->v6};
    if (got == (ssize_t)sizeof request && count == 2 && request.kind == WIRE_CELL) {
        uint32_t number = warden->next;
        answer.error = -router_wire(&warden->router, fds[1], &number);
        answer.number = number;
        // Far from used again: what is still on its way to a cell that is gone must not meet another.
        warden->next = (number + 1) % WIRES_MAX;
        send_packet(fds[0], &answer, sizeof answer, NULL, 0);
    } else if (got == (ssize_t)sizeof request && count == 1 && request.kind == WIRE_RAISE && request.number < WIRES_MAX) {
        answer.error = forwards(warden) ? -router_raise(&warden->router, request.number, warden->v6) : EHOSTDOWN;
        send_packet(fds[0], &answer, sizeof answer, NULL, 0);
    } else if (got == (ssize_t)sizeof request && count == 1 && request.kind == WIRE_FORGET) {
        answer.error = -router_forget(&warden->router, request.number);
        send_packet(fds[0], &answer, sizeof answer, NULL, 0);
    }
    for (size_t i = 0; i < count; i++) {
        close(fds[i]);
    }
}

// ---- the beginning ----

static void begin_rules(struct warden *warden)
{
    char why[160];
    if (load_rules(warden, true, why, sizeof why)) {
        give_up(warden, "a kernel with nf_tables and its parts ct, nat, fib, reject, connlimit and limit (modules nft_*)", "nft refuses the rules: %s", why);
    }
    router_tune(&warden->router);
}

static void begin_pasta(struct warden *warden)
{
    if (!raise_pasta(warden)) {
        give_up(warden, "see what pasta says (Debian package passt); --address needs a default route, --netns the right to enter namespaces",
                "pasta did not start: %s", warden->words[0] ? warden->words : "it said nothing");
    }
    // It works. It takes 30 MB, which a host without such functions need not give.
    stop_pasta(warden);
}

static void begin(struct warden *warden)
{
    char why[80] = "";
    warden->nft = egress_find("nft");
    warden->pasta_path = egress_find("pasta");
    if (!warden->nft || !warden->pasta_path) {
        give_up(warden, !warden->nft ? "install nftables (Debian package nftables)" : "install pasta (Debian package passt)", "%s is not installed",
                !warden->nft ? "nft" : "pasta");
    }
    int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (tun < 0) {
        give_up(warden, "modprobe tun; chmod 0666 /dev/net/tun (as udev does)", "/dev/net/tun cannot be opened: %s", strerror(errno));
    }
    close(tun);
    host_default_routes(&warden->v4, &warden->v6);
    if (!warden->v4 && !warden->v6) {
        give_up(warden, "connect the host to a network, then start Flint again", "the host has no default route");
    }
    int result = host_network_open(&warden->host);
    if (result) {
        give_up(warden, "rtnetlink must be allowed here", "the host's addresses cannot be followed: %s", strerror(-result));
    }
    result = router_make(&warden->router, warden->v6, why, sizeof why);
    if (result) {
        give_up(warden, "/proc/sys/net must be writable for new network namespaces (in a container: not mounted read-only)",
                "the router cannot be made, at %s: %s", why, strerror(-result));
    }
    begin_rules(warden);
    begin_pasta(warden);
}

// ---- the loop ----

// Without rules that are known to be right nothing may be forwarded.
static void renew_host(struct warden *warden)
{
    char why[160];
    int result = load_rules(warden, false, why, sizeof why);
    warden->rules_ms = 0;
    if (result) {
        diag("the host's addresses changed and the rules could not follow; functions have no network: %s", why);
        stop_pasta(warden);
        warden->rules_ms = monotonic_ms() + RULES_RETRY_MS;
        warden->restart_ms = 0;
    } else if (warden->wanted && warden->pasta == 0 && warden->restart_ms == 0) {
        start_pasta(warden);
    }
}

static int next_timeout(const struct warden *warden)
{
    int64_t next = warden->rules_ms && (!warden->restart_ms || warden->rules_ms < warden->restart_ms) ? warden->rules_ms : warden->restart_ms;
    int64_t left = next - monotonic_ms();
    return next == 0 ? -1 : left < 0 ? 0 : (int)left;
}

static _Noreturn void serve(struct warden *warden)
{
    for (;;) {
        struct pollfd sources[] = {{warden->wires, POLLIN, 0}, {warden->host.events, POLLIN, 0}, {warden->router.links, POLLIN, 0},
                                   {warden->signals, POLLIN, 0}, {warden->pasta_said, POLLIN, 0}};
        if (poll(sources, sizeof sources / sizeof *sources, next_timeout(warden)) < 0 && errno != EINTR) {
            diag("the warden cannot wait: %s", strerror(errno));
            _exit(1);
        }
        // First, so that no cell is wired between an address's coming and its rule.
        if (sources[1].revents && host_changed(&warden->host)) {
            renew_host(warden);
        }
        if (sources[4].revents) {
            hear_pasta(warden);
        }
        if (sources[3].revents) {
            reap(warden);
        }
        hear_links(warden);
        int64_t now = monotonic_ms();
        if (warden->rules_ms && warden->rules_ms <= now) {
            renew_host(warden);
        }
        if (warden->restart_ms && warden->restart_ms <= now && warden->pasta == 0 && warden->rules_ms == 0) {
            start_pasta(warden);
        }
        if (sources[0].revents) {
            serve_wires(warden);
        }
    }
}

_Noreturn void warden_run(const struct egress_options *options, int wires, int news)
{
    struct warden warden = {.options = options, .wires = wires, .news = news, .pasta_said = -1};
    struct warden_news begun = {0};
    int keep[] = {wires, news};
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    prctl(PR_SET_NAME, "flint-egress", 0, 0, 0);
    if (close_all_but(keep, 2) || sigprocmask(SIG_SETMASK, &mask, NULL) || (warden.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
        give_up(&warden, "see errno", "the warden cannot begin: %s", strerror(errno));
    }
    begin(&warden);
    if (send_packet(news, &begun, sizeof begun, (int[]){warden.router.dns_udp, warden.router.dns_tcp}, 2)) {
        _exit(1);
    }
    close_fd(&warden.router.dns_udp);
    close_fd(&warden.router.dns_tcp);
    close_fd(&warden.news);
    serve(&warden);
}
