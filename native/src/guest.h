#pragma once
#include <linux/filter.h>
#include <stdint.h>
#include <sys/types.h>

// The last steps of a guest, from a copy of the cell's PID 1 to the program it runs.
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
