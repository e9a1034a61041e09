// The interpositions of libflint-zygote.so. See preload.h.
#include "preload.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "flint_zygote.h"

#define MAX_THREADS 256

static struct {
    pthread_t thread;
    int lost;
} threads[MAX_THREADS];
static atomic_flag threads_busy = ATOMIC_FLAG_INIT;
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

// A handle may be that of a lost thread, whose stack and handle libc uses again: the new thread is one that can be joined.
static void know_thread(pthread_t thread)
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

FLINT_EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (next == NULL) {
        next = dlsym(RTLD_NEXT, "pthread_create");
    }
    int result = next(thread, attributes, run, argument);
    if (result == 0) {
        know_thread(*thread);
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
        threads[i].lost = threads[i].thread != 0;
    }
    if (!exit_is_hooked) {
        exit_is_hooked = 1;
        on_exit(leave, NULL);
    }
}
