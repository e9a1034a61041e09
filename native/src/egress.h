#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "missing.h"

// Network beyond a cell's loopback: docs/decisions/0006-egress.md. A router namespace, which no cell can touch, holds the rules; each cell that is
// made with egress has a link to it; pasta connects it to the host's sockets. The warden, a process beside the event loop, owns all three.

struct egress_options {
    bool on;
    const char *allow, *deny; // CIDR lists, separated by commas; NULL: none
    uint32_t connections;     // of one cell at a time
};

struct egress {
    bool ready;
    int wires;              // cells ask here to be wired; at its end the warden is gone
    int dns_udp, dns_tcp;   // the worker's, until they are sent to it
};

enum { EGRESS_CONNECTIONS = 512, EGRESS_CONNECTIONS_MAX = 65535 };

// NULL or what is wrong with them.
const char *egress_check_options(const struct egress_options *options);
// Called by a stub that is root, in its own mount namespace: lets others than root use /dev/net/tun there.
void egress_offer_tun(void);
// Called by the outer init while it still sees the host's files. What is missing is told, and then egress->ready is false.
void egress_start(struct egress *egress, const struct egress_options *options, struct missing *missing);
// Called by a cell's PID 1 in its own network namespace: returns when it can send. 0 or -errno.
int egress_wire(int wires, uint32_t *number);
// The same later: what the cell's processes have sent and received is forgotten, so that no answer to it comes in any more. Returns when it is.
int egress_forget(int wires, uint32_t number);
// What a cell of this number has: IPv4, the first byte the highest.
uint32_t egress_address(uint32_t number);
// The text of /etc/resolv.conf: the same in every root, since a zygote's libraries may have read it before its guests have a network.
extern const char egress_resolv_conf[];
