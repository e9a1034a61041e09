"""Programs that fill the private /tmp, or leave something behind there that is hard to clear away."""

import errno
import os

MB = 1024 * 1024


def fill_tmp(event, context):
    written = 0
    error = None
    try:
        with open("/tmp/fill", "wb", buffering=0) as file:
            block = b"\x01" * MB
            for _ in range(event["mb"]):
                written += file.write(block)
    except OSError as refused:
        error = errno.errorcode[refused.errno]
    return {"worked": written >= event["mb"] * MB, "mb": written // MB, "error": error}


def inode_bomb(event, context):
    os.mkdir("/tmp/inodes")
    made = 0
    error = None
    try:
        for number in range(event["files"]):
            os.close(os.open(f"/tmp/inodes/{number}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as refused:
        error = errno.errorcode[refused.errno]
    return {"worked": made >= event["files"], "files": made, "error": error}


def fallocate(event, context):
    """A sparse terabyte costs nothing; the blocks it asks for inside do."""
    with open("/tmp/sparse", "wb") as file:
        file.truncate(event["sizeMb"] * MB)
        try:
            os.posix_fallocate(file.fileno(), 0, event["mb"] * MB)
            error = None
        except OSError as refused:
            error = errno.errorcode[refused.errno]
        blocks = os.fstat(file.fileno()).st_blocks * 512
    return {"worked": error is None and blocks >= event["mb"] * MB, "error": error}


def other_folders(event, context):
    """Fills whatever other place takes a byte."""
    places = []
    skipped = ("/tmp", "/proc") if event["elsewhere"] else ()
    tops = ["/tmp"] if not event["elsewhere"] else ["/", "/dev", "/dev/shm", "/dev/mqueue", "/var", "/var/tmp", "/var/task", "/var/runtime",
                                                     "/run", "/home", "/root", "/usr", "/usr/bin", "/usr/local", "/usr/lib", "/etc", "/opt", "/srv",
                                                     "/mnt", "/media", "/lib", "/sys", "/boot"]
    for folder in tops:
        if folder in skipped:
            continue
        if event["elsewhere"] and os.path.realpath(folder) == "/tmp":
            continue
        path = os.path.join(folder, "flint-planted")
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
            os.write(descriptor, b"planted")
            os.close(descriptor)
            places.append(folder)
        except OSError:
            pass
    return {"worked": bool(places), "places": places}


def plant_in_code(event, context):
    """The code's folder on the host is writable for everybody in this test: only the read-only mount is in the way."""
    # A name of its own: where it succeeds the file stays, and is another user's to the next.
    path = event["path"] + os.urandom(8).hex()
    try:
        with open(path, "w") as file:
            file.write("planted")
    except OSError as refused:
        return {"worked": False, "error": errno.errorcode[refused.errno]}
    return {"worked": True}


def deep_tree(event, context):
    os.chdir("/tmp")
    for _ in range(event["levels"]):
        os.mkdir("d")
        os.chdir("d")
    with open("bottom", "w") as file:
        file.write("x")
    return {"worked": os.path.exists("bottom")}


def hostile_names(event, context):
    """Names and links that trip whoever cleans up by name."""
    names = [b"\n", b"a\nb", b"\xff\xfe\x00"[:2], b"-rf", b"--", b" ", b"$(id)", b"`id`", b"..\\..", b"\x1b[2J", b"x" * 255, b"*", b"~", b"%n%s"]
    os.mkdir(b"/tmp/names")
    for name in names:
        os.close(os.open(b"/tmp/names/" + name, os.O_CREAT | os.O_WRONLY))
    for number, target in enumerate([b"/", b"/etc/passwd", b"../../../../..", b"/proc/1/root", b"/proc/self/fd/3", b"loop"]):
        os.symlink(target, b"/tmp/names/link%d" % number)
    os.symlink(b"loop", b"/tmp/names/loop")
    os.mkfifo(b"/tmp/names/fifo")
    os.mkdir(b"/tmp/names/locked")
    os.close(os.open(b"/tmp/names/locked/inside", os.O_CREAT | os.O_WRONLY))
    os.chmod(b"/tmp/names/locked", 0)
    return {"worked": len(os.listdir(b"/tmp/names")) == len(names) + 9}


def leave_a_note(event, context):
    """What one sandbox wrote; the next must not find it."""
    found = [path for path in ("/tmp/note", "/dev/shm/note", "/var/tmp/note") if os.path.exists(path)]
    for path in ("/tmp/note", "/dev/shm/note", "/var/tmp/note"):
        try:
            with open(path, "w") as file:
                file.write("here")
        except OSError:
            pass
    return {"worked": bool(found), "found": found}
