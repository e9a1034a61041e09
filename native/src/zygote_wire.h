#pragma once
#include <linux/filter.h>
#include <stdint.h>

#include "cgroup.h"

// What the launcher and a zygote (zygote/zygote.c) say to each other, one SEQPACKET packet each, in this machine's byte order: both are built together. A forked guest
// has the zygote's end too, until it has said that it is in its cell.

enum zygote_kind {
    // to the zygote
    ZYGOTE_SETUP = 1, // struct zygote_setup, then its filter's instructions; descriptors: the instance directory of each hierarchy
    ZYGOTE_FORK,      // struct zygote_fork; descriptors in the order of zygote_fork_fd
    // to the launcher, all struct zygote_news
    ZYGOTE_READY,
    ZYGOTE_FORKED,   // pid, or error
    ZYGOTE_ENTERED,  // by the guest: it is in its cell for good
    ZYGOTE_TROUBLE,  // by the guest, which ends then; with cell 0: by what should have become a zygote
};

enum zygote_fork_fd { FORK_INIT, FORK_CHANNEL, FORK_OUTPUT, FORK_ERRORS, FORK_CONTROL, FORK_FDS }; // FORK_INIT: a pidfd of the cell's PID 1

enum {
    ZYGOTE_SOCKET = 3,
    ZYGOTE_RESERVED = 4,      // taken, so that no descriptor of the interpreter has the number of the guest's control
    ZYGOTE_PID_MIN = 100,     // of the zygote itself: guests have pid 2, and libraries notice a fork by a pid that changed
    ZYGOTE_FILTER_MAX = 4096, // instructions
};

struct zygote_setup {
    uint32_t kind;
    uint32_t hierarchies, v2; // number; a bit for each that is v2
    uint32_t walls;           // a bit for each that is removed; only in the tests' variant
    uint32_t instructions;
};

struct zygote_fork {
    uint32_t kind;
    uint32_t cell, uid, gid;
    char path[CELL_PATH_MAX]; // of the cell's cgroups, below each instance directory
};

struct zygote_news {
    uint32_t kind;
    uint32_t cell;
    int32_t pid; // in the outer namespace
    int32_t error;
    char phase[16];
    char message[128];
};
