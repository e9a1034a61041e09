#pragma once

// libflint-zygote.so, preloaded into the zygotes: what the native modules for CPython (flint_zygote_python.c) and Node (flint_zygote_node.c) call.
// See native/LAUNCHER.md, "Zygotes" and "Snapshots". Single-threaded; nothing here allocates after a fork.

#define FLINT_EXPORT __attribute__((visibility("default")))

// Never returns in the zygote. Returns 0 in each forked guest, which has entered its cell for good: own uid, no capabilities, filter loaded; descriptors 0 to 4 as in
// LAUNCHER.md. Returns -errno at once when this process is not a zygote (no control socket at descriptor 3).
FLINT_EXPORT int flint_zygote_serve(void);

// In a forked guest, before it touches code or environment: waits for GO on descriptor 4. When snapshot is 0 the descriptor is closed; otherwise the process becomes
// non-dumpable and the snapshot filter, which came with GO, is loaded. 0 or -errno; at the end of the stream (the cell is dying) it does not return.
FLINT_EXPORT int flint_zygote_go(int snapshot);

// In a snapshot's guest after its init: becomes the template. Returns 0 in each fork (descriptors 0 to 3 new, its own GO received, 4 closed), never in the template.
// -errno when it cannot begin.
FLINT_EXPORT int flint_zygote_template(void);

// Whether this process was forked by flint_zygote_serve: its inherited threads do not exist.
FLINT_EXPORT int flint_zygote_is_fork(void);
