#include "egress_rules.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "egress_plan.h"
#include "walls.h"

enum { DNS_PACKETS = 500 }; // of one cell in a second

// Never forwarded, whatever an operator allows: what means the host itself or no single host, in either family's words. A connection of pasta's
// to one of them would end on the host: ::ffff:127.0.0.1 is its loopback.
static const char never4[] = "0.0.0.0/8, 127.0.0.0/8, 198.18.0.0/15, 224.0.0.0/4, 255.255.255.255/32";
static const char never6[] = "::/64, fe80::/10, ff00::/8, fd46:6c69:6e74::/48";

// Not globally reachable by IANA's special-purpose registries (IPv4 and IPv6, read in 2025), deprecated, or reserved; and one address of a cloud's
// metadata service that is in a public range (Azure's 168.63.129.16; the others' are in ranges named here).
static const char special4[] =
    "10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24, 192.168.0.0/16, "
    "198.51.100.0/24, 203.0.113.0/24, 240.0.0.0/4, 168.63.129.16/32";
// All but 2000::/3, where global addresses are given out, and in there: protocol assignments (Teredo, ORCHID, benchmarking), documentation, 6to4.
// NAT64's 64:ff9b::/96 and 64:ff9b:1::/48, unique-local, site-local and discard addresses lie outside of 2000::/3.
static const char special6[] = "::/3, 4000::/2, 8000::/1, 2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20";

static bool host_bits_are_zero(const struct range *range)
{
    unsigned bits = range->family == AF_INET ? 32 : 128;
    for (unsigned bit = range->length; bit < bits; bit++) {
        if (range->bytes[bit / 8] & 0x80 >> bit % 8) {
            return false;
        }
    }
    return true;
}

const char *egress_take_range(const char **list, struct range *range)
{
    char text[INET6_ADDRSTRLEN + 8];
    size_t length = strcspn(*list, ",");
    if (length == 0 || length >= sizeof text) {
        return "an entry is empty or too long";
    }
    memcpy(text, *list, length);
    text[length] = 0;
    *list += length + ((*list)[length] == ',');
    char *slash = strchr(text, '/');
    if (slash) {
        *slash = 0;
    }
    memset(range, 0, sizeof *range);
    range->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(range->family, text, range->bytes) != 1) {
        return "an entry is not an address";
    }
    unsigned bits = range->family == AF_INET ? 32 : 128;
    range->length = bits;
    if (slash) {
        char *end;
        unsigned long given = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end || given > bits) {
            return "an entry's prefix length is not a number that fits its family";
        }
        range->length = (unsigned)given;
    }
    return host_bits_are_zero(range) ? NULL : "an entry has bits beyond its prefix length";
}

static void write_element(FILE *out, const char *set, const struct range *range)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(range->family, range->bytes, text, sizeof text);
    fprintf(out, "add element inet egress %s%c { %s/%u }\n", set, range->family == AF_INET ? '4' : '6', text, range->length);
}

static void write_list(FILE *out, const char *list, const char *set, const char *single)
{
    struct range range;
    while (list && *list && !egress_take_range(&list, &range)) {
        write_element(out, range.length == (range.family == AF_INET ? 32 : 128) ? single : set, &range);
    }
}

static void write_set(FILE *out, const char *name, const char *elements4, const char *elements6)
{
    static const char form[] = "  set %s%c {\n    type %s\n    flags interval\n    auto-merge\n%s%s%s  }\n";
    fprintf(out, form, name, '4', "ipv4_addr", *elements4 ? "    elements = { " : "", elements4, *elements4 ? " }\n" : "");
    fprintf(out, form, name, '6', "ipv6_addr", *elements6 ? "    elements = { " : "", elements6, *elements6 ? " }\n" : "");
}

static void write_both(FILE *out, const char *set, const char *verdict)
{
    fprintf(out, "    ip daddr @%s4 %s\n    ip6 daddr @%s6 %s\n", set, verdict, set, verdict);
}

// What a cell may not do is refused rather than dropped: a program hears of it at once.
static void write_forward(FILE *out, const struct egress_options *options)
{
    fputs("  chain forward {\n    type filter hook forward priority filter; policy drop;\n    ct state invalid drop\n", out);
    if (wall_stands(WALL_EGRESS_SOURCE)) {
        fputs("    fib saddr . iif oif missing drop\n", out);
    }
    fputs("    ct state established accept\n", out);
    if (!wall_stands(WALL_EGRESS_CELLS)) {
        fputs("    iifname \"c*\" oifname \"c*\" accept\n", out);
    }
    fputs("    iifname != \"c*\" drop\n    meta l4proto != { tcp, udp } drop\n    oifname != \"" TAP_NAME "\" goto refuse\n", out);
    write_both(out, "never", "goto refuse");
    write_both(out, "deny", "goto refuse");
    write_both(out, "exact", "goto open");
    write_both(out, "host", "goto refuse");
    write_both(out, "allow", "goto open");
    write_both(out, "special", "goto refuse");
    fputs("    goto open\n  }\n  chain open {\n", out);
    if (wall_stands(WALL_EGRESS_LIMIT)) {
        fprintf(out, "    add @flows4 { ip saddr ct count over %u } goto refuse\n", options->connections);
        fprintf(out, "    add @flows6 { ip6 saddr ct count over %u } goto refuse\n", options->connections);
    }
    fputs("    accept\n  }\n  chain refuse {\n    reject with icmpx type admin-prohibited\n  }\n", out);
}

static void write_local(FILE *out, const struct egress_options *options)
{
    fputs("  chain input {\n    type filter hook input priority filter; policy drop;\n    ct state invalid drop\n", out);
    // Each question costs the worker something, on nobody's account.
    fprintf(out, "    update @packets4 { ip saddr limit rate over %d/second burst %d packets } drop\n", DNS_PACKETS, DNS_PACKETS);
    fputs("    fib saddr . iif oif missing drop\n    ct state established accept\n", out);
    fputs("    iifname != \"c*\" drop\n    meta nfproto != ipv4 drop\n    ip daddr != " ROUTER_ADDRESS " drop\n    meta l4proto != { tcp, udp } drop\n    th dport != 53 drop\n", out);
    fprintf(out, "    add @asked4 { ip saddr ct count over %u } drop\n    accept\n  }\n", options->connections);
    // The answers to questions, and what `refuse` says. The router itself has nothing to send.
    fputs("  chain output {\n    type filter hook output priority filter; policy drop;\n    oifname \"c*\" ct state established accept\n"
          "    oifname \"c*\" meta l4proto { icmp, ipv6-icmp } accept\n  }\n",
          out);
    // pasta knows one address of each family on its link. Ports below 32768 are the host's services'.
    fputs("  chain source {\n    type nat hook postrouting priority srcnat;\n"
          "    oifname \"" TAP_NAME "\" meta nfproto ipv4 meta l4proto { tcp, udp } snat ip to " TAP_ADDRESS ":32768-60999\n"
          "    oifname \"" TAP_NAME "\" meta nfproto ipv6 meta l4proto { tcp, udp } snat ip6 to [" TAP_ADDRESS6 "]:32768-60999\n  }\n",
          out);
}

void egress_write_rules(FILE *out, const struct egress_options *options)
{
    fputs("table inet egress {\n", out);
    write_set(out, "never", never4, never6);
    write_set(out, "special", wall_stands(WALL_EGRESS_SPECIAL) ? special4 : "", wall_stands(WALL_EGRESS_SPECIAL) ? special6 : "");
    write_set(out, "deny", "", "");
    write_set(out, "exact", "", "");
    write_set(out, "allow", "", "");
    write_set(out, "host", "", "");
    fputs("  set flows4 {\n    type ipv4_addr\n    size 65535\n    flags dynamic\n  }\n"
          "  set flows6 {\n    type ipv6_addr\n    size 65535\n    flags dynamic\n  }\n"
          "  set asked4 {\n    type ipv4_addr\n    size 65535\n    flags dynamic\n  }\n"
          "  set packets4 {\n    type ipv4_addr\n    size 65535\n    flags dynamic,timeout\n    timeout 1m\n  }\n",
          out);
    write_forward(out, options);
    write_local(out, options);
    fputs("}\n", out);
    write_list(out, options->deny, "deny", "deny");
    // The host's own addresses are opened by an entry for one address only, never by a range that they happen to lie in.
    write_list(out, options->allow, "allow", "exact");
}

void egress_write_host(FILE *out, const struct range *ranges, size_t count)
{
    fputs("flush set inet egress host4\nflush set inet egress host6\n", out);
    for (size_t i = 0; i < count && wall_stands(WALL_EGRESS_HOST); i++) {
        write_element(out, "host", &ranges[i]);
    }
}
