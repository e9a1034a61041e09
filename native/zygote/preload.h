#pragma once

// What libflint-zygote.so changes in a process that is forked although its interpreter never expected it (preload.c). By being loaded it drops MADV_DONTFORK, by which
// V8 would keep its heap from children, and lets pthread_join return at once for threads that were lost in a fork.

// In a fork, once: the threads known so far are lost, and exit() leaves with its status without running the handlers and destructors that were there before: they would
// wait for such threads. Stdio is flushed.
__attribute__((visibility("default"))) void flint_preload_forked(void);
