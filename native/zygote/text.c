#include "text.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE_PAGE (2UL << 20)

static uintptr_t align(uintptr_t address)
{
    return (address + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
}

// The copy is complete before it takes the place of what is run, in one step.
void text_settle(uintptr_t from, uintptr_t to)
{
    enum { HUGE = 14, COLLAPSE = 25 }; // MADV_HUGEPAGE, MADV_COLLAPSE
    uintptr_t first = align(from);
    if (to < first + HUGE_PAGE) {
        return;
    }
    size_t length = (to - first) & ~(HUGE_PAGE - 1), room = length + HUGE_PAGE;
    char *space = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED) {
        return;
    }
    char *copy = (char *)align((uintptr_t)space);
    madvise(copy, length, HUGE);
    memcpy(copy, (const char *)first, length);
    // As small pages it would cost each fork more than the file does.
    if (madvise(copy, length, COLLAPSE) == 0 && mprotect(copy, length, PROT_READ | PROT_EXEC) == 0) {
        mremap(copy, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)first);
    }
    munmap(space, room); // what is left of it
}
