#pragma once
#include "egress.h"

// What the warden tells the outer init when it has begun, or why it cannot; with the router's two DNS sockets.
struct warden_news {
    int32_t error;
    char why[240], fix[320];
};

// The life of the warden, in a process of its own. It answers on `news` once, and serves `wires` until the launcher is gone.
_Noreturn void warden_run(const struct egress_options *options, int wires, int news);
