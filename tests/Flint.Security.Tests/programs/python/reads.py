"""Programs that look for what is not theirs."""

import ctypes
import glob
import os
import socket

_libc = ctypes.CDLL(None, use_errno=True)


def read_files(event, context):
    """Reads the first bytes of each path (patterns allowed); "worked" when any gave some that are not just zeros."""
    read = {}
    for pattern in event["paths"]:
        for path in glob.glob(pattern) or [pattern]:
            try:
                with open(path, "rb", buffering=0) as file:
                    data = file.read(4096)
                if data.strip(b"\x00"):
                    read[path] = len(data)
            except OSError:
                pass
    return {"worked": bool(read), "read": read}


def read_memory_of(event, context):
    """Reads another process's memory by /proc/PID/mem and by process_vm_readv."""
    pid = os.getpid() if event["own"] else 1
    ways = []
    try:
        with open(f"/proc/{pid}/maps") as maps:
            start = int(maps.readline().split("-")[0], 16)
        ways.append("maps")
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(start)
            if memory.read(16):
                ways.append("mem")
    except OSError:
        pass
    return {"worked": bool(ways), "ways": ways}


def follow_links(event, context):
    """Links of /proc/PID lead out of the root when they can be followed."""
    pid = "self" if event["own"] else "1"
    followed = []
    for name in ("root", "cwd", "exe", "fd", "ns/mnt"):
        path = f"/proc/{pid}/{name}"
        try:
            if name == "fd":
                os.listdir(path)
            elif name in ("root", "cwd"):
                os.listdir(path + "/")
            else:
                os.readlink(path)
            followed.append(name)
        except OSError:
            pass
    return {"worked": bool(followed), "followed": followed}


def kernel_addresses(event, context):
    """kallsyms may be there, but shows no address to who has no rights; a pattern in the second column is control enough."""
    try:
        with open("/proc/kallsyms") as symbols:
            lines = [symbols.readline() for _ in range(50)]
    except OSError:
        lines = []
    addresses = [line.split()[0] for line in lines if line.strip()]
    return {"worked": any(int(address, 16) for address in addresses), "lines": len(addresses)}


def kernel_log(event, context):
    """syslog(2): size of the log buffer, then its text."""
    if event["own"]:
        return {"worked": _libc.getpid() == os.getpid()}
    buffer = ctypes.create_string_buffer(4096)
    read = _libc.klogctl(3, buffer, 4096)
    return {"worked": read > 0, "errno": ctypes.get_errno()}


def processes(event, context):
    """Whom does /proc show? Only PID 1 of its cell and its own."""
    child = os.fork()
    if child == 0:
        import time

        time.sleep(30)
        os._exit(0)
    shown = {int(name) for name in os.listdir("/proc") if name.isdigit()}
    os.kill(child, 9)
    os.waitpid(child, 0)
    foreign = shown - {1, os.getpid(), child}
    return {"worked": bool(foreign) if event["others"] else bool({child, os.getpid()} & shown), "foreign": sorted(foreign)}


def host_name(event, context):
    name = socket.gethostname()
    return {"worked": name == event["host"] if event["host"] else bool(name), "name": name}


def text_in(event, context):
    """Looks for a text that only the host knows in everything the guest can read about itself."""
    places = []
    for pattern in event["paths"]:
        for path in glob.glob(pattern) or [pattern]:
            try:
                with open(path, "rb", buffering=0) as file:
                    data = b""
                    while len(data) < 1 << 20 and (more := file.read(65536)):
                        data += more
            except OSError:
                continue
            if event["text"].encode() in data:
                places.append(path)
    if any(event["text"] in f"{name}={value}" for name, value in os.environ.items()):
        places.append("os.environ")
    return {"worked": bool(places), "places": places}


def open_descriptors(event, context):
    """What was left open for it. 0 to 3 are its own; whatever else it did not open itself would be the platform's."""
    kinds = {}
    for number in range(0 if event["own"] else 4, 4096):
        try:
            os.fstat(number)
            kinds[number] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass
    return {"worked": bool(kinds), "kinds": kinds}


def write_descriptors(event, context):
    """Writes to every number it can guess."""
    read, write = os.pipe()
    numbers = [write] if event["own"] else [number for number in range(4, 4096) if number not in (read, write)]
    reached = []
    for number in numbers:
        try:
            os.write(number, b"forged")
            reached.append(number)
        except OSError:
            pass
    return {"worked": bool(reached), "reached": reached}


def climb(event, context):
    """Paths that try to get above the root or into another function's code."""
    seen = []
    for path in event["paths"]:
        try:
            seen.extend((path, name) for name in os.listdir(path))
        except OSError:
            pass
    wanted = [(path, name) for path, name in seen if any(word in name for word in event["words"])]
    return {"worked": bool(wanted), "wanted": wanted[:20]}
