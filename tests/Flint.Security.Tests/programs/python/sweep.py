"""Calls every system call number, each in a child of its own, with several patterns of arguments, and says how each answers."""

import ctypes
import errno
import os
import select
import signal
import struct
import time

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_X32 = 0x40000000
# Nothing, the number that is no descriptor, no pid and no pointer, and small numbers. None of them is a valid pointer.
_PATTERNS = [(0,) * 6, (-1,) * 6, (1, 2, 3, 4, 5, 6), (3, 99, 1, 1 << 20, 0, 0)]


def _child(number, write):
    os.setpgid(0, 0)
    for pattern in _PATTERNS:
        ctypes.set_errno(0)
        result = _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(value) for value in pattern])
        os.write(write, struct.pack("<qi", result, ctypes.get_errno()))
    os._exit(0)


def _one(number):
    """The answers as far as they came, and how the child ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        # A second pair of ends that the number "close" does not hit by chance.
        spare = os.dup2(write, 777)
        _child(number, spare)
    os.close(write)
    answers = b""
    began = heard = time.monotonic()
    while time.monotonic() < began + 20:
        if not select.select([read], [], [], 0.1)[0]:
            if _waits(child, time.monotonic() - heard):
                break
            continue
        heard = time.monotonic()
        data = os.read(read, 4096)
        if not data:
            break
        answers += data
    os.close(read)
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        pass
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while True:
        # Children of the child, which forks were among the numbers, come to the cell's first process; what came here is collected.
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                break
        except ChildProcessError:
            break
    return [struct.unpack_from("<qi", answers, at) for at in range(0, len(answers) // 12 * 12, 12)], status


def _waits(child, silent):
    """It sleeps, has stopped or is dead; else the machine is only slow. Where processes are hidden, even one's own, it is given time."""
    try:
        with open(f"/proc/{child}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0] != "R"
    except FileNotFoundError:
        return silent > 1


def _verdict(number):
    answers, status = _one(number)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return "killed"
    if len(answers) == len(_PATTERNS):
        if all(result == -1 and error == errno.EPERM for result, error in answers):
            return "refused"
        if all(result == -1 and error == errno.ENOSYS for result, error in answers):
            return "absent"
    return "answers"


def every(event, context):
    verdicts = {number: _verdict(number) for number in range(event["first"], event["last"])}
    x32 = {number: verdict for number in range(event["first"], event["last"], 16) if (verdict := _batch(number)) != "absent"} if event["x32"] else {}
    return {"worked": len(verdicts) > 0, "verdicts": verdicts, "x32": x32}


def _batch(first):
    """Sixteen x32 numbers in one child: all of them are to be absent."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        found = 0
        for number in range(first, first + 16):
            for pattern in _PATTERNS:
                ctypes.set_errno(0)
                result = _libc.syscall(ctypes.c_long(_X32 | number), *[ctypes.c_long(value) for value in pattern])
                found += result != -1 or ctypes.get_errno() != errno.ENOSYS
        os.write(write, b"%d" % found)
        os._exit(0)
    os.close(write)
    answer = os.read(read, 16)
    os.close(read)
    os.waitpid(child, 0)
    return "absent" if answer == b"0" else "answers"
