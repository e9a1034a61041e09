#pragma once

#include <stdbool.h>

// A cell's walls, which the test variant (make walls) can leave out one by one with --without: tests show so that each hostile program is held by
// the wall that is meant to hold it. In the product every wall stands: there is no such option, and nothing of this is compiled in.
#ifdef FLINT_WALLS

enum wall {
    WALL_SECCOMP,
    WALL_CAPS,
    WALL_UID,
    WALL_NNP,
    WALL_DUMPABLE,
    WALL_READONLY,
    WALL_PROCMASK,
    WALL_HIDEPID,
    WALL_TMP,
    WALL_NET,
    WALL_PIDS,
    WALL_MEMORY,
    WALL_EGRESS_SPECIAL, // addresses that are not globally reachable
    WALL_EGRESS_HOST,    // the host's own
    WALL_EGRESS_CELLS,   // other cells
    WALL_EGRESS_SOURCE,  // addresses that are another's
    WALL_EGRESS_LIMIT,   // connections at a time
    WALL_SNAPSHOT, // the second filter of a snapshot's guest
    WALL_RENEW,    // what kills a fork's processes and puts /tmp back
    WALL_COUNT,
};

bool wall_stands(enum wall wall);

// As a bit for each: a zygote gets to know by its setup what the launcher was told.
unsigned walls_removed(void);
void walls_remove_all(unsigned bits);

// Names separated by commas; false when one is unknown.
bool walls_remove(const char *names);

#else
#define wall_stands(wall) true
#define walls_removed() 0U
#define walls_remove_all(bits) ((void)(bits))
#endif
