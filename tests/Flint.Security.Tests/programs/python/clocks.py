"""Programs that change the clock, set off storms of timers, or stop those who watch over them."""

import ctypes
import errno
import os
import signal
import threading
import time

_libc = ctypes.CDLL(None, use_errno=True)


def set_clock(event, context):
    """Sets the clock to what it shows; by every call that there is."""
    if event["own"]:
        return {"worked": time.time() > 0}
    ways = {}
    now = time.time()

    class Timespec(ctypes.Structure):
        _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]

    spec = Timespec(int(now), 0)
    ways["clock_settime"] = _libc.clock_settime(0, ctypes.byref(spec))
    ways["settimeofday"] = _libc.settimeofday(ctypes.byref(spec), None)
    # ADJ_OFFSET of nothing: a change of the clock's discipline all the same.
    buffer = (ctypes.c_uint32 * 64)()
    buffer[0] = 1
    ways["adjtimex"] = _libc.adjtimex(buffer)
    ways["clock_adjtime"] = _libc.syscall(ctypes.c_long(305), ctypes.c_long(0), buffer)
    return {"worked": any(result >= 0 for result in ways.values()), "ways": ways}


def timer_storm(event, context):
    """As many timers as there are to be had, each every millisecond, on a signal that is handled."""
    fired = [0]

    def count(number, frame):
        fired[0] += 1

    signal.signal(signal.SIGALRM, count)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)

    class Spec(ctypes.Structure):
        _fields_ = [("every", ctypes.c_long), ("every_ns", ctypes.c_long), ("first", ctypes.c_long), ("first_ns", ctypes.c_long)]

    made = 0
    for _ in range(event["timers"]):
        timer = ctypes.c_void_p()
        if _libc.timer_create(1, None, ctypes.byref(timer)) != 0:
            break
        spec = Spec(0, 1_000_000, 0, 1_000_000)
        if _libc.timer_settime(timer, 0, ctypes.byref(spec), None) == 0:
            made += 1
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        pass
    return {"worked": fired[0] > 0, "made": made, "fired": fired[0]}


def signal_queue(event, context):
    """Queues signals to itself until the kernel has no room; they count against the user."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    queued = 0
    value = ctypes.c_void_p(1)
    while queued < event["signals"] and _libc.sigqueue(os.getpid(), signal.SIGRTMIN, value) == 0:
        queued += 1
    return {"worked": queued >= event["signals"], "queued": queued, "errno": errno.errorcode.get(ctypes.get_errno(), 0)}


def stop_init(event, context):
    """SIGSTOP and every other signal to the first process of its cell, and to what else it can name."""
    target = 1
    if event["own"]:
        target = os.fork()
        if target == 0:
            time.sleep(60)
            os._exit(0)
    sent = []
    for number in (signal.SIGSTOP, signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV, signal.SIGCONT):
        for way in (os.kill, lambda pid, which: _pidfd(pid, which)):
            try:
                way(target, number)
                sent.append(int(number))
            except OSError:
                pass
    if event["own"]:
        os.kill(target, signal.SIGKILL)
        os.waitpid(target, 0)
    return {"worked": bool(sent), "sent": sent}


def _pidfd(pid, number):
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def stop_and_answer(event, context):
    """Answers by a thread while all the rest of it has been told to stop."""
    child = os.fork()
    if child == 0:
        time.sleep(0.05)
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(event["seconds"])
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    end = time.monotonic() + event["seconds"] + 0.1
    while time.monotonic() < end:
        time.sleep(0.01)
    return {"worked": True}
