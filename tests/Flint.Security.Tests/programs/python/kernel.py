"""Programs that ask the kernel for what a guest must not have: system calls, rights, mounts, settings. x86-64 numbers."""

import ctypes
import errno
import mmap
import os
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

# Numbers that are the same on x86-64; each is called with arguments that the kernel refuses by itself (EFAULT, EINVAL, EBADF) when nothing
# stands before it, so that nothing happens where the wall is missing either.
REFUSED = {
    "ptrace": (101, 0, 0, 0, 0), "syslog": (103, 99, 0, 0), "chroot": (161, 0), "acct": (163, 1), "settimeofday": (164, 1, 1),
    "mount": (165, 0, 0, 0, 0, 0), "umount2": (166, 0, 0), "swapon": (167, 0, 0), "swapoff": (168, 0), "reboot": (169, 0, 0, 0, 0),
    "sethostname": (170, 0, 1 << 20), "setdomainname": (171, 0, 1 << 20), "iopl": (172, 99), "ioperm": (173, 1 << 30, 1, 1),
    "init_module": (175, 0, 0, 0), "delete_module": (176, 0, 0), "pivot_root": (155, 0, 0), "quotactl": (179, 0, 0, 0, 0),
    "clock_settime": (227, 99, 0), "mbind": (237, 0, 0, 99, 0, 0, 99), "set_mempolicy": (238, 99, 0, 0), "kexec_load": (246, 0, 1 << 20, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0), "request_key": (249, 0, 0, 0, 0), "keyctl": (250, 9999, 0, 0, 0, 0), "migrate_pages": (256, 0, 0, 0, 0),
    "unshare": (272, 0x10000000 | 0x20000), "move_pages": (279, 0, 1, 0, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0),
    "name_to_handle_at": (303, -1, 0, 0, 0, 0), "open_by_handle_at": (304, -1, 0, 0), "clock_adjtime": (305, 99, 0), "setns": (308, -1, 0),
    "process_vm_readv": (310, 0, 0, 0, 0, 0, 99), "process_vm_writev": (311, 0, 0, 0, 0, 0, 99), "kcmp": (312, 0, 0, 99, 0, 0),
    "finit_module": (313, -1, 0, 0), "kexec_file_load": (320, -1, -1, 0, 0, 0), "bpf": (321, 9999, 0, 0), "userfaultfd": (323, 1 << 20),
    "io_uring_setup": (425, 0, 0), "io_uring_enter": (426, -1, 0, 0, 0, 0), "io_uring_register": (427, -1, 0, 0, 0), "open_tree": (428, -1, 0, 0),
    "move_mount": (429, -1, 0, -1, 0, 0), "fsopen": (430, 0, 0), "fsconfig": (431, -1, 0, 0, 0, 0), "fsmount": (432, -1, 0, 0),
    "fspick": (433, -1, 0, 0), "mount_setattr": (442, -1, 0, 0, 0, 0), "quotactl_fd": (443, -1, 0, 0, 0), "memfd_secret": (447, 1 << 20),
    "personality": (135, 0x0040000), "modify_ldt": (154, 99, 0, 0), "vhangup": (153,), "lookup_dcookie": (212, 0, 0, 0),
}
# What the kernel itself says to a caller who has no rights, too: only a filter makes these of all.
_FILTERED = (errno.EPERM, errno.ENOSYS)


def _call(number, *arguments):
    ctypes.set_errno(0)
    result = _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(argument) for argument in arguments])
    return result, ctypes.get_errno()


def refused_calls(event, context):
    """Which of the named calls get past the filter, to the kernel's own check of the arguments?"""
    names = event["calls"] or sorted(REFUSED)
    passed = {}
    if event["calls"]:
        for name in names:
            number = {"getpid": 39, "getuid": 102, "uname": 63}[name]
            _, error = _call(number, 0)
            if error not in _FILTERED:
                passed[name] = error
    else:
        for name in names:
            result, error = _call(*REFUSED[name])
            if result >= 0 or error not in _FILTERED:
                passed[name] = errno.errorcode.get(error, error)
    return {"worked": bool(passed), "passed": passed}


def sweep(event, context):
    """Every system call number, each in a child of its own with arguments of nothing. Which let the child live, which ended it?"""
    outcomes = {"returned": 0, "blocked": [], "killed": {}}
    skipped = {15, 34, 56, 57, 58, 60, 61, 231}  # rt_sigreturn, pause, the forks and the exits, wait4
    for number in range(event["first"], event["last"]):
        if number in skipped:
            continue
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            signal.signal(signal.SIGALRM, lambda received, frame: os._exit(2))
            _libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
            os._exit(0)
        deadline = 400
        while deadline and os.waitpid(child, os.WNOHANG) == (0, 0):
            deadline -= 1
            _libc.usleep(250)
        if not deadline:
            os.kill(child, 9)
            _, status = os.waitpid(child, 0)
            outcomes["blocked"].append(number)
        else:
            outcomes["returned"] += 1
    return {"worked": outcomes["returned"] > 0, **outcomes}


def new_user_namespace(event, context):
    """The usual first step to the kernel's less travelled code: a user namespace of one's own, full of rights."""
    if event["own"]:
        return {"worked": _call(39)[0] == os.getpid()}
    result, error = _call(272, 0x10000000)
    return {"worked": result == 0, "errno": errno.errorcode.get(error, error)}


def mount_something(event, context):
    target = "/tmp/mount"
    os.makedirs(target, exist_ok=True)
    if event["kind"] == "none":
        return {"worked": os.path.isdir(target)}
    result = _libc.mount(event["kind"].encode(), target.encode(), event["kind"].encode(), 0, None)
    return {"worked": result == 0, "errno": errno.errorcode.get(ctypes.get_errno(), 0)}


def remount_root(event, context):
    """MS_REMOUNT | MS_BIND without MS_RDONLY on the code's mount."""
    if event["own"]:
        return {"worked": os.statvfs("/var/task").f_flag & os.ST_RDONLY != 0}
    result = _libc.mount(None, b"/var/task", None, 0x20 | 0x1000, None)
    return {"worked": result == 0, "errno": errno.errorcode.get(ctypes.get_errno(), 0)}


def rights(event, context):
    """Does it have, or can it get, any capability, root's uid, or a way to keep one across exec?"""
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    held = {name: status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)}
    if event["look"] == "capabilities":
        return {"worked": bool(held), "held": held}
    if event["look"] == "new privileges":
        return {"worked": status["NoNewPrivs"].strip() != "1"}
    if event["look"] == "root":
        try:
            os.setuid(0)
        except OSError:
            return {"worked": os.getuid() == 0}
        return {"worked": os.getuid() == 0}
    if event["look"] == "groups":
        return {"worked": 0 in os.getgroups() or os.getgid() == 0, "groups": os.getgroups()}
    return {"worked": int(status["Pid"].strip()) == os.getpid()}


def chroot_escape(event, context):
    os.makedirs("/tmp/jail", exist_ok=True)
    if event["own"]:
        os.chdir("/tmp/jail")
        return {"worked": os.getcwd() == "/tmp/jail"}
    try:
        root = os.open("/", os.O_RDONLY)
        os.chroot("/tmp/jail")
        os.fchdir(root)
        return {"worked": True}
    except OSError as refused:
        return {"worked": False, "errno": errno.errorcode[refused.errno]}


def write_settings(event, context):
    written = []
    for path in event["paths"]:
        try:
            with open(path, "wb", buffering=0) as file:
                file.write(event["value"].encode())
            written.append(path)
        except OSError:
            pass
    return {"worked": bool(written), "written": written}


def old_entries(event, context):
    """The 32-bit entry (int 0x80) and the x32 numbers go round a filter that looks at 64-bit numbers only."""
    ways = {}
    if event["way"] == "x32":
        result, error = _call(0x40000000 | 39)
        return {"worked": result == os.getpid(), "errno": errno.errorcode.get(error, error)}
    # mov eax, NR; int 0x80; ret
    number = {"int80": 20, "none": None}[event["way"]]
    code = b"\xb8\x2a\x00\x00\x00\xc3" if number is None else b"\xb8" + number.to_bytes(4, "little") + b"\xcd\x80\xc3"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        function = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        result = function() & 0xFFFFFFFF
        os.write(write, b"1" if result in (42, os.getpid()) else b"0")
        os._exit(0)
    os.close(write)
    answer = os.read(read, 1)
    _, status = os.waitpid(child, 0)
    ways["status"] = status
    return {"worked": answer == b"1", **ways}


def core_dump(event, context):
    """A crash must not make the host write a core file, nor run its core handler."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_CORE)
    if event["raise"]:
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return {"worked": True}
        except (OSError, ValueError):
            return {"worked": False, "limits": limits}
    # 0 is none at all; 1 also keeps the kernel from running a handler of the host's (core(5)).
    return {"worked": limits in ((0, 0), (1, 1)), "limits": limits}
