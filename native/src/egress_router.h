#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "egress_plan.h"

// The router's network namespace, through descriptors opened inside it: once left, a process of the host's network namespace could not come back
// to that one, so the warden itself never enters it.
struct router {
    int network; // the namespace
    int ask;     // rtnetlink
    int links;   // rtnetlink's events of links
    int flows;   // ctnetlink
    int dns_udp, dns_tcp;
};

enum { ROUTER_FDS = 6 };

// 0 or -errno with the step that failed.
int router_make(struct router *router, bool v6, char *why, size_t size);
// What exists only when connection tracking does.
void router_tune(const struct router *router);
// Addresses and routes of pasta's link, which must be there.
int router_raise_tap(const struct router *router, uint32_t link, bool v4, bool v6);
// Makes the link between the router and a cell's namespace; number is the first to try and becomes the one taken.
int router_wire(const struct router *router, int cell, uint32_t *number);
// Raises the router's end, with what leads to the cell. After the cell's end, whose kernel then begins to send a moment later (see egress.c); the router's does at once.
int router_raise(const struct router *router, uint32_t number, bool v6);
// Forgets the connections of a cell whose link is gone.
int router_forget(const struct router *router, uint32_t number);
