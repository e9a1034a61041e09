#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// The chunks of V8's heap. V8 draws an address for each, so that each is a mapping with page tables of its own, which every fork copies and every exit frees, and none is
// part of a huge page. Here they lie side by side in one mapping, in a zygote and in its forks.

// Once, before the first chunk: where they are to lie. Aligned as a huge page. Nothing that is there is replaced.
void chunks_begin(void *from);
// Memory for this mapping, all zero, or NULL: it is no chunk, or there is no room. It can be read and written at once.
void *chunks_take(size_t length, int protection, int flags, int fd);
// False when this is none of the chunks' memory, which is then to be unmapped as ever.
bool chunks_give_back(void *from, size_t length);
