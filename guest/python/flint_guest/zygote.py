"""
An interpreter that is booted once and forked for each sandbox: guest/PROTOCOL.md, "Environment after a fork". What is loaded and run here is not
loaded and run in the forks; what is random, of a tenant or open must not be here.
"""

import gc
import importlib
import os
import sys

from . import codec, loader, protocol, runtime

# What functions commonly import and pay milliseconds for, as far as importing it starts nothing, opens nothing and draws nothing (multiprocessing draws a key). Each
# megabyte that is loaded here costs every fork some 30 us.
_MODULES = (
    "abc", "asyncio", "base64", "binascii", "bisect", "collections", "collections.abc", "concurrent.futures", "concurrent.futures.thread", "contextlib",
    "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "email.message", "email.parser", "email.utils", "enum", "functools", "glob", "gzip",
    "hashlib", "heapq", "hmac", "html", "http.client", "inspect", "io", "itertools", "json", "linecache", "logging", "math", "operator", "pathlib", "queue",
    "random", "re", "secrets", "shutil", "signal", "socket", "ssl", "string", "struct", "subprocess", "tempfile", "textwrap", "threading", "time", "traceback",
    "types", "typing", "urllib.error", "urllib.parse", "urllib.request", "uuid", "warnings", "weakref", "zlib", "zoneinfo",
)
_REHEARSALS = 3

_native = None
_of_exec_mode = frozenset()


def prepare(directory):
    """Loads and exercises all that a fork will need. `directory` is that of the guest's Python files."""
    global _native, _of_exec_mode
    gc.disable()
    runtime.prepare()
    _of_exec_mode = frozenset(sys.modules)
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            # An optional part that this interpreter was built or packaged without.
            pass
    _native = _load_native(directory)
    for number in range(_REHEARSALS):
        _rehearse(directory, number)
    _become_bootstrap(directory)
    gc.collect()
    gc.freeze()


def serve():
    """Waits for requests. Returns in each fork."""
    _native.serve()
    gc.enable()


def run(fd):
    """A fork's life, as bootstrap.py's."""
    import logging

    logging._startTime = _now()
    runtime.run(fd, _native, lambda directories: loader.give_way(directories, _of_exec_mode))


def _now():
    import time

    return time.time()


def _load_native(directory):
    path = os.path.join(os.path.dirname(directory), "native")
    sys.path.insert(0, path)
    try:
        import flint_zygote
    finally:
        sys.path.remove(path)
        sys.path_importer_cache.pop(path, None)
    return flint_zygote


def _rehearse(directory, number):
    """Serves one function's life from a socket, then takes back what it has left in the process."""
    import logging
    import socket

    code = os.path.join(directory, "rehearsal")
    before = (sys.path[:], sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    worker, guest = socket.socketpair()
    channel = protocol.Channel(guest.fileno())
    try:
        worker.sendall(_script(code))
        worker.shutdown(socket.SHUT_WR)
        runtime.live(channel, None, lambda directories: loader.give_way(directories, _of_exec_mode))
    finally:
        answers = bytearray()
        guest.close()
        while part := worker.recv(64 * 1024):
            answers += part
        worker.close()
        sys.path[:], sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__ = before
        sys.dont_write_bytecode = bytecode
        root = logging.getLogger()
        root.handlers.clear()
        root.setLevel(logging.WARNING)
        sys.modules.pop("rehearsal", None)
        sys.path_importer_cache.pop(code, None)
        sys.modules["linecache"].clearcache()
        os.chdir("/")
    # READY, INIT_OK, two results and an error: anything else is a broken bootstrap, and no guest may come of it.
    if _kinds(answers) != [0x81, 0x82, 0x85, 0x86, 0x85]:
        raise RuntimeError(f"the rehearsal went wrong: {bytes(answers)!r}")


def _script(code):
    init = {
        "handler": "rehearsal.handler", "taskRoot": code, "functionName": "rehearsal", "functionVersion": "$LATEST", "invokedFunctionArn": "arn",
        "memoryMb": 128, "maxResultBytes": 6291456, "environment": dict(os.environ), "snapshot": False,
    }
    frames = [_frame(0x01, codec.dumps(init))]
    for number, fail in enumerate((False, True, False)):
        meta = codec.dumps({"requestId": f"rehearsal-{number}", "deadlineMs": 0, "clientContext": None, "traceId": "Root=1" if fail else None})
        event = codec.dumps({"number": number, "fail": fail, "text": "refused", "list": [1, 2.5, "\u00e9", None, True, {}]})
        frames.append(_frame(0x02, bytes(16) + len(meta).to_bytes(4, "little") + meta + event))
    return b"".join(frames)


def _frame(kind, body):
    return bytes((1, kind, 0, 0)) + len(body).to_bytes(4, "little") + body


def _kinds(data):
    """The kinds of all frames but LOG."""
    kinds = []
    at = 0
    while at < len(data):
        if data[at + 1] != 0x84:
            kinds.append(data[at + 1])
        at += 8 + int.from_bytes(data[at + 4:at + 8], "little")
    return kinds


def _become_bootstrap(directory):
    """What a function sees of the program is what it sees in exec mode."""
    path = os.path.join(directory, "bootstrap.py")
    main = sys.modules["__main__"]
    main.__file__ = path
    main.__doc__ = None
    sys.argv[:] = [path]
    sys.orig_argv[-1:] = [path]
