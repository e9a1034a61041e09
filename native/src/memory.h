#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"

// Watches that what a cell uses beyond /tmp and reclaimable file cache stays within its memory limit. The cgroup's hard limit
// is higher, because what lies in /tmp is charged to the same cgroup.
//
// While use changes the owner calls memory_watch_check when next_check_ms says so, every 20 ms. When it has settled the watch
// arms an event of the kernel instead, so that an idle cell costs nothing.
struct memory_watch {
    bool on, v2;
    uint32_t cell;
    int dir; // borrowed
    int registrar; // borrowed; v1
    char path[CELL_PATH_MAX];
    int usage, stat, tmp; // descriptors; tmp is the cell's /tmp
    int fork_tmp;         // that of a snapshot's running fork, beside it; -1: none
    int crossed;          // v1: eventfd that tells a threshold was crossed
    int killed;           // v1: eventfd of the kernel's out-of-memory handling; v2: memory.events, which polls as urgent
    uint64_t limit, last_usage;
    uint64_t armed;       // a level whose crossing the kernel will tell; v1: the highest of them; 0: none
    bool limit_armed;     // v1, which remembers every level: whether the limit is one of them
    uint64_t asked;       // v1: the level that the registrar is at; 0: none
    unsigned unchanged, registered;
    int64_t next_check_ms; // 0: wait for an event
};

enum { MEMORY_CHECK_MS = 20 };

enum memory_verdict { MEMORY_FINE, MEMORY_EXCEEDED };

void memory_watch_init(struct memory_watch *watch);
// When the cell is ready. Takes tmp over.
void memory_watch_place(struct memory_watch *watch, const struct cgroups *groups, uint32_t cell, const char *path, int tmp, int registrar);
// Opens what it looks at, on v2 at once; on v1 at the first check, since most cells have ended by then: what the kernel killed until then is known all the same.
int memory_watch_open(struct memory_watch *watch);
// When its limit is known.
int memory_watch_start(struct memory_watch *watch, uint32_t memory_mb, int64_t now_ms);
// A fork of a snapshot has begun or ended. Takes tmp over; -1: none.
void memory_watch_fork(struct memory_watch *watch, int tmp);
// After an event, or when the time has come.
enum memory_verdict memory_watch_check(struct memory_watch *watch, int64_t now_ms);
// v1: the registrar has done what it was asked.
void memory_watch_armed(struct memory_watch *watch, int result);
// Whether the kernel killed something in the cell for want of memory.
bool memory_watch_killed(const struct memory_watch *watch);
void memory_watch_close(struct memory_watch *watch);
