#include "walls.h"

#ifdef FLINT_WALLS

#include <stddef.h>
#include <string.h>

static const char *const names_of_walls[WALL_COUNT] = {
    [WALL_SECCOMP] = "seccomp",   [WALL_CAPS] = "caps",         [WALL_UID] = "uid",           [WALL_NNP] = "nnp",
    [WALL_DUMPABLE] = "dumpable", [WALL_READONLY] = "readonly", [WALL_PROCMASK] = "procmask", [WALL_HIDEPID] = "hidepid",
    [WALL_TMP] = "tmp",           [WALL_NET] = "net",           [WALL_PIDS] = "pids",         [WALL_MEMORY] = "memory",
    [WALL_EGRESS_SPECIAL] = "egress-special", [WALL_EGRESS_HOST] = "egress-host", [WALL_EGRESS_CELLS] = "egress-cells",
    [WALL_EGRESS_SOURCE] = "egress-source", [WALL_EGRESS_LIMIT] = "egress-limit",   [WALL_SNAPSHOT] = "snapshot", [WALL_RENEW] = "renew",
};

// Set while the options are read, before any process is made.
static bool removed[WALL_COUNT];

bool wall_stands(enum wall wall)
{
    return !removed[wall];
}

unsigned walls_removed(void)
{
    unsigned bits = 0;
    for (unsigned wall = 0; wall < WALL_COUNT; wall++) {
        bits |= removed[wall] ? 1U << wall : 0;
    }
    return bits;
}

void walls_remove_all(unsigned bits)
{
    for (unsigned wall = 0; wall < WALL_COUNT; wall++) {
        removed[wall] = (bits & 1U << wall) != 0;
    }
}

bool walls_remove(const char *names)
{
    while (*names) {
        size_t length = strcspn(names, ",");
        int wall = 0;
        while (wall < WALL_COUNT && (strlen(names_of_walls[wall]) != length || strncmp(names, names_of_walls[wall], length) != 0)) {
            wall++;
        }
        if (wall == WALL_COUNT) {
            return false;
        }
        removed[wall] = true;
        names += length + (names[length] == ',');
    }
    return true;
}

#else
// ISO C forbids an empty translation unit.
typedef int walls_all_stand;
#endif
