#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "findings.h"

// What a cell's PID 1 and the launcher say to each other over their socket pair, one packet each. The launcher sends the worker's
// START as it came, with the code's mount; PID 1 sends these.
enum cell_news_kind { CELL_READY = 1, CELL_FAILED, CELL_EXITED, CELL_FORKED, CELL_FORK_EXITED, CELL_UNSAFE };
enum { CELL_START_FDS = 2 }; // with START: the code; for a snapshot the cell's directory in the freezer's hierarchy, where there is one
enum { CELL_READY_FDS = 4, CELL_GUEST_FDS = 4 }; // the worker's ends of channel, stdout and stderr; then /tmp. For a guest to be forked also its ends of these three, and of control

struct cell_news {
    uint32_t kind;
    int32_t error;          // FAILED
    uint32_t code, signal;  // EXITED, FORK_EXITED
    uint32_t number;        // FORKED, which has CELL_READY_FDS descriptors, and FORK_EXITED; READY: its address, 0 without a network
    char phase[16];         // FAILED
    char message[256];
};

struct cell_unsafe {
    uint32_t kind;
    struct findings findings;
};

struct cell_birth {
    uint32_t cell;
    uid_t slot; // the guest's uid and gid in the outer user namespace
    int template; // root.h
    const char *tenant, *path;
    bool kept; // what can be used again of its cgroup directories is there, from an earlier cell
    const struct cgroups *cgroups;
    const struct sock_fprog *filter, *snapshot_filter;
    int socket;
    int wires; // where PID 1 asks for a network; -1: the cell has none
    bool forked; // its guest comes from a zygote: not this process's child, and in the cgroups alone
};

// A guest's ends. 10 and above, so that taking 0 to 3 overwrites none of them.
struct ends {
    int channel, output, errors, null;
    int control; // PID 1's own, to a forked guest
};

// Makes them, and the worker's: channel, stdout, stderr, and /tmp as it is now.
struct ends cell_make_ends(const struct cell_birth *birth, int worker[CELL_READY_FDS]);
// Tells the launcher why, and ends, and with it the cell.
_Noreturn void cell_give_up(const struct cell_birth *birth, const char *phase, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

// The life of a cell's PID 1, in the process that clone made for it.
_Noreturn void cell_run(const struct cell_birth *birth);
