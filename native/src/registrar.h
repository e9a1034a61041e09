#pragma once
#include <stdbool.h>
#include <stdint.h>

// Registering a memory threshold with cgroup v1 waits for the kernel's RCU, 5 ms and more. A small process of its own does
// the waiting, so that the event loop never does.

struct registrar_answer {
    uint32_t cell;
    int32_t result; // 0 or -errno
};

// Starts the process; returns the socket to talk to it, or -errno. It ends when the socket does.
int registrar_start(void);
// Asks for an event on `event` when the cgroup whose memory.usage_in_bytes is `usage` crosses threshold; control is its
// cgroup.event_control. The answer comes later. -EAGAIN when too many are waiting.
int registrar_ask(int registrar, uint32_t cell, int event, int usage, int control, uint64_t threshold);
// False when there is no answer (yet).
bool registrar_answered(int registrar, struct registrar_answer *answer);
