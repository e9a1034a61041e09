"""Programs that end in ways that are to be mistaken for something else. With {"how": "return"} they just answer."""

import ctypes
import os
import resource
import signal
import sys
import threading
import time


def end(event, context):
    how = event["how"]
    if how == "exit 137":
        os._exit(137)
    if how == "exit 0":
        os._exit(0)
    if how == "sys.exit":
        sys.exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "abort":
        os.abort()
    if how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "sigsys":
        os.kill(os.getpid(), signal.SIGSYS)
    if how == "stack overflow":
        # C recursion that Python's own limit does not count.
        resource.setrlimit(resource.RLIMIT_STACK, (resource.getrlimit(resource.RLIMIT_STACK)[0], resource.getrlimit(resource.RLIMIT_STACK)[1]))
        sys.setrecursionlimit(1 << 30)
        deep = None
        for _ in range(1_000_000):
            deep = (deep,)
        hash(deep)
        repr(deep)
    if how == "exit in a thread":
        threading.Thread(target=os._exit, args=(9,)).start()
        time.sleep(5)
    if how == "exec":
        os.execv("/usr/bin/true", ["true"])
    if how == "exec away":
        os.execv("/usr/bin/sleep", ["sleep", "20"])
    if how == "raise SystemExit subclass":
        class Leave(SystemExit):
            pass

        raise Leave(0)
    if how == "raise BaseException":
        raise BaseException("not an Exception")
    if how == "error that cannot be shown":
        class Vicious(Exception):
            def __str__(self):
                raise RuntimeError("no")

            __repr__ = __str__

        raise Vicious
    return {"worked": True}


_counter = 0


def answer_later(event, context):
    """A thread of the first invocation changes what the second finds; each answer must be its own invocation's all the same."""
    global _counter
    _counter += 1
    if event["first"]:
        threading.Thread(target=lambda: (time.sleep(0.05), sys.stdout.write("late words of the first\n"), sys.stdout.flush()), daemon=True).start()
    return {"worked": True, "request": context.aws_request_id, "count": _counter}
