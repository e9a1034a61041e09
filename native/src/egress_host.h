#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "egress_rules.h"

// What the warden knows of the host's network namespace, through sockets opened there.
struct host_network {
    int ask;    // rtnetlink
    int events; // of local routes: every change of the host's own addresses
};

int host_network_open(struct host_network *host);
// Whether the host has a default route in each family.
void host_default_routes(bool *v4, bool *v6);
// All ranges that the kernel takes as its own; the caller frees them. 0 or -errno.
int host_own_ranges(const struct host_network *host, struct range **ranges, size_t *count);
// Reads what has happened; whether an own address may have come or gone.
bool host_changed(const struct host_network *host);
