#!/usr/bin/python3 -S
"""Speaks the launcher's control protocol without any sandbox, so that the engine's side can be tested for what a real launcher rarely does.

The behaviour is in the file `behaviour` beside this program: words that switch things on.
"""
import array
import os
import socket
import struct
import sys

behaviour = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "behaviour")).read().split()
VERSION = 1 if "other-protocol" in behaviour else 2
HELLO = (
    '{"protocol":%d,"zygotes":%s,"snapshots":true,"egress":false,"mode":"root","kernel":"6.0","cgroup":"hybrid","memory":%s,"pids":true,"cpu":%s,"freezer":"none",'
    '"peakReset":false,"descriptors":[],"seccomp":true,"missing":[{"what":"memory","why":"no controller","fix":"mount one"}]}'
    % (VERSION, "false" if "no-zygotes" in behaviour else "true", "false" if "no-memory" in behaviour else "true", "false" if "no-cpu" in behaviour else "true")
)
if sys.argv[1] == "probe":
    trial = '[{"what":"cells","why":"no namespaces","fix":"allow them"},' if "no-cells" in behaviour else "["
    print(HELLO.replace("[{", trial + "{"))
    sys.exit(0)
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "starts"), "a") as starts:
    starts.write("x")
if "die-at-start" in behaviour:
    sys.stderr.write("no namespaces here\n")
    sys.exit(3)
control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
control.connect(sys.argv[sys.argv.index("--connect") + 1])


def text(value):
    return struct.pack("<I", len(value)) + value.encode()


def send(op, cell, body=b"", descriptors=()):
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([struct.pack("<HHI", VERSION, op, cell) + body], ancillary)


send(0x81, 0, b"\x02\x00\x00\x00no" if "bad-hello" in behaviour else text(HELLO))
# By cell: what its guest would hold of the channel and the pipes.
kept = {}
forks = {}
zygotes = set()
forked = set()
# What was asked for once and not done; the next time it is.
ignored = set()


def streams():
    ours, theirs = socket.socketpair()
    out, err = os.pipe(), os.pipe()
    return (ours, out[1], err[1]), (theirs.detach(), out[0], err[0])


def close(held):
    held[0].close()
    os.close(held[1])
    os.close(held[2])


def send_streams(op, cell, body):
    held, given = streams()
    send(op, cell, body, given)
    for descriptor in given:
        os.close(descriptor)
    return held


def make(cell, zygote):
    if "fail-cells" in behaviour or (zygote and ("fork-fails" in behaviour or zygote not in zygotes)):
        phase = "zygote" if zygote else "cgroup"
        send(0x83, cell, text(phase) + struct.pack("<I", 13) + text("not allowed"))
        send(0x85, cell, struct.pack("<I", 1))
        return
    if zygote:
        forked.add(cell)
    kept[cell] = send_streams(0x82, cell, struct.pack("<IIIIII", 1, 2, 0xc6120000 + 256 + cell, 30, 20, 10))


def start(cell, memory):
    if "die-at-guest" in behaviour:
        os._exit(9)
    if "zygotes-die-at-guest" in behaviour and cell in forked:
        for zygote in zygotes:
            send(0x87, zygote, struct.pack("<II", 0, 9) + text("killed"))
        zygotes.clear()
    os.write(kept[cell][1], b"raw out\n")
    os.write(kept[cell][2], b"raw err\n")
    kept[cell][0].sendall(memory)
    if "exit-by-itself" in behaviour:
        send(0x84, cell, struct.pack("<III", 7, 0, 0))


def ignores(what, cell):
    if what not in behaviour or (what, cell) in ignored:
        return False
    ignored.add((what, cell))
    return True


def fork(cell):
    if cell in forks and ignores("renew-hangs", cell):
        return
    number = forks[cell][0] + 1 if cell in forks else 1
    end_fork(cell, 9)
    if number > 1 and ("renew-fails" in behaviour or "template-fails" in behaviour):
        send(0x83, cell, text("template" if "template-fails" in behaviour else "snapshot") + struct.pack("<I", 11) + text("no fork"))
        kill(cell)
        return
    forks[cell] = (number, send_streams(0x88, cell, struct.pack("<I", number)))
    forks[cell][1][0].sendall(b"fork%d" % number)
    os.write(forks[cell][1][1], b"raw fork\n")
    if "fork-exits" in behaviour:
        send(0x89, cell, struct.pack("<IIII", number, 3, 0, 0))


def end_fork(cell, signal):
    if cell in forks:
        number, held = forks.pop(cell)
        close(held)
        if "fork-exits" not in behaviour:
            send(0x89, cell, struct.pack("<IIII", number, 0, signal, 0))


def kill(cell):
    if ignores("kill-hangs", cell):
        return
    if "linger" in behaviour:
        send(0x85, cell, struct.pack("<I", 0) + text("a mount"))
        return
    end_fork(cell, 9)
    close(kept.pop(cell))
    send(0x84, cell, struct.pack("<III", 0, 9, 0))
    send(0x85, cell, struct.pack("<I", 1))


def zygote(number):
    if "zygotes-hang" in behaviour:
        return
    if "zygotes-fail" in behaviour:
        send(0x87, number, struct.pack("<II", 1, 0) + text("no module"))
        return
    zygotes.add(number)
    send(0x86, number, struct.pack("<I", 5))


def read_text(message, at):
    (length,) = struct.unpack_from("<I", message, at)
    return message[at + 4 : at + 4 + length], at + 4 + length


while True:
    message = control.recv(131072)
    if not message:
        break
    _, op, cell = struct.unpack("<HHI", message[:8])
    if op == 1:
        _, at = read_text(message, 8)
        make(cell, *struct.unpack_from("<I", message, at))
    elif op == 2:
        start(cell, message[12:16])
    elif op == 3 and cell in kept:
        kill(cell)
    elif op == 4:
        zygote(cell)
    elif op == 5 and cell in zygotes:
        zygotes.remove(cell)
        send(0x87, cell, struct.pack("<II", 0, 15) + text("retired"))
    elif op == 6 and "unsafe" in behaviour:
        send(0x8A, cell, struct.pack("<I", 2) + text("a thread worker\x1b") + text("a socket"))
    elif op in (6, 7) and cell in kept:
        fork(cell)
