#pragma once
#include <linux/filter.h>

// The second filter of a snapshot's guest, beside the one that every guest has: what would let a fork reach the template or leave something for the next fork.
// Refers to memory that is never freed. 0 or -errno.
int snapshot_filter_build(struct sock_fprog *program);
