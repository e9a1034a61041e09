"""Leaves a mark in every place that could outlive an invocation, and says which marks of an earlier one it found there."""

import atexit
import ctypes
import json
import locale
import os
import resource
import signal
import socket
import sys
import threading
import time

_libc = ctypes.CDLL(None, use_errno=True)
_global = []
_SHM_KEY = 0x464C4E55
_PORT = 45999


def _marks():
    """Name of a place: (is the mark there?, leave it)."""
    held = []

    def listen(family, address):
        def leave():
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.bind(address)
            listener.listen(1)
            held.append(listener)
            _global.append(listener)
        return leave

    def answers(family, address):
        def look():
            with socket.socket(family, socket.SOCK_STREAM) as client:
                client.settimeout(1)
                return client.connect_ex(address) == 0
        return look

    def write(path):
        def leave():
            with open(path, "w") as file:
                file.write("mark")
        return leave

    def thread():
        threading.Thread(target=lambda: time.sleep(3600), name="mark", daemon=True).start()

    def orphan():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                _libc.prctl(15, b"mark", 0, 0, 0)
                time.sleep(3600)
            os._exit(0)
        os.wait()
        time.sleep(0.05)

    def orphan_there():
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                try:
                    with open(f"/proc/{name}/comm") as file:
                        if file.read().strip() == "mark":
                            return True
                except OSError:
                    pass
        return False

    def set_locale():
        locale.setlocale(locale.LC_CTYPE, "C")

    def set_zone():
        os.environ["TZ"] = "XYZ-11"
        time.tzset()

    def shared_segment():
        # Refused to those that are to be forked.
        _libc.shmget(_SHM_KEY, 4096, 0o1000 | 0o666)

    def lower_limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))

    return {
        "file in /tmp": (lambda: os.path.exists("/tmp/mark"), write("/tmp/mark")),
        "file in /dev/shm": (lambda: os.path.exists("/dev/shm/mark2"), write("/dev/shm/mark2")),
        "global": (lambda: "mark" in _global, lambda: _global.append("mark")),
        "patched module": (lambda: hasattr(json, "mark"), lambda: setattr(json, "mark", 1)),
        "patched builtin": (lambda: hasattr(__builtins__, "mark") or "mark" in vars(sys.modules["builtins"]), lambda: setattr(sys.modules["builtins"], "mark", 1)),
        "environment": (lambda: "MARK" in os.environ, lambda: os.environ.__setitem__("MARK", "1")),
        "C environment": (lambda: bool(_libc.secure_getenv(b"MARK2")), lambda: _libc.setenv(b"MARK2", b"1", 1)),
        "working directory": (lambda: os.getcwd() == "/usr", lambda: os.chdir("/usr")),
        "sys.path": (lambda: "/tmp/mark" in sys.path, lambda: sys.path.insert(0, "/tmp/mark")),
        "import hook": (lambda: "mark" in sys.path_importer_cache, lambda: sys.path_importer_cache.__setitem__("mark", None)),
        "thread": (lambda: any(thread.name == "mark" for thread in threading.enumerate()), thread),
        "orphan": (orphan_there, orphan),
        "listener on the loopback": (answers(socket.AF_INET, ("127.0.0.1", _PORT)), listen(socket.AF_INET, ("127.0.0.1", _PORT))),
        "abstract socket": (answers(socket.AF_UNIX, "\0mark"), listen(socket.AF_UNIX, "\0mark")),
        "time zone": (lambda: time.tzname[0] == "XYZ", set_zone),
        "locale": (lambda: locale.setlocale(locale.LC_CTYPE) == "C", set_locale),
        "umask": (lambda: _umask() == 0o57, lambda: os.umask(0o57)),
        "signal handler": (lambda: signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN, lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN)),
        "resource limit": (lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1] == 200, lower_limit),
        "niceness": (lambda: os.nice(0) == 19, lambda: os.nice(19)),
        "exit hook": (lambda: os.path.exists("/tmp/exit-mark"), lambda: atexit.register(write("/tmp/exit-mark"))),
        "System V segment": (lambda: _libc.shmget(_SHM_KEY, 0, 0) >= 0, shared_segment),
        "name of the process": (lambda: _comm() == "marked", lambda: _libc.prctl(15, b"marked", 0, 0, 0)),
    }


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


def _comm():
    with open("/proc/self/comm") as file:
        return file.read().strip()


def visit(event, context):
    found, refused = [], {}
    marks = _marks()
    _libc.secure_getenv.restype = ctypes.c_char_p
    for place, (there, _) in marks.items():
        try:
            if there():
                found.append(place)
        except OSError as error:
            refused[place] = str(error)
    if event.get("leave", True):
        for place, (_, leave) in marks.items():
            try:
                leave()
            except Exception as error:
                refused[place] = str(error)
    return {"worked": bool(found), "found": sorted(found), "refused": refused}
