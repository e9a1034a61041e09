#pragma once
#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "egress.h"
#include "missing.h"

enum mode { MODE_ROOT, MODE_SUBUID, MODE_SINGLE_UID };

struct options {
    bool probe;
    const char *connect, *instance, *code, *runtime, *root, *cgroup;
    uint32_t uid_base, uid_count;
    struct egress_options egress;
};

// All that the stub has found out and made ready for the event loop.
struct launcher {
    struct options options;
    enum mode mode;
    uint32_t uid_base, uid_count; // host ids that the outer user namespace has
    uint32_t gid_base;
    struct cgroups cgroups;
    struct missing missing;
    struct sock_fprog filter, snapshot_filter;
    struct egress egress;
    bool seccomp;
    int control; // to the worker
    int life;    // at its end when the stub is gone or wants the loop to finish
    int template; // the mount namespace that the cells' are copies of
    int report;  // where the outer init says, as text, why it could not begin
};

// outer.c: makes the outer namespaces; the child becomes their init and never returns. Returns its pid, or -errno.
pid_t outer_start(struct launcher *launcher);
// Finds which of the three modes this process can have and the ids that go with it.
int outer_choose_mode(struct launcher *launcher);
// loop.c: serves the worker until it is gone. Returns the exit status.
int loop_run(struct launcher *launcher);
// hello.c: the JSON of HELLO. False when it does not fit.
bool hello_json(const struct launcher *launcher, char *json, size_t size);
