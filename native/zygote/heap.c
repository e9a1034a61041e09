#include "heap.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "chunks.h"
#include "flint_zygote.h"
#include "text.h"

#define HUGE_PAGE (2UL << 20)
#define SMALL_PAGE 4096UL
#define LARGEST (1UL << 30) // a mapping beyond this is somebody's reserve, hardly used

// CPython takes its heap in arenas of half a huge page and has the kernel place them. These are placed one after the other instead.
#define PYTHON_ARENA (1UL << 20)
#define CHUNKS (1UL << 40) // from the first arena to V8's first chunk

static bool placing;
static uintptr_t next;

void heap_begin(void)
{
    uint64_t random;
    // Far from what the kernel places by itself. Without luck nothing is placed, since nothing that is there is ever replaced.
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random) {
        next = (0x100000000000UL + random % 0x400000000000UL) & ~(HUGE_PAGE - 1);
        placing = true;
        chunks_begin((void *)(next + CHUNKS));
    }
}

static void *ask(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

#ifndef __SANITIZE_ADDRESS__ // which has an mmap of its own
static bool is_arena(const void *address, size_t length, int protection, int flags, int fd)
{
    return placing && length == PYTHON_ARENA && !address && protection == (PROT_READ | PROT_WRITE) && flags == (MAP_PRIVATE | MAP_ANONYMOUS) && fd == -1;
}

FLINT_EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (is_arena(address, length, protection, flags, fd)) {
        void *got = ask((void *)next, length, protection, flags | MAP_FIXED_NOREPLACE, fd, offset);
        if (got == (void *)next) {
            next += length;
            return got;
        }
        if (got != MAP_FAILED) { // a kernel that takes the address for a hint
            munmap(got, length);
        }
        placing = false;
    }
    void *chunk = chunks_take(length, protection, flags, fd);
    if (chunk) {
        return chunk;
    }
    return ask(address, length, protection, flags, fd, offset);
}

FLINT_EXPORT int munmap(void *address, size_t length)
{
    return chunks_give_back(address, length) ? 0 : (int)syscall(SYS_munmap, address, length);
}

FLINT_EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset) __attribute__((alias("mmap")));
#endif

// Blocks that are mostly there: the rest of one would become memory too.
static void settle(uintptr_t from, uintptr_t to)
{
    enum { COLLAPSE = 25, PAGES = HUGE_PAGE / SMALL_PAGE }; // MADV_COLLAPSE, younger than many a header
    for (uintptr_t block = (from + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1); block + HUGE_PAGE <= to; block += HUGE_PAGE) {
        unsigned char there[PAGES];
        size_t count = 0;
        if (mincore((void *)block, HUGE_PAGE, there)) {
            continue;
        }
        for (size_t i = 0; i < PAGES; i++) {
            count += there[i] & 1;
        }
        // Best effort: before Linux 6.1, and where huge pages are switched off or used up, the zygote serves as it is.
        if (count >= PAGES / 2) {
            madvise((void *)block, HUGE_PAGE, COLLAPSE);
        }
    }
}

// What is read from a file while an interpreter boots is of no more use to the zygote, and its forks get none of it: each maps what it touches by itself. Only where nothing was ever
// written (a library's relocations are): that would be lost.
static void release(uintptr_t from, uintptr_t to)
{
    madvise((void *)from, to - from, MADV_DONTNEED);
}

// One mapping of /proc/self/smaps: the line that begins it, and what of it is memory of the process's own.
static void settle_mapping(const char *header, unsigned long anonymous)
{
    unsigned long from, to, inode;
    char rights[5];
    if (sscanf(header, "%lx-%lx %4s %*x %*s %lu", &from, &to, rights, &inode) != 4 || to - from > LARGEST) {
        return;
    }
    if (inode == 0 && strcmp(rights, "rw-p") == 0 && !strstr(header, "[stack")) {
        settle(from, to);
    } else if (inode != 0 && anonymous == 0 && (strcmp(rights, "r-xp") == 0 || strcmp(rights, "r--p") == 0)) {
        release(from, to);
        if (rights[2] == 'x') {
            text_settle(from, to);
        }
    }
}

void heap_settle(void)
{
    const size_t room = 4 << 20;
    size_t length = 0;
    // Memory that is gone afterwards: what is dirty in a zygote costs each fork.
    char *text = ask(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = text == MAP_FAILED ? -1 : open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    for (ssize_t got; fd >= 0 && length < room - 1 && (got = read(fd, text + length, room - 1 - length)) > 0;) {
        length += (size_t)got;
    }
    if (fd < 0) {
        return;
    }
    close(fd);
    text[length] = 0;
    const char *header = NULL;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        unsigned long anonymous;
        *end = 0;
        if (sscanf(line, "Anonymous: %lu kB", &anonymous) == 1 && header) {
            settle_mapping(header, anonymous);
        } else if (*line && strchr("0123456789abcdef", *line)) { // what is said of a mapping begins with capitals
            header = line;
        }
    }
    munmap(text, room);
}
