#pragma once
#include "cgroup.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// The two leaves below a snapshot's cell in the freezer's hierarchy: one for the template, one for its forks. On v2 and hybrid hosts that is v2's; on pure v1 the
// freezer's. Without a freezer there are none: every function then succeeds and does nothing, and what keeps the template is that it is blocked in C.
// Used by the cell's PID 1. Functions return 0 or -errno; `until` is a time of monotonic_ms, after which they give up with -ETIMEDOUT.

struct leaves {
    bool on, v2;
    int dir;   // the cell's
    uid_t uid; // of the processes that are moved: v1 asks that the mover has it
    int procs[LEAF_COUNT], freeze[LEAF_COUNT], events[LEAF_COUNT], kill;
};

// dir is the cell's directory, or -1 where there is no freezer; taken over.
int leaves_make(struct leaves *leaves, int dir, bool v2, uid_t uid);
int leaves_enter(const struct leaves *leaves, enum leaf leaf, pid_t pid);
// Freezes or thaws, and waits until the kernel says that it has.
int leaves_freeze(const struct leaves *leaves, enum leaf leaf, bool frozen, int64_t until);
// Kills all in the leaf once; they die in their own time.
int leaves_kill(const struct leaves *leaves, enum leaf leaf);
// True when the leaf holds no process, or there are no leaves.
bool leaves_empty(const struct leaves *leaves, enum leaf leaf);
// Calls back for every process of the cell's cgroup and of its leaves, while true is returned; /proc hides some of them. Does nothing without leaves.
void leaves_each(const struct leaves *leaves, bool (*visit)(pid_t pid, void *state), void *state);
