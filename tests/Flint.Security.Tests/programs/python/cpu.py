"""Programs that take time, or refuse to end. Each answers {"worked": true} when it got all the time it asked for."""

import os
import re
import signal
import threading
import time


def busy_loop(event, context):
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        pass
    return {"worked": True}


def sleep_past_limit(event, context):
    time.sleep(event["seconds"])
    return {"worked": True}


def ignore_signals(event, context):
    """Catches whatever can be caught, and goes on."""
    caught = []
    for number in range(1, signal.NSIG):
        try:
            signal.signal(number, lambda received, frame: caught.append(received))
        except (OSError, ValueError):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGXCPU)
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        time.sleep(0.01)
    return {"worked": len(caught) >= 2}


def stop_itself(event, context):
    """Stops, to hold its slot without using CPU; a child wakes it later."""
    child = os.fork()
    if child == 0:
        time.sleep(event["seconds"])
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    started = time.monotonic()
    os.kill(os.getpid(), signal.SIGSTOP)
    os.waitpid(child, 0)
    return {"worked": time.monotonic() - started >= event["seconds"] * 0.8}


def regex_blow_up(event, context):
    started = time.monotonic()
    re.match(r"(a+)+$", "a" * event["letters"] + "!")
    return {"worked": True, "seconds": time.monotonic() - started}


def thread_bomb(event, context):
    threading.stack_size(64 * 1024)
    release = threading.Event()
    threads = []
    error = None
    try:
        for _ in range(event["threads"]):
            thread = threading.Thread(target=release.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError as refused:
        error = str(refused)
    count = len(threads)
    release.set()
    return {"worked": count >= event["threads"], "threads": count, "error": error}


def daemon(event, context):
    """Double fork and setsid: a process that belongs to nobody, ignores what it can, and is to go on after the answer."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
            os.write(write, b"up")
            for descriptor in range(0, 64):
                try:
                    os.close(descriptor)
                except OSError:
                    pass
            time.sleep(event["seconds"])
            os._exit(0)
        os._exit(0)
    os.close(write)
    return {"worked": os.read(read, 2) == b"up"}


def children_that_spin(event, context):
    """Leaves spinning children in new sessions behind and never answers."""
    for _ in range(event["children"]):
        if os.fork() == 0:
            os.setsid()
            end = time.monotonic() + event["seconds"]
            while time.monotonic() < end:
                pass
            os._exit(0)
    time.sleep(event["seconds"])
    return {"worked": True}
