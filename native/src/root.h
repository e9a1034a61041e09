#pragma once
#include <stdint.h>
#include <sys/types.h>

// Where things are in the outer init's small root.
#define OUTER_CODE "/code"
#define OUTER_CELL "/cell"
#define OUTER_SLOTS "/slots"

struct root_failure {
    const char *step;
    char subject[256];
};

// What roots are made of.
struct root_sources {
    const char *image, *code, *runtime; // directories; image NULL: the host's own system
    const char *resolver;               // the text of /etc/resolv.conf; NULL: none
};

// Functions return 0 or -errno, and say in failure what they were at.

// Mounts, over /tmp of the calling process's own mount namespace, a directory with `code` and `cell`: the read-only
// template of all cells' roots. Binds the system directories of the host or of the image.
int root_build(const struct root_sources *from, struct root_failure *failure);
// Called by the outer init, in its own user, pid and mount namespace: leaves the host's root for one of its own that holds what
// root_build made and a /proc.
int root_enter_outer(struct root_failure *failure);
// Called once by the outer init, after that: returns a descriptor of a mount namespace whose root is the cells' template and which has nothing else.
int root_make_template(struct root_failure *failure);
// Called by what is to be a cell's PID 1, in its pid namespace, or a zygote: leaves the outer root for a copy of the template with a /proc and a small /tmp, and
// makes the other namespaces too. slot is the guest's uid, whose passwd the launcher has written; 0 in a zygote, which needs none.
int root_enter_cell(int template, uid_t slot, int namespaces, struct root_failure *failure);
// Called by the launcher before it makes a cell: the passwd and group of one uid, written once.
int root_write_slot(uid_t slot);
// Sizes /tmp of the cell.
int root_size_tmp(uint32_t tmp_mb);
// A detached, read-only copy of one child of the code directory, or -errno.
int root_open_code(const char *name);
