#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// The chunks of V8's heap. V8 draws an address for each, so that each has page tables of its own, which every fork copies and every exit frees, and none is part of a huge
// page. Here they lie side by side, in a zygote and in its forks.

// Once, before the first chunk: where they are to lie. Aligned as a huge page.
void chunks_begin(uintptr_t from);
// Where this mapping should be put, or 0: it is no chunk, or there is no room.
uintptr_t chunks_place(size_t length, int protection, int flags, int fd);
// What was unmapped can be used again.
void chunks_unmapped(uintptr_t from, size_t length);
