"""
An interpreter that is booted once and forked for each sandbox: guest/PROTOCOL.md, "Environment after a fork". What is loaded and run here is not
loaded and run in the forks; what is random, of a tenant or open must not be here.
"""

import gc
import importlib
import os
import posix
import sys
from _frozen_importlib_external import PathFinder
from time import time

from . import codec, loader, protocol, runtime
from .logs import Logs

# What functions commonly import and pay milliseconds for, as far as importing it starts nothing, opens nothing and draws nothing (multiprocessing draws a key). Each
# megabyte that is loaded here costs every fork some 30 us.
_MODULES = (
    "abc", "asyncio", "base64", "binascii", "bisect", "collections", "collections.abc", "concurrent.futures", "concurrent.futures.thread", "contextlib",
    "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "email.message", "email.parser", "email.utils", "enum", "functools", "glob", "gzip",
    "hashlib", "heapq", "hmac", "html", "http.client", "inspect", "io", "itertools", "json", "linecache", "logging", "math", "operator", "pathlib", "queue",
    "random", "re", "secrets", "shutil", "signal", "socket", "ssl", "string", "struct", "subprocess", "tempfile", "textwrap", "threading", "time", "traceback",
    "types", "typing", "urllib.error", "urllib.parse", "urllib.request", "uuid", "warnings", "weakref", "zlib", "zoneinfo",
)
# So many that the interpreter has specialised what it runs: specialised code touches less.
_REHEARSALS = 24
# One after the other: handler, call, globals.
_PARTS = (("rehearsal.handler", "handler", "full"), ("job.main", "main", "full"), ("rehearsal.handler", "handler", "full"), ("limited.main", "main", "limited"))
_CHANNEL = 3
# Whose fork handlers a fork of a zygote need not run, which has one thread and holds no lock: they make locks anew, forget threads, and seed what serve seeds.
_KNOWN_HANDLERS = frozenset(("concurrent.futures.thread", "logging", "random", "threading"))

_native = None
_guest = None
_of_exec_mode = frozenset()
_handlers = set()


def prepare(directory):
    """Loads and exercises all that a fork will need. `directory` is that of the guest's Python files."""
    global _native, _of_exec_mode
    gc.disable()
    runtime.prepare()
    _of_exec_mode = frozenset(sys.modules)
    _import_modules()
    _native = _load_native(directory)
    _load_again()
    for number in range(_REHEARSALS):
        _rehearse(directory, number)
    _become_bootstrap(directory)
    _prepare_guest()
    gc.collect()
    gc.freeze()


def _import_modules():
    register, os.register_at_fork = os.register_at_fork, _register_at_fork
    placeholders = _hold_places()
    for name in _MODULES:
        try:
            importlib.import_module(name)
        except ImportError:
            # An optional part that this interpreter was built or packaged without.
            pass
    os.register_at_fork = register
    for name in placeholders:
        del sys.modules[name]


def _hold_places():
    """shutil imports these only to know that they are there. Each is two libraries, ten mappings that every fork would copy."""
    names = [name for name in ("bz2", "lzma") if name not in sys.modules and ("_" + name in sys.builtin_module_names or PathFinder.find_spec("_" + name))]
    for name in names:
        sys.modules[name] = type(sys)(name)
    return names


def _load_again():
    """Loads the bootstrap anew, after all else: what every fork touches then lies together, and not among what none does."""
    global codec, loader, protocol, runtime, Logs
    package = sys.modules[__package__]
    names = [name for name in sys.modules if name.startswith(__package__ + ".") and name != __name__]
    for name in names:
        delattr(package, name.rpartition(".")[2])
        del sys.modules[name]
    del codec, loader, protocol, runtime, Logs
    gc.collect()
    _native.fill_holes()
    codec, loader, protocol, runtime = [importlib.import_module("." + name, __package__) for name in ("codec", "loader", "protocol", "runtime")]
    Logs = sys.modules[__package__ + ".logs"].Logs
    runtime.prepare()


def _register_at_fork(**handlers):
    """Notes whose handlers there are."""
    posix.register_at_fork(**handlers)
    _handlers.add(sys._getframe(1).f_globals["__name__"])


def _prepare_guest():
    """What a fork begins with, of the descriptor that it will have."""
    global _guest
    channel = protocol.Channel(_CHANNEL)
    logs = Logs(channel)
    logs.add_handler(sys.modules["logging"])
    os.register_at_fork(after_in_child=channel.detach)
    channel.hold()
    _guest = channel, logs


def serve():
    """Waits for requests. Returns in each fork, which has said READY and has something to read."""
    import _random
    import random

    _native.serve(runtime.READY_START, not _handlers <= _KNOWN_HANDLERS)
    # What the random module does after a fork, without its Python code.
    _random.Random.seed(random._inst)
    gc.enable()


def run():
    """A fork's life, as bootstrap.py's."""
    channel, logs = _guest
    channel.release()
    sys.modules["logging"]._startTime = time()
    runtime.serve(channel, logs, _native, _give_way)


def _give_way(init):
    loader.give_way(init["taskRoot"], init["environment"], _of_exec_mode)


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
        worker.sendall(_script(code, *_PARTS[number % len(_PARTS)]))
        worker.shutdown(socket.SHUT_WR)
        channel.ready(runtime.READY_START + b"2}")
        runtime.live(channel, Logs(channel), None, _give_way)
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
        for name, _, _ in _PARTS:
            sys.modules.pop(name.partition(".")[0], None)
        sys.path_importer_cache.pop(code, None)
        sys.modules["linecache"].clearcache()
        os.chdir("/")
    # READY, INIT_OK, two results and an error: anything else is a broken bootstrap, and no guest may come of it.
    if _kinds(answers) != [0x81, 0x82, 0x85, 0x86, 0x85]:
        raise RuntimeError(f"the rehearsal went wrong: {bytes(answers)!r}")


def _script(code, handler, call, globals):
    init = {
        "handler": handler, "taskRoot": code, "functionName": "rehearsal", "functionVersion": "$LATEST", "invokedFunctionArn": "arn",
        "memoryMb": 128, "maxResultBytes": 6291456, "environment": dict(os.environ), "snapshot": False,
        "call": call, "globals": globals,
    }
    frames = [_frame(0x01, codec.dumps(init))]
    for number, fail in enumerate((False, True, False)):
        meta = codec.dumps({"requestId": f"rehearsal-{number}", "deadlineMs": 0, "clientContext": None, "traceId": "Root=1" if fail else None})
        event = {"number": number, "fail": fail, "text": "refused", "list": [1, 2.5, "\u00e9", None, True, {}]}
        payload = codec.dumps([event] if call == "main" else event)
        frames.append(_frame(0x02, bytes(16) + len(meta).to_bytes(4, "little") + meta + payload))
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
