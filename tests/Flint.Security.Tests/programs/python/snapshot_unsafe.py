"""Holds, after its init, something that a fork would lose or share."""

import ctypes
import mmap
import os
import select
import socket
import threading
import time

_what = os.environ["KEEP"]
_kept = []
_libc = ctypes.CDLL(None, use_errno=True)

if _what == "thread":
    threading.Thread(target=lambda: time.sleep(3600), daemon=True).start()
elif _what == "hostile names":
    def _named():
        _libc.prctl(15, b"\x1b[2J\n\xff\"}", 0, 0, 0)
        time.sleep(3600)

    threading.Thread(target=_named, daemon=True).start()
    time.sleep(0.05)
elif _what == "child":
    if os.fork() == 0:
        time.sleep(3600)
        os._exit(0)
elif _what == "socket":
    _kept.append(socket.socketpair())
elif _what == "listener":
    _kept.append(socket.create_server(("127.0.0.1", 0)))
elif _what == "pipe":
    _kept.append(os.pipe())
elif _what == "shared mapping":
    _kept.append(mmap.mmap(-1, 65536, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))
elif _what == "writable file":
    _kept.append(open("/tmp/kept", "w"))
elif _what == "cwd in /tmp":
    os.mkdir("/tmp/here")
    os.chdir("/tmp/here")
elif _what == "timerfd":
    _kept.append(_libc.timerfd_create(1, 0))
elif _what == "garbage on its control socket":
    for _ in range(200):
        try:
            _sent = os.urandom(os.urandom(1)[0] + 1)
            # Half of them begin like packets that mean something there.
            os.write(4, _sent if _ % 2 else (1 + _ % 16).to_bytes(4, "little") + _sent)
        except OSError:
            break
elif _what == "a descriptor sent over its control socket":
    with socket.socket(fileno=os.dup(4)) as _control:
        for _ in range(50):
            try:
                socket.send_fds(_control, [(4).to_bytes(4, "little") * 4], [0, 1, 2] * 20, socket.MSG_DONTWAIT)
            except OSError:
                break
elif _what == "a control socket that is closed":
    os.close(4)
elif _what == "a control socket that is another":
    _pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os.dup2(_pair[0].fileno(), 4)
    _kept.append(_pair)
elif _what == "epoll":
    _kept.append(select.epoll())


def handler(event, context):
    return {"worked": True}
