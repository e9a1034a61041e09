#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "findings.h"

// /tmp of a snapshot's forks. Each has a fresh tmpfs over the template's /tmp, of the size that is left in that. When init left something there it becomes the lower
// layer of an overlay, read-only for good, whose upper layer is the fresh one. Used by the cell's PID 1; functions return 0 or a descriptor, or -errno.

struct fork_tmp {
    bool layered;
    int lower;       // the template's /tmp
    dev_t device;    // of that
    unsigned mounts; // that lie over it
};

// Once, when the template is still. Findings say why what lies there cannot be kept.
int fork_tmp_begin(struct fork_tmp *tmp, struct findings *findings);
// Makes a fork's /tmp. Returns a descriptor of the fresh file system, by which its use can be asked.
int fork_tmp_mount(struct fork_tmp *tmp);
// Takes it away again. Everything that used it must be dead.
int fork_tmp_drop(struct fork_tmp *tmp);
