#pragma once
#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

// The steps from a copy of a trusted process to a guest. Those of an exec guest are a copy of its cell's PID 1; a forked guest is a copy of a zygote, which
// has taken the lasting steps once for all that it forks. All return NULL, or the name of what failed, with errno set.

// What lasts: limits, no capability to regain, no_new_privs, umask, personality. Takes nothing from a process that does not exec.
const char *guest_confine(void);
// The limit of open files.
const char *guest_limit_files(uint32_t max_files);
// The point of no return: the guest's own uid and gid, no capabilities.
const char *guest_take_identity(uid_t uid, gid_t gid);
// Last of all. The process must have no_new_privs.
const char *guest_load_filter(const struct sock_fprog *program);
// Signals as a new program expects them.
const char *guest_reset_signals(void);

// An exec guest.
struct guest {
    uid_t uid;
    gid_t gid;
    uint32_t max_files;
    int channel, output, errors, null; // become 3, 1, 2 and 0; all above 9
    int report;                        // where a failure is written; closes at exec
    const char *cwd;
    char **arguments, **environment;
    const struct sock_fprog *filter;
};

struct guest_failure {
    char phase[16];
    int error;
};

_Noreturn void guest_become(const struct guest *guest);
