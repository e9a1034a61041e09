#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cell.h"
#include "cgroup.h"
#include "launcher.h"
#include "memory.h"
#include "outbox.h"
#include "util.h"

// The event loop's state and its parts: loop.c waits and hands out; cells.c makes and ends cells, start.c starts them, zygotes.c has their guests forked, children.c knows
// processes by pid, timed.c does what has its time, owners.c gives out uids and tenants, tell.c speaks to the worker.

enum { BUCKETS = 1024, REMOVE_RETRY_MS = 10, SPARES_MAX = 32 };

enum source_kind { FROM_REGISTRAR, FROM_WORKER, FROM_LIFE, FROM_SIGNAL, FROM_CELL, FROM_MEMORY, FROM_KILLED, FROM_ZYGOTE, FROM_WARDEN };

struct cell;
struct loop;

// What epoll reports an event for.
struct source {
    enum source_kind kind;
    void *owner; // its cell or zygote
};

// A process whose end the loop must hear of; part of what it belongs to.
struct child {
    struct child *next; // in its bucket
    pid_t pid;          // 0: none, or reaped
    void *owner;
    void (*ended)(struct loop *loop, void *owner, int status); // the pid is no longer ours when this is called
};

enum cell_state {
    CELL_MAKING,
    CELL_WAITING, // ready, not started
    CELL_RUNNING,
    CELL_DYING,   // PID 1 has been killed, or has said that it ends
    CELL_REMOVING // PID 1 is gone; its cgroups may not be
};

struct cell {
    struct cell *next;                // in its bucket, or among the dead
    struct cell *timed_next, **timed; // while it waits for a time
    uint32_t id;
    enum cell_state state;
    struct child init; // its PID 1
    struct child guest; // forked from a zygote
    bool egress;
    uint32_t address;   // of its link; 0 without one
    uint32_t zygote;    // the id of that zygote; 0: the guest is exec'ed by PID 1
    bool fork_sent, fork_told; // its FORK, and the answer to it
    bool entered;       // the forked guest is in its cell
    int64_t made_us, up_us, forked_us; // when MAKE came, PID 1 was up, and the guest was first heard of
    struct cell *fork_next; // among those that wait for their zygote
    int worker_ends[3], guest_ends[CELL_GUEST_FDS]; // until it is ready, and until it is forked
    uid_t slot;
    struct tenant *tenant;
    char path[CELL_PATH_MAX];
    uint32_t group; // names its cgroup directories: its own id, or that of the first cell that had them
    int socket;
    bool started, told_end, failed, memory_hit;
    bool snapshot;      // was started as one
    bool renewing;      // all of its fork is being killed
    uint32_t fork;      // the number of the running fork; 0: none
    bool orphaned;      // its template has ended and the fork runs on
    int template_status; // of that end, which is told after the fork's
    struct memory_watch memory;
    unsigned attempts;
    int64_t remove_ms;
    struct source from_cell, from_memory, from_killed;
};

struct zygote {
    struct zygote *next;
    uint32_t id;
    struct child process;
    int socket;
    bool ready, retired;
    bool broken;                 // it has said what no zygote says, and is not heard any more
    char trouble[160];           // why it could not begin, or was ended
    unsigned forking;            // FORKs that have no answer yet
    struct cell *first, **last;  // cells whose FORK is to be sent
    struct source from_zygote;
};

// The end of a process that is not known (yet): of a guest whose FORKED is still to be read.
struct early_end {
    struct early_end *next;
    pid_t pid;
    int status;
};

struct tenant {
    struct tenant *next;
    uint32_t cells;
    uint32_t spares[SPARES_MAX], spare_count; // cgroup directories of dead cells, by their numbers
    char name[TENANT_MAX + 1];
};

// The guests' uids: as few as will do, since each has files of its own (root_write_slot), and none at once again.
struct slots {
    uint32_t next, end;          // those never used
    uid_t *left;                 // a ring of those that were, the longest left first
    uint32_t first, count, room;
};

struct loop {
    struct launcher *launcher;
    int epoll, signals, registrar;
    struct outbox outbox;
    bool stop;
    struct source from_worker, from_life, from_signal, from_registrar, from_warden;
    struct cell *buckets[BUCKETS], *timed, *dead;
    struct child *children[BUCKETS];
    struct zygote *zygotes, *dead_zygotes;
    struct early_end *early_ends;
    struct tenant *tenants;
    struct slots slots;
    bool low_pids_gone; // zygotes.c
    uint8_t message[MESSAGE_MAX];
};

// loop.c
int loop_watch(struct loop *loop, int fd, uint32_t events, struct source *source);
void loop_unwatch(struct loop *loop, int fd);

// children.c
void child_add(struct loop *loop, struct child *child, pid_t pid);
// For a process that may have ended already. False when it is none of this process's children, or is another's already.
bool child_add_late(struct loop *loop, struct child *child, pid_t pid);
// A process that nobody wants any more and that has ended.
void child_forget(struct loop *loop, pid_t pid);
void children_reap(struct loop *loop);
// No fork is under way.
void children_forget_early(struct loop *loop);

// cells.c
struct cell **cells_find(struct loop *loop, uint32_t id);
void cells_make(struct loop *loop, const struct request *request);
void cells_news(struct loop *loop, struct cell *cell);
void cells_refuse(struct loop *loop, struct cell *cell, const char *phase, int error, const char *text);
void cells_ready(struct loop *loop, struct cell *cell);
void cells_kill(struct loop *loop, struct cell *cell);
// The fork that had outlived its template is over, or its time is: so is the cell.
void cells_end_orphaned(struct loop *loop, struct cell *cell);
void cells_try_remove(struct loop *loop, struct cell *cell);

// zygotes.c
struct zygote *zygotes_find(struct loop *loop, uint32_t id);
void zygotes_make(struct loop *loop, const struct request *request);
void zygotes_retire(struct loop *loop, struct zygote *zygote);
bool zygotes_usable(struct loop *loop, uint32_t id);
void zygotes_news(struct loop *loop, struct zygote *zygote);
// The cell's PID 1 is up and its guest's ends are in guest_ends.
void zygotes_fork(struct loop *loop, struct cell *cell);
// The cell no longer waits for its zygote.
void zygotes_leave(struct loop *loop, struct cell *cell);

// start.c: length is that of the message in loop->message, which goes to PID 1 as it is.
void cells_start(struct loop *loop, struct cell *cell, const struct start_request *request, size_t length);
// SNAPSHOT and RENEW are PID 1's to do.
void cells_pass_on(struct loop *loop, struct cell *cell, enum op op, size_t length);

// timed.c
void timed_set(struct loop *loop, struct cell *cell, bool on);
int timed_next(const struct loop *loop);
void timed_run(struct loop *loop);
int memory_begin(struct loop *loop, struct cell *cell);
void memory_check(struct loop *loop, struct cell *cell);
void memory_event(struct loop *loop, struct cell *cell);
void registrar_event(struct loop *loop);

// owners.c
int slots_begin(struct loop *loop);
uid_t slot_take(struct loop *loop); // 0: every one is taken
void slot_leave(struct loop *loop, uid_t slot);
struct tenant *tenant_take(struct loop *loop, struct text name);
uint32_t spare_take(struct tenant *tenant); // 0: there is none
// Keeps the directories of a cell that is gone; false when they are to be removed.
bool spare_keep(struct loop *loop, const struct cell *cell);
void tenant_leave(struct loop *loop, struct tenant *tenant);

// tell.c
void tell(struct loop *loop, const struct message *message, int *fds, size_t count);
void tell_lost(struct loop *loop, uint32_t id); // a message of this cell could not be sent for its descriptors
void tell_hello(struct loop *loop);
void tell_egress(struct loop *loop);
void tell_failed(struct loop *loop, struct cell *cell, const char *phase, int error, const char *text);
void tell_exited(struct loop *loop, struct cell *cell, uint32_t code, uint32_t signal);
// fds: CELL_READY_FDS - 1 of them are the worker's.
void tell_forked(struct loop *loop, struct cell *cell, int *fds);
void tell_fork_exited(struct loop *loop, struct cell *cell, uint32_t code, uint32_t signal);
void tell_unsafe(struct loop *loop, struct cell *cell, const struct findings *findings);
void tell_gone(struct loop *loop, uint32_t id, const char *trouble);
void tell_zygote_ready(struct loop *loop, const struct zygote *zygote);
void tell_zygote_gone(struct loop *loop, uint32_t id, int status, const char *text);
