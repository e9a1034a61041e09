// The interpositions of libflint-zygote.so. See preload.h.
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "flint_zygote.h"

#define MAX_THREADS 256
#define ROOM (64UL << 10)

static struct {
    pthread_t thread;
    size_t stack;
    int lost;
} threads[MAX_THREADS];
static atomic_flag threads_busy = ATOMIC_FLAG_INIT;
static size_t lost_stack; // the largest
static int exit_is_hooked;

FLINT_EXPORT int madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_DONTFORK) {
        return 0;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}

// ---- threads that a fork does not have

static void lock_threads(void)
{
    while (atomic_flag_test_and_set_explicit(&threads_busy, memory_order_acquire)) {
    }
}

static void unlock_threads(void)
{
    atomic_flag_clear_explicit(&threads_busy, memory_order_release);
}

static void know_thread(pthread_t thread, size_t stack)
{
    int place = -1;
    lock_threads();
    for (int i = 0; i < MAX_THREADS; i++) {
        if (threads[i].thread == thread) {
            place = i;
            break;
        }
        if (threads[i].thread == 0 && place < 0) {
            place = i;
        }
    }
    if (place >= 0) {
        threads[place].thread = thread;
        threads[place].stack = stack;
        threads[place].lost = 0;
    }
    unlock_threads();
}

static int forget_thread(pthread_t thread)
{
    int lost = 0;
    lock_threads();
    for (int i = 0; i < MAX_THREADS; i++) {
        if (threads[i].thread == thread) {
            lost = threads[i].lost;
            threads[i].thread = 0;
            break;
        }
    }
    unlock_threads();
    return lost;
}

// Stack that a thread with these attributes gets; 0 when it brings its own.
static size_t stack_of(const pthread_attr_t *attributes)
{
    void *address = NULL;
    size_t size = 0;
    if (pthread_attr_getstack(attributes, &address, &size) || (uintptr_t)address + size != 0) {
        return 0;
    }
    return pthread_attr_getstacksize(attributes, &size) ? 0 : size;
}

// In a fork libc would give the stacks of lost threads to new ones, and with them their handles, but a handle must mean one thread. So every new thread asks for more
// stack than any lost one had. The copy of the attributes is only read.
FLINT_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "pthread_create");
    }
    pthread_attr_t standard, roomier;
    if (attributes == NULL && pthread_attr_init(&standard)) {
        return EAGAIN;
    }
    const pthread_attr_t *wanted = attributes == NULL ? &standard : attributes;
    size_t stack = stack_of(wanted);
    if (stack != 0 && stack <= lost_stack) {
        memcpy(&roomier, wanted, sizeof roomier);
        stack = lost_stack + ROOM;
        if (pthread_attr_setstacksize(&roomier, stack) == 0) {
            wanted = &roomier;
        }
    }
    int result = next(thread, wanted, run, argument);
    if (attributes == NULL) {
        pthread_attr_destroy(&standard);
    }
    if (result == 0) {
        know_thread(*thread, stack);
    }
    return result;
}

FLINT_EXPORT int pthread_join(pthread_t thread, void **value)
{
    static int (*next)(pthread_t, void **);
    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "pthread_join");
    }
    if (forget_thread(thread)) {
        if (value != NULL) {
            *value = NULL;
        }
        return 0;
    }
    return next(thread, value);
}

FLINT_EXPORT int pthread_detach(pthread_t thread)
{
    static int (*next)(pthread_t);
    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "pthread_detach");
    }
    return forget_thread(thread) ? 0 : next(thread);
}

// ---- the end

// Runs before every handler that was there at the fork, with the true status, wherever exit() was called from: main's return too.
static void leave(int status, void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(status);
}

void flint_preload_forked(void)
{
    // No other thread exists; one that is lost may have held it.
    atomic_flag_clear(&threads_busy);
    for (int i = 0; i < MAX_THREADS; i++) {
        if (threads[i].thread != 0) {
            threads[i].lost = 1;
            lost_stack = threads[i].stack > lost_stack ? threads[i].stack : lost_stack;
        }
    }
    if (!exit_is_hooked) {
        exit_is_hooked = 1;
        on_exit(leave, NULL);
    }
}
