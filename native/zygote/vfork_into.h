#pragma once
#include <stddef.h>

struct clone_args;

// vfork by clone3, for a child that is born in a v2 cgroup: arguments has CLONE_VM, CLONE_VFORK and CLONE_INTO_CGROUP. A process that moves there by itself takes a lock that
// stops every fork and exit on the host meanwhile. Returns the child's pid, 0 in the child, or -errno.
__attribute__((returns_twice)) long vfork_into(const struct clone_args *arguments, size_t size);
