#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cell.h"

// A snapshot, as its cell's PID 1 keeps it: LAUNCHER.md, "Snapshots". The guest's side is zygote/template.c.
struct snapshot_guest {
    const struct cell_birth *birth;
    const struct sock_fprog *filter; // the second one
    int control;                     // to the guest, which waits for GO
    int freezer;                     // the cell's directory in the freezer's hierarchy, or -1
    bool v2;                         // of that
    uint32_t link;                   // the number of the cell's, where it has a network
};

// Gives the guest its GO and serves SNAPSHOT and RENEW until the cell ends.
_Noreturn void snapshot_run(const struct snapshot_guest *guest);
