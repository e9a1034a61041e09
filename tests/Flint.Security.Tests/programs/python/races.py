"""Programs that change what a path means while somebody may be looking it up."""

import ctypes
import errno
import os
import shutil
import threading
import time

_libc = ctypes.CDLL(None, use_errno=True)


def swap_links(event, context):
    """A folder that is a link to / every other moment; threads and a child go on with it when the answer is given."""
    os.makedirs("/tmp/swap/real/deep", exist_ok=True)
    with open("/tmp/swap/real/deep/file", "w") as file:
        file.write("mine")
    os.symlink("/", "/tmp/swap/link")
    os.mkdir("/tmp/swap/place")
    stop = threading.Event()
    swaps = [0]

    def exchange():
        while not stop.is_set():
            # RENAME_EXCHANGE: the name never is missing.
            _libc.renameat2(-100, b"/tmp/swap/link", -100, b"/tmp/swap/place", 2)
            swaps[0] += 1

    threads = [threading.Thread(target=exchange, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    if event["goOn"]:
        if os.fork() == 0:
            os.setsid()
            end = time.monotonic() + 5
            while time.monotonic() < end:
                _libc.renameat2(-100, b"/tmp/swap/link", -100, b"/tmp/swap/place", 2)
                try:
                    os.symlink("/etc", "/tmp/" + str(time.monotonic_ns()))
                except OSError:
                    pass
            os._exit(0)
    time.sleep(event["seconds"])
    if not event["goOn"]:
        stop.set()
    return {"worked": swaps[0] > 10, "swaps": swaps[0]}


def rename_cwd(event, context):
    os.makedirs("/tmp/here/below", exist_ok=True)
    os.chdir("/tmp/here/below")
    for number in range(event["rounds"]):
        os.rename("/tmp/here", "/tmp/there")
        os.rename("/tmp/there", "/tmp/here")
    shutil.rmtree("/tmp/here")
    try:
        os.getcwd()
    except FileNotFoundError:
        return {"worked": True}
    return {"worked": False}


def mount_over(event, context):
    """Binds a folder of its own over each place that the platform uses."""
    places = ["/var/task", "/var/runtime", "/proc", "/dev", "/dev/null", "/tmp", "/etc", "/usr"]
    os.makedirs("/tmp/over", exist_ok=True)
    if event["own"]:
        return {"worked": all(os.path.exists(place) for place in places)}
    done = [place for place in places if _libc.mount(b"/tmp/over", place.encode(), None, 0x1000, None) == 0]
    refused = errno.errorcode.get(ctypes.get_errno(), 0)
    return {"worked": bool(done), "done": done, "errno": refused}


def replace_devices(event, context):
    if event["own"]:
        places = ["/tmp/null"]
        with open("/tmp/null", "w"):
            pass
    else:
        places = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/shm", "/dev/fd", "/dev/ptmx", "/proc/self/exe", os.path.realpath("/proc/self/exe"), "/var/task",
                  "/var/runtime", "/etc/passwd", "/etc/ld.so.cache", "/lib64/ld-linux-x86-64.so.2", "/bin/sh", "/tmp"]
    replaced = []
    for place in places:
        for way in ("unlink", "rename", "link", "chmod", "open"):
            try:
                if way == "unlink":
                    os.unlink(place)
                elif way == "rename":
                    os.rename(place, place + ".old")
                elif way == "link":
                    os.symlink("/tmp/null", "/tmp/link")
                    os.replace("/tmp/link", place)
                elif way == "chmod":
                    os.chmod(place, 0o777)
                else:
                    # Devices are there to be written to.
                    if not place.startswith("/dev/") and not os.path.isdir(place):
                        os.close(os.open(place, os.O_WRONLY))
                    else:
                        continue
                replaced.append((place, way))
            except OSError:
                pass
    return {"worked": bool(replaced), "replaced": replaced}
