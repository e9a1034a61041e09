"""Programs that use up descriptors and the kernel's shared tables, or leave something in them."""

import ctypes
import errno
import os
import select

_libc = ctypes.CDLL(None, use_errno=True)


def _exhaust(make, count):
    made = 0
    held = []
    error = None
    try:
        for _ in range(count):
            held.append(make())
            made += 1
    except OSError as refused:
        error = errno.errorcode.get(refused.errno, refused.errno)
    for descriptor in held:
        os.close(descriptor)
    return made, error


def descriptors(event, context):
    def epoll():
        # Python's own object closes itself when it is collected; a duplicate does not.
        with select.epoll() as made:
            return os.dup(made.fileno())

    def checked(call, *arguments):
        result = call(*arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "refused")
        return result

    ways = {
        "file": lambda: os.open("/dev/null", os.O_RDONLY),
        "eventfd": lambda: os.eventfd(0),
        "epoll": epoll,
        "timerfd": lambda: checked(_libc.timerfd_create, 1, 0),
        "inotify": lambda: checked(_libc.inotify_init1, 0),
    }
    counts = {name: _exhaust(make, event["count"]) for name, make in ways.items()}
    # inotify is not there at all: its instances would count against the host's user.
    return {"worked": all(made >= event["count"] for name, (made, _) in counts.items() if name != "inotify"), "counts": counts}


def shared_memory(event, context):
    """A System V segment outlives its makers until its namespace goes. Says whether an earlier sandbox's is still there."""
    key = 0x464C4E54
    found = _libc.shmget(key, 0, 0) >= 0
    made = _libc.shmget(key, 4096, 0o1000 | 0o666) >= 0
    return {"worked": found if event["find"] else made or ctypes.get_errno() == errno.EPERM, "made": made}


def keyring(event, context):
    """Keys are the kernel's, per user, and in no namespace but the user's."""
    if event["own"]:
        return {"worked": True}
    result = _libc.syscall(ctypes.c_long(248), b"user", b"flint", b"secret", ctypes.c_size_t(6), ctypes.c_long(-4))
    return {"worked": result >= 0, "errno": errno.errorcode.get(ctypes.get_errno(), 0)}
