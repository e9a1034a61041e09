#include <pthread.h>
#include <stddef.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

// The helpers that fork guests share their parent's memory, so the kernel does not know their restartable sequence, and their forks inherit that: libc would go
// on reading a processor's number that nobody writes any more (sched_getcpu). Registered again in every fork; where it still is, the kernel refuses.

static void register_again(void)
{
    enum { ORIGINAL_SIZE = 32 };
    if (__rseq_size > 0) {
        syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, __rseq_size > ORIGINAL_SIZE ? __rseq_size : ORIGINAL_SIZE, 0, RSEQ_SIG);
    }
}

__attribute__((constructor)) static void prepare(void)
{
    pthread_atfork(NULL, NULL, register_again);
}
