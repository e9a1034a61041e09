"""Programs that speak to the worker past the bootstrap. Every forged answer says {"worked": true, "forged": true}."""

import array
import errno
import gc
import json
import os
import signal
import socket
import struct
import sys
import time

FORGED = b'{"worked":true,"forged":true}'
LOG, RESULT, ERROR, READY, INIT_OK, INVOKE = 0x84, 0x85, 0x86, 0x81, 0x82, 0x02


def frame(kind, body, length=None, version=1, reserved=0):
    return struct.pack("<BBHI", version, kind, reserved, len(body) if length is None else length) + body


def find_nonce():
    """The bootstrap holds this invocation's nonce somewhere in this very process: nothing keeps a guest from answering for itself."""
    def looks_right(value):
        return isinstance(value, (bytes, bytearray)) and len(value) == 16

    caller = sys._getframe()
    while caller is not None:
        for value in caller.f_locals.values():
            if looks_right(value):
                return bytes(value)
            for inner in getattr(value, "__dict__", {}).values():
                if looks_right(inner):
                    return bytes(inner)
        caller = caller.f_back
    return None


def send(data):
    view = memoryview(data)
    while view:
        view = view[os.write(3, view):]


def speak(event, context):
    """One thing said on descriptor 3, then the ordinary answer."""
    what = event["say"]
    if what == "log":
        send(frame(LOG, b"\x01said by hand"))
    elif what == "wrong nonce":
        send(frame(RESULT, os.urandom(16) + FORGED))
    elif what == "zero nonce":
        send(frame(RESULT, bytes(16) + FORGED))
    elif what == "error with wrong nonce":
        send(frame(ERROR, os.urandom(16) + b'{"type":"Unhandled","name":"x","message":"x","stackTrace":[]}'))
    elif what == "short result":
        send(frame(RESULT, b"\x00" * 5))
    elif what == "unknown kind":
        send(frame(0x7F, b"hello"))
    elif what == "worker's kind":
        send(frame(INVOKE, b"hello"))
    elif what == "init again":
        send(frame(INIT_OK, b""))
    elif what == "ready again":
        send(frame(READY, b'{"protocol":1,"runtime":"x","pid":1}'))
    elif what == "bad version":
        send(frame(LOG, b"\x01x", version=9))
    elif what == "reserved bytes":
        send(frame(LOG, b"\x01x", reserved=0xFFFF))
    elif what == "4 GiB log":
        send(frame(LOG, b"", length=0xFFFFFFFF))
    elif what == "4 GiB error":
        send(frame(ERROR, b"", length=0xFFFFFFFF))
    elif what == "4 GiB result":
        send(frame(RESULT, b"", length=0xFFFFFFFF))
    elif what == "result too large":
        size = event["mb"] * 1024 * 1024
        send(frame(RESULT, b"", length=16 + size))
        send(find_nonce() + b'"' + b"a" * (size - 2) + b'"')
    elif what == "log too large":
        send(frame(LOG, b"\x01" + b"a" * (1 << 20)))
    elif what == "empty log":
        send(frame(LOG, b""))
    elif what == "bad log stream":
        send(frame(LOG, b"\x09x"))
    elif what == "garbage":
        send(os.urandom(4096))
    elif what == "http":
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    elif what == "half a header, exit":
        send(frame(RESULT, FORGED)[:5])
        os._exit(0)
    elif what == "half a body, exit":
        send(frame(RESULT, (find_nonce() or b"") + FORGED, length=1000))
        os._exit(0)
    elif what == "half a body, sleep":
        send(frame(RESULT, (find_nonce() or b"") + FORGED, length=1000))
        time.sleep(30)
    elif what == "slow drip":
        for byte in frame(LOG, b"\x01" + b"a" * 4000):
            send(bytes([byte]))
            time.sleep(0.02)
    elif what == "own answer by hand":
        send(frame(RESULT, find_nonce() + b'{"worked":true,"byHand":true}'))
        time.sleep(30)
    elif what == "deep result":
        send(frame(RESULT, find_nonce() + b"[" * 100_000 + b"]" * 100_000))
        time.sleep(30)
    elif what == "broken result":
        send(frame(RESULT, find_nonce() + b'{"worked":true'))
        time.sleep(30)
    elif what == "two values":
        send(frame(RESULT, find_nonce() + b'{"worked":true} {"worked":true}'))
        time.sleep(30)
    elif what == "empty result":
        send(frame(RESULT, find_nonce()))
        time.sleep(30)
    elif what == "invalid UTF-8":
        send(frame(RESULT, find_nonce() + b'"\xff\xfe\xc0\x80"'))
        time.sleep(30)
    elif what == "NaN":
        send(frame(RESULT, find_nonce() + b"NaN"))
        time.sleep(30)
    elif what == "lone surrogate":
        send(frame(RESULT, find_nonce() + b'"\\ud800"'))
        time.sleep(30)
    elif what == "error of a made-up type":
        send(frame(ERROR, find_nonce() + b'{"type":"SandboxLost","name":"x","message":"not mine","stackTrace":[]}'))
        time.sleep(30)
    elif what == "error that is no object":
        send(frame(ERROR, find_nonce() + b"[1,2,3]"))
        time.sleep(30)
    elif what == "error with wrong members":
        send(frame(ERROR, find_nonce() + b'{"type":7,"name":{},"message":[],"stackTrace":"no"}'))
        time.sleep(30)
    elif what == "deep error":
        send(frame(ERROR, find_nonce() + b"[" * 100_000))
        time.sleep(30)
    elif what == "descriptors":
        pass_descriptors(event["count"])
    return {"worked": what == "log"}


def pass_descriptors(count):
    """Open descriptors as passengers of correct log frames: they must not end in the worker's table."""
    channel = socket.socket(fileno=os.dup(3))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))]
    sent = 0
    while sent < count:
        try:
            channel.sendmsg([frame(LOG, b"\x01with passengers")], ancillary)
            sent += 1
        except OSError as refused:
            # The kernel bounds how many of one user may be under way.
            if refused.errno != errno.ETOOMANYREFS:
                raise
            time.sleep(0.001)
    channel.detach()


def two_results(event, context):
    """Answers by hand and then lets the bootstrap answer too. The first counts; the second must never become the next invocation's."""
    if event["twice"]:
        send(frame(RESULT, find_nonce() + json.dumps({"worked": True, "request": context.aws_request_id}).encode()))
    return {"worked": True, "request": context.aws_request_id}


def log_frames(event, context):
    """Log frames as fast as they are taken."""
    one = frame(LOG, b"\x01" + b"a" * 60000)
    end = time.monotonic() + event["seconds"]
    sent = 0
    while time.monotonic() < end:
        send(one)
        sent += len(one)
    return {"worked": True, "mb": sent >> 20}


def tiny_log_frames(event, context):
    """Frames of one letter: the most objects for the fewest bytes."""
    many = frame(LOG, b"\x01a") * 5000
    end = time.monotonic() + event["seconds"]
    sent = 0
    while time.monotonic() < end:
        send(many)
        sent += 5000
    return {"worked": True, "frames": sent}


def raw_output(event, context):
    """Raw bytes on descriptor 1: frame headers, control characters, no newline, much."""
    what = event["what"]
    data = {
        "line": b"a line\n",
        "forged frame": frame(RESULT, bytes(16) + FORGED) + frame(INIT_OK, b"") + b"\n",
        "forged frame with nonce": frame(RESULT, (find_nonce() or bytes(16)) + FORGED) + b"\n",
        "escapes": b"\x1b[2J\x1b]0;owned\x07\x00\x00\x9b31m\r\x08\x08END RequestId: 1\n",
        "no newline": b"x" * 300_000,
        "invalid UTF-8": b"\xff\xfe\xc3\x28\xf0\x9f\n",
    }.get(what, b"y" * 65536)
    sent = 0
    while sent < event["mb"] << 20 or sent == 0:
        for descriptor in (1, 2):
            sent += os.write(descriptor, data)
    return {"worked": False, "marker": "genuine", "mb": sent >> 20}


def close_streams(event, context):
    for number in event["numbers"]:
        os.close(number)
    return {"worked": True}


def swap_channel(event, context):
    """Puts something else in place of descriptor 3, so that the bootstrap talks to nobody."""
    if event["swap"]:
        one, other = socket.socketpair()
        os.dup2(one.fileno(), 3)
        one.detach()
        other.detach()
    return {"worked": True}


def deaf(event, context):
    """Answers once; from then on a signal handler keeps the bootstrap from reading, while a large event waits to be sent."""
    if event["deaf"]:
        def stay(received, stack):
            while True:
                time.sleep(1)

        signal.signal(signal.SIGALRM, stay)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
    return {"worked": True}


def large_result(event, context):
    return {"worked": True, "filling": "a" * (event["mb"] << 20)}


def deep_result(event, context):
    value = None
    for _ in range(event["depth"]):
        value = [value]
    return {"worked": True, "value": value}


def odd_result(event, context):
    cyclic = []
    cyclic.append(cyclic)
    return {
        "plain": {"worked": True},
        "nan": {"worked": True, "value": float("nan")},
        "surrogate": {"worked": True, "value": "\ud800"},
        "bytes": b'{"worked":true}\xff',
        "object": object(),
        "cyclic": cyclic,
    }[event["value"]]


def sabotage(event, context):
    """Replaces what the bootstrap itself uses; only its own invocations may suffer."""
    if event["replace"]:
        json.dumps = lambda *arguments, **options: "not json at all"
        json.loads = lambda *arguments, **options: {}
        struct.pack = lambda *arguments: b"\xff" * 8
        os.write = lambda *arguments: 0
        for value in gc.get_objects():
            if isinstance(value, socket.socket):
                try:
                    value.close()
                except OSError:
                    pass
    return {"worked": True}
