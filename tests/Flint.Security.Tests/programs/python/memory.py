"""Programs that take memory. Each answers {"worked": true} when it holds all that it asked for."""

import mmap
import os
import socket
import sys

MB = 1024 * 1024


def alloc_bomb(event, context):
    held = []
    for _ in range(event["mb"]):
        held.append(b"\x01" * MB)
    return {"worked": len(held) == event["mb"]}


def mmap_touch(event, context):
    area = mmap.mmap(-1, event["mb"] * MB)
    for offset in range(0, len(area), 4096):
        area[offset] = 1
    return {"worked": True}


def fork_touch(event, context):
    """Many small processes together hold more than one may."""
    children = []
    for _ in range(event["children"]):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            held = bytearray(b"\x01") * (event["mb"] * MB)
            os.write(write, b"1" if len(held) else b"0")
            os.read(0, 1)
            import time

            time.sleep(10)
            os._exit(0)
        os.close(write)
        children.append((child, read))
    holding = sum(os.read(read, 1) == b"1" for _, read in children)
    for child, _ in children:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return {"worked": holding == event["children"]}


def memfd(event, context):
    """Memory that belongs to no process's heap, and is no /tmp either."""
    descriptor = os.memfd_create("bomb")
    block = b"\x01" * MB
    for _ in range(event["mb"]):
        os.write(descriptor, block)
    return {"worked": os.fstat(descriptor).st_size == event["mb"] * MB}


def shared_mapping(event, context):
    """A shared anonymous mapping is shmem to the kernel, as /tmp is."""
    area = mmap.mmap(-1, event["mb"] * MB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    for offset in range(0, len(area), 4096):
        area[offset] = 1
    return {"worked": True}


def recursion(event, context):
    sys.setrecursionlimit(1_000_000_000)

    def down(depth, ballast):
        return 0 if depth == 0 else 1 + down(depth - 1, [ballast])

    return {"worked": down(event["depth"], None) == event["depth"]}


def socket_buffers(event, context):
    """Memory of the kernel's: bytes that wait in sockets nobody reads."""
    pairs = []
    queued = 0
    block = b"\x01" * 65536
    for _ in range(event["pairs"]):
        one, other = socket.socketpair()
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        try:
            while queued < event["mb"] * MB:
                queued += one.send(block)
        except BlockingIOError:
            pass
        pairs.append((one, other))
    return {"worked": queued >= event["mb"] * MB, "queuedMb": queued // MB}
