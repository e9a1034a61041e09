"""Reads, and tries to write, everything that can be reached by walking."""

import os
import stat

_MASK = bytes((value + 0x35) & 0xFF for value in range(256))
_TOPS = ["/proc", "/sys", "/dev", "/etc", "/run", "/var", "/tmp", "/root", "/home", "/srv", "/mnt", "/media", "/opt", "/boot", "/"]
_OWN = str(os.getpid())


def _entries(tops, limit):
    """Each path once; not below threads and processes of its own twice, nor down into /usr, which is the host's packages."""
    count = 0
    for top in tops:
        for folder, folders, names in os.walk(top, onerror=None):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/usr", "/proc/self", "/proc/thread-self") and not
                          (top == "/" and "/" + name in _TOPS) and not os.path.islink(os.path.join(folder, name))]
            if folder.endswith("/task") and folder != "/var/task":
                folders.clear()
            for name in names:
                count += 1
                if count > limit:
                    return
                yield os.path.join(folder, name)


def _normal(path):
    """Own pid and descriptors, whose numbers differ from run to run, by name."""
    parts = path.split("/")
    if parts[1] == "proc" and len(parts) > 2 and parts[2].isdigit():
        parts[2] = "self" if parts[2] == str(os.getpid()) else parts[2] if parts[2] == "1" else "other"
        if len(parts) > 4 and parts[3] in ("fd", "fdinfo", "map_files"):
            parts[4] = "N"
    return "/".join(parts)


def read_all(event, context):
    """Which of the masked texts stands in anything that can be read? "own" plants one first."""
    needles = {name: bytes.fromhex(text) for name, text in event["masked"].items()}
    if event["own"]:
        with open("/tmp/planted", "wb") as file:
            file.write(next(iter(needles.values())).translate(bytes((value - 0x35) & 0xFF for value in range(256))))
    found, readable, seen = [], 0, 0
    for path in _entries(_TOPS, 40000):
        seen += 1
        if path.endswith("/mem") or stat.S_ISFIFO(os.lstat(path).st_mode if os.path.lexists(path) else 0):
            continue
        texts = []
        try:
            texts.append(os.readlink(path).encode("utf-8", "surrogateescape"))
        except OSError:
            pass
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
            try:
                data = b""
                while len(data) < 1 << 18 and (more := os.read(descriptor, 65536)):
                    data += more
                    if path in ("/dev/zero", "/dev/full", "/dev/urandom", "/dev/random"):
                        break
                texts.append(data)
                readable += 1
            finally:
                os.close(descriptor)
        except OSError:
            pass
        for data in texts:
            masked = data.translate(_MASK)
            found.extend((name, _normal(path)) for name, needle in needles.items() if needle in masked)
    return {"worked": bool(found), "found": found[:40], "readable": readable, "seen": seen}


def open_all(event, context):
    """What opens for writing? Nothing is written, but where it would be harmless."""
    opened, folders = set(), set()
    for path in _entries(_TOPS, 40000):
        if os.path.islink(path):
            continue
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        found = os.fstat(descriptor)
        os.close(descriptor)
        # What is masked is the null device, laid over it.
        if not (path.startswith("/proc/") and stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)):
            opened.add(_normal(path))
    for top in _TOPS:
        for folder, names, _ in os.walk(top):
            names[:] = [name for name in names if not os.path.islink(os.path.join(folder, name)) and os.path.join(folder, name) not in ("/usr",)]
            if len(folders) > 3000:
                break
            if folder.endswith("/task") and folder != "/var/task":
                names.clear()
            path = os.path.join(folder, "flint-walk")
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                os.unlink(path)
                folders.add(_normal(folder))
            except OSError:
                pass
    return {"worked": bool(opened), "files": sorted(opened), "folders": sorted(folders)}
