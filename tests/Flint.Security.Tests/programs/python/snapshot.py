"""A function that is kept initialised and forked for each invocation: what its forks try on the process they were forked from, and what they leave for the next one."""

import ctypes
import errno
import fcntl
import hashlib
import os
import resource
import signal
import socket
import struct
import time

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mmap.restype = ctypes.c_void_p
_TEMPLATE = 2
_AT_INIT = os.urandom(8).hex()
_PRISTINE = bytearray(b"PRISTINE" * 512)
_ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(_PRISTINE))
_globals = []
os.makedirs("/tmp/init/deep", exist_ok=True)
for _name in ("one", "two", "deep/three"):
    with open("/tmp/init/" + _name, "w") as _file:
        _file.write("as init left it: " + _name)
os.symlink("one", "/tmp/init/link")


def _call(number, *arguments):
    ctypes.set_errno(0)
    return _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments])


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


# ---- reaching into the template: each says whether it got anywhere ----

def _ptrace(pid):
    # PTRACE_ATTACH, PTRACE_SEIZE
    return any(_call(101, request, pid, 0, 0) >= 0 for request in (16, 0x4206))


def _proc_mem(pid):
    reached = []
    for name, flags in (("mem", os.O_RDONLY), ("mem", os.O_RDWR), ("maps", os.O_RDONLY), ("environ", os.O_RDONLY), ("auxv", os.O_RDONLY), ("syscall", os.O_RDONLY),
                        ("clear_refs", os.O_WRONLY), ("coredump_filter", os.O_RDWR), ("oom_score_adj", os.O_RDWR), ("pagemap", os.O_RDONLY), ("stack", os.O_RDONLY)):
        try:
            descriptor = os.open(f"/proc/{pid}/{name}", flags)
            if name == "mem":
                os.pread(descriptor, 8, _ADDRESS)
            os.close(descriptor)
            reached.append(name)
        except OSError:
            pass
    for name in ("fd", "root", "cwd", "map_files", "task"):
        try:
            os.listdir(f"/proc/{pid}/{name}/")
            reached.append(name)
        except OSError:
            pass
    return reached


def _process_vm(pid):
    local = ctypes.create_string_buffer(b"OVERWRITTEN", 16)
    mine, its = _Vector(ctypes.addressof(local), 8), _Vector(_ADDRESS, 8)
    return [number for number in (311, 310) if _call(number, pid, ctypes.byref(mine), 1, ctypes.byref(its), 1, 0) >= 0]


def _pidfd_getfd(pid):
    descriptor = os.pidfd_open(pid)
    got = [number for number in range(0, 20) if _call(438, descriptor, number, 0) >= 0]
    os.close(descriptor)
    return got


def _limits(pid):
    changed = []
    limit = struct.pack("QQ", 8, 8)
    for kind in range(16):
        if _call(302, pid, kind, limit, 0) == 0:
            changed.append(kind)
    return changed


def _schedule(pid):
    ways = {
        "setaffinity": _call(203, pid, 8, struct.pack("Q", 1)),
        "setscheduler": _call(144, pid, 5, struct.pack("i", 0)),
        "setparam": _call(142, pid, struct.pack("i", 0)),
        "setattr": _call(314, pid, struct.pack("IIQiIQQQ", 48, 5, 0, 0, 0, 0, 0, 0), 0),
        "setpriority": _call(141, 0, pid, 19),
        "ioprio": _call(251, 1, pid, 3 << 13),
    }
    if pid != os.getpid():
        ways["setpriority of its group"] = _call(141, 1, pid, 19)
        ways["setpriority of its user"] = _call(141, 2, os.getuid(), 19)
    return [name for name, result in ways.items() if result >= 0]


def _memory_of(pid):
    ways = {"process_madvise": _call(440, os.pidfd_open(pid), ctypes.byref(_Vector(_ADDRESS, 4096)), 1, 4, 0), "process_mrelease": _call(448, os.pidfd_open(pid), 0),
            "migrate_pages": _call(256, pid, 1, struct.pack("Q", 1), struct.pack("Q", 1)), "kcmp": _call(312, pid, os.getpid(), 1, 0, 0),
            "userfaultfd": _call(323, 0), "rseq of others": -1}
    return [name for name, result in ways.items() if result >= 0]


def _dumpable(pid):
    return _libc.prctl(4, 1, 0, 0, 0) == 0


def _system_v(pid):
    ways = {"shmget": _call(29, 0x77, 4096, 0o1666), "semget": _call(64, 0x77, 1, 0o1666), "msgget": _call(68, 0x77, 0o1666)}
    return [name for name, result in ways.items() if result >= 0]


_REACHES = {"ptrace": _ptrace, "proc": _proc_mem, "process_vm": _process_vm, "pidfd_getfd": _pidfd_getfd, "prlimit": _limits, "schedule": _schedule, "memory": _memory_of,
            "dumpable": _dumpable, "system v": _system_v}


def reach(event, context):
    if event["own"]:
        return {"worked": bytes(_PRISTINE[:8]) == b"PRISTINE" and os.getpid() != _TEMPLATE}
    got = _REACHES[event["way"]](_TEMPLATE)
    return {"worked": bool(got), "got": got}


# ---- leaving something for the next invocation ----

def _spawn(work):
    """A daemon that belongs to nobody and ignores what it can."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_IGN)
            work()
            time.sleep(3600)
        os._exit(0)
    os.wait()
    time.sleep(0.05)


def _respawn():
    while True:
        if os.fork():
            os._exit(0)


def _send(numbers):
    for number in numbers:
        for _ in range(3):
            try:
                os.kill(_TEMPLATE, number)
            except OSError:
                pass


def _spoil_tmp():
    os.chmod("/tmp/init/deep", 0)
    os.unlink("/tmp/init/one")
    os.symlink("/etc/passwd", "/tmp/init/one")
    os.unlink("/tmp/init/link")
    os.mkdir("/tmp/init/link")
    os.rename("/tmp/init/two", "/tmp/init/deux")
    with open("/tmp/init/deux", "a") as file:
        file.write(" and spoilt")
    for number in range(200):
        os.makedirs(f"/tmp/junk/{number}/" + "d/" * 20)
    os.mkfifo("/tmp/junk/fifo")
    os.chmod("/tmp/junk", 0)


def _fill_tmp():
    try:
        with open("/tmp/fill", "wb") as file:
            while True:
                file.write(b"\x01" * 65536)
    except OSError:
        pass


def _listen():
    global _kept
    _kept = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _kept.bind("\0left")
    _kept.listen(1)


def _lock():
    global _held
    _held = os.open("/var/task/snapshot.py", os.O_RDONLY)
    fcntl.flock(_held, fcntl.LOCK_EX)


def _descriptors():
    """Into whatever may be shared with the template: offsets, flags, options, and bytes where bytes can go."""
    for number in range(0, 64):
        for act in (lambda: os.lseek(number, 7, os.SEEK_SET), lambda: fcntl.fcntl(number, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND),
                    lambda: fcntl.fcntl(number, fcntl.F_SETOWN, os.getpid()), lambda: os.ftruncate(number, 0), lambda: fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)):
            try:
                act()
            except OSError:
                pass
    for number in range(4, 64):
        try:
            os.write(number, os.urandom(64))
        except OSError:
            pass


def _channel():
    channel = socket.socket(fileno=os.dup(3))
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF, socket.SO_PASSCRED, socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        try:
            channel.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 1))
        except OSError:
            pass
    try:
        channel.send(b"\x01\x84\x00\x00\x06\x00\x00\x00\x01stale", socket.MSG_DONTWAIT)
        channel.send(b"\x01\x82\x00\x00\x00", socket.MSG_DONTWAIT)
    except OSError:
        pass


def _own_state():
    _globals.append(1)
    _PRISTINE[:] = b"SPOILT!!" * 512
    os.chdir("/usr")
    os.umask(0)
    os.environ["LEFT"] = "1"
    os.nice(5)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    _libc.prctl(15, b"left", 0, 0, 0)
    _libc.prctl(29, 12345, 0, 0, 0)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


_LEAVES = {
    "nothing": lambda: None,
    "its own state": _own_state,
    "a daemon": lambda: _spawn(lambda: None),
    "a daemon that forks on and on": lambda: _spawn(_respawn),
    "a daemon that fills /tmp": lambda: _spawn(_fill_tmp),
    "a listening daemon": lambda: _spawn(_listen),
    "a daemon with a lock": lambda: _spawn(_lock),
    "a spoilt /tmp": _spoil_tmp,
    "a full /tmp": _fill_tmp,
    "signals to the template": lambda: _send([number for number in range(1, 65) if number not in (9, 19, 32, 33)]),
    "a stopped template": lambda: _send([signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN]),
    "a killed template": lambda: _send([signal.SIGKILL]),
    "everything killed": lambda: os.kill(-1, signal.SIGKILL),
    "everything stopped": lambda: os.kill(-1, signal.SIGSTOP),
    "descriptors": _descriptors,
    "its channel": _channel,
    "its own end": lambda: os._exit(7),
    "too much memory": lambda: bytearray(1 << 30),
    "every way into the template": lambda: [way(_TEMPLATE) for way in _REACHES.values()],
}


def either(event, context):
    if event["what"] == "look":
        return look(event, context)
    _LEAVES[event["what"]]()
    return {"worked": True}


# ---- looking, as the next invocation ----

def _files():
    found = {}
    for folder, folders, names in os.walk("/tmp"):
        for name in folders + names:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            text = os.readlink(path) if os.path.islink(path) else ""
            if os.path.isfile(path) and not text:
                with open(path, "rb") as file:
                    text = hashlib.sha256(file.read()).hexdigest()[:16]
            found[path] = [oct(status.st_mode), text]
    return found


def _others():
    found = []
    for pid in range(1, 5000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            pass
        if pid not in (1, _TEMPLATE, os.getpid()):
            found.append(pid)
    return found


def _connects(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(address) == 0


def _locked():
    descriptor = os.open("/var/task/snapshot.py", os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _descriptor_table():
    table = {}
    for number in range(0, 64):
        try:
            target = os.readlink(f"/proc/self/fd/{number}").split(":")[0]
            table[number] = [target, fcntl.fcntl(number, fcntl.F_GETFL), os.lseek(number, 0, os.SEEK_CUR) if target.startswith("/var") else None]
        except OSError:
            pass
    return table


def look(event, context):
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open("/proc/self/mountinfo") as file:
        mounts = sorted(line.split()[4] for line in file)
    return {
        "worked": True,
        "atInit": _AT_INIT,
        "state": {
            "memory": bytes(_PRISTINE) == b"PRISTINE" * 512 and not _globals,
            "files": _files(),
            "free": os.statvfs("/tmp").f_bfree * 8 // max(1, os.statvfs("/tmp").f_blocks),
            "other processes": _others(),
            "abstract socket": _connects("\0left"),
            "lock": _locked(),
            "niceness": os.nice(0),
            "affinity": len(os.sched_getaffinity(0)),
            "policy": os.sched_getscheduler(0),
            "limits": [resource.getrlimit(kind) for kind in range(16)],
            "umask": _umask(),
            "cwd": os.getcwd(),
            "environment": "LEFT" in os.environ,
            "timer": signal.getitimer(signal.ITIMER_REAL)[1] == 0 and signal.getitimer(signal.ITIMER_REAL)[0] == 0,
            "signals": [status[name] for name in ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")],
            "name": status["Name"],
            "threads": status["Threads"],
            "filters": status.get("Seccomp_filters"),
            "rights": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")] + [os.getuid() > 0, os.getuid() == os.getgid(), os.getgroups() == []],
            "descriptors": _descriptor_table(),
            "mounts": mounts,
            "slack": _libc.prctl(30, 0, 0, 0, 0),
            "dumpable": _libc.prctl(3, 0, 0, 0, 0),
            "session": os.getsid(0) == os.getpid(),
            "system v": [_lines(f"/proc/sysvipc/{kind}") for kind in ("shm", "sem", "msg")],
            "personality": _lines("/proc/self/personality"),
        },
    }


def _umask():
    value = os.umask(0)
    os.umask(value)
    return value


def _lines(path):
    try:
        with open(path) as file:
            return len(file.readlines())
    except OSError as error:
        return errno.errorcode[error.errno]
