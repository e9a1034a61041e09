#pragma once
#include <linux/filter.h>

// The guests' one system call filter. Built once, at start; children load the finished program.
// 0, or -errno; on failure *why names the step.
int seccomp_profile_build(struct sock_fprog *program, const char **why);
