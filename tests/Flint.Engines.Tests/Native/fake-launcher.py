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
HELLO = (
    '{"protocol":1,"mode":"root","kernel":"6.0","cgroup":"hybrid","memory":%s,"pids":true,"cpu":true,"freezer":"none",'
    '"peakReset":false,"descriptors":[],"seccomp":true,"missing":[{"what":"memory","why":"no controller","fix":"mount one"}]}'
    % ("false" if "no-memory" in behaviour else "true")
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
    control.sendmsg([struct.pack("<HHI", 1, op, cell) + body], ancillary)


send(0x81, 0, b"\x02\x00\x00\x00no" if "bad-hello" in behaviour else text(HELLO))
kept = {}
while True:
    message = control.recv(131072)
    if not message:
        break
    _, op, cell = struct.unpack("<HHI", message[:8])
    if op == 1:
        if "fail-cells" in behaviour:
            send(0x83, cell, text("cgroup") + struct.pack("<I", 13) + text("not allowed"))
            send(0x85, cell, struct.pack("<I", 1))
            continue
        ours, theirs = socket.socketpair()
        out, err = os.pipe(), os.pipe()
        kept[cell] = (ours, out[1], err[1])
        send(0x82, cell, struct.pack("<II", 1, 2), [theirs.fileno(), out[0], err[0]])
        theirs.close()
        os.close(out[0])
        os.close(err[0])
    elif op == 2:
        if "die-at-guest" in behaviour:
            os._exit(9)
        os.write(kept[cell][1], b"raw out\n")
        os.write(kept[cell][2], b"raw err\n")
        kept[cell][0].sendall(message[8:12])
        if "exit-by-itself" in behaviour:
            send(0x84, cell, struct.pack("<III", 7, 0, 0))
    elif op == 3 and cell in kept:
        if "linger" in behaviour:
            send(0x85, cell, struct.pack("<I", 0) + text("a mount"))
            continue
        ours, out, err = kept.pop(cell)
        ours.close()
        os.close(out)
        os.close(err)
        send(0x84, cell, struct.pack("<III", 0, 9, 0))
        send(0x85, cell, struct.pack("<I", 1))
