#include "chunks.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// V8's pages. It maps more than it wants, by up to one alignment, and unmaps what it does not need at once.
#define CHUNK (256UL << 10)
#define SMALL_PAGE 4096UL
// Larger objects have a mapping of their own.
#define LONGEST (4 * CHUNK)

enum { ROOM = 256 }; // 64 MB; what comes after it lies where V8 drew

// Of each place: how many of its small pages are taken. V8's threads take without a lock: a place is first claimed from 0.
static atomic_uchar taken[ROOM];
static uintptr_t base;

void chunks_begin(void *from)
{
    void *got = (void *)syscall(SYS_mmap, from, ROOM * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == from) {
        base = (uintptr_t)got;
    } else if (got != MAP_FAILED) { // a kernel that takes the address for a hint
        syscall(SYS_munmap, got, ROOM * CHUNK);
    }
}

static unsigned char pages_of(size_t length)
{
    return (unsigned char)((length < CHUNK ? length : CHUNK) / SMALL_PAGE);
}

static bool take(size_t first, size_t length)
{
    for (size_t i = 0; i * CHUNK < length; i++) {
        unsigned char none = 0;
        if (!atomic_compare_exchange_strong(&taken[first + i], &none, pages_of(length - i * CHUNK))) {
            while (i-- > 0) {
                atomic_store(&taken[first + i], 0);
            }
            return false;
        }
    }
    return true;
}

void *chunks_take(size_t length, int protection, int flags, int fd)
{
    if (!base || protection != PROT_NONE || flags != (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE) || fd != -1 || length <= CHUNK || length > LONGEST ||
        length % SMALL_PAGE != 0) {
        return NULL;
    }
    for (size_t first = 0; first + (length + CHUNK - 1) / CHUNK <= ROOM; first++) {
        if (atomic_load_explicit(&taken[first], memory_order_relaxed) == 0 && take(first, length)) {
            return (void *)(base + first * CHUNK);
        }
    }
    return NULL;
}

bool chunks_give_back(void *from, size_t length)
{
    uintptr_t start = (uintptr_t)from, end = start + length;
    if (!base || start < base || end > base + ROOM * CHUNK || end <= start) {
        return false;
    }
    // As new, before another thread may take it.
    if (mprotect(from, length, PROT_READ | PROT_WRITE) || madvise(from, length, MADV_DONTNEED)) {
        return true; // lost, but nobody's
    }
    while (start < end) {
        size_t place = (start - base) / CHUNK;
        uintptr_t border = base + (place + 1) * CHUNK;
        size_t part = (end < border ? end : border) - start;
        atomic_fetch_sub(&taken[place], pages_of(part));
        start += part;
    }
    return true;
}
