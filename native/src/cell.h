#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"

// What a cell's PID 1 and the launcher say to each other over their socket pair, one packet each. The launcher sends the worker's
// START as it came, with the code's mount; PID 1 sends these.
enum cell_news_kind { CELL_READY = 1, CELL_FAILED, CELL_EXITED };
enum { CELL_READY_FDS = 4, CELL_GUEST_FDS = 4 }; // the worker's ends of channel, stdout and stderr; then /tmp. For a guest to be forked also its ends of these three, and of control

struct cell_news {
    uint32_t kind;
    int32_t error;          // FAILED
    uint32_t code, signal;  // EXITED
    char phase[16];         // FAILED
    char message[256];
};

struct cell_birth {
    uint32_t cell;
    uid_t slot; // the guest's uid and gid in the outer user namespace
    const char *tenant, *path;
    const struct cgroups *cgroups;
    const struct sock_fprog *filter;
    int socket;
    int wires; // where PID 1 asks for a network; -1: the cell has none
    bool forked; // its guest comes from a zygote: not this process's child, and in the cgroups alone
};

// The life of a cell's PID 1, in the process that clone made for it.
_Noreturn void cell_run(const struct cell_birth *birth);
