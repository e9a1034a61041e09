#include "chunks.h"

#include <stdatomic.h>
#include <sys/mman.h>

// V8's pages. It maps more than it wants, by up to one alignment, and unmaps what it does not need at once.
#define CHUNK (256UL << 10)
// Beyond it an object is no part of a block that others share.
#define LONGEST (4 * CHUNK)

enum { ROOM = 4096 }; // a gigabyte; what comes after it lies where V8 drew

// What is wrong here costs nothing but the place: nothing that is mapped is ever replaced. So several threads need no lock.
static atomic_uchar taken[ROOM];
static uintptr_t base;

void chunks_begin(uintptr_t from)
{
    base = from;
}

static bool take(size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (atomic_exchange_explicit(&taken[first + i], 1, memory_order_relaxed)) {
            while (i > 0) {
                atomic_store_explicit(&taken[first + --i], 0, memory_order_relaxed);
            }
            return false;
        }
    }
    return true;
}

uintptr_t chunks_place(size_t length, int protection, int flags, int fd)
{
    if (!base || protection != PROT_NONE || flags != (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) || fd != -1 || length <= CHUNK || length > LONGEST) {
        return 0;
    }
    size_t count = (length + CHUNK - 1) / CHUNK; // the last is given back at once
    for (size_t first = 0; first + count <= ROOM; first++) {
        if (!atomic_load_explicit(&taken[first], memory_order_relaxed) && take(first, count)) {
            return base + first * CHUNK;
        }
    }
    return 0;
}

void chunks_unmapped(uintptr_t from, size_t length)
{
    if (!base || from < base || from >= base + ROOM * CHUNK) {
        return;
    }
    // A part of the first chunk is still there.
    size_t first = (from - base + CHUNK - 1) / CHUNK, end = (from + length - base + CHUNK - 1) / CHUNK;
    for (size_t i = first; i < end && i < ROOM; i++) {
        atomic_store_explicit(&taken[i], 0, memory_order_relaxed);
    }
}
