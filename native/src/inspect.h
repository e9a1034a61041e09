#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "findings.h"
#include "leaves.h"

// How a cell's PID 1 looks at its guest, through the cell's /proc. The guest must be stopped (frozen, or waiting in C) for what is seen to stay true.

// The descriptors that a process has, by number and what they are.
struct descriptors;

struct descriptors *descriptors_list(pid_t pid); // NULL, with errno
// Adds what a fork of this process would share with it, or lose. before: its descriptors as they were when it had run nothing of the function's; tmp: the device of /tmp.
void inspect(pid_t pid, const struct leaves *leaves, const struct descriptors *before, dev_t tmp, struct findings *findings);

// Calls back for every process of the cell but PID 1, for some more than once, until false is returned. /proc hides from PID 1 what runs a program of the host's that
// the guest may not read (its memory is then the host's root's to look at): the cgroups name it, and where there are none, its place below PID 1 or the guest (a
// kernel without CONFIG_PROC_CHILDREN leaves that out). 0 or -errno.
int each_process(pid_t guest, const struct leaves *leaves, bool (*visit)(pid_t pid, void *state), void *state);
// Whether it is there and has not ended.
bool process_lives(pid_t pid);
