"""Functions in real interpreters as snapshots, for the tests: enough of guest/PROTOCOL.md to run them."""
import json
import os
import re
import struct

from control import SNAPSHOT, head
from snapshots import Ends, Gone, Snapshot

GUEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "guest")
LOG, READY, INIT_OK, RESULT = 0x84, 0x81, 0x82, 0x85
INTERPRETERS = {"python": "/usr/bin/python3.11", "node": "/usr/bin/node"}


def missing(language):
    """Why there are no functions of this language here, or None."""
    module = {"python": "flint_zygote.abi3.so", "node": "flint_zygote.node"}[language]
    for path in (INTERPRETERS[language], os.path.join(GUEST, "native", module)):
        if not os.path.exists(path):
            return f"{path} is not there"
    return None


def profile(language):
    with open(os.path.join(GUEST, "runtimes.json")) as file:
        return next(r for r in json.load(file) if r["prefix"].startswith(language))


def boot_zygote(launcher, language):
    runtime = profile(language)
    arguments = [a.replace("{interpreter}", INTERPRETERS[language]) for a in runtime["zygote"]["arguments"]]
    zygote = launcher.begin_zygote(*arguments, env=[f"{k}={v}" for k, v in runtime["environment"].items()] + ["LD_PRELOAD=/var/runtime/native/libflint-zygote.so"])
    launcher.expect(zygote, "ZYGOTE_READY", timeout=60)
    return zygote


class Stream:
    def __init__(self, ends):
        self.ends = ends

    def send(self, kind, body):
        self.ends.channel.send(struct.pack("<BBHI", 1, kind, 0, len(body)) + body)

    def take(self, length):
        data = b""
        while len(data) < length:
            part = self.ends.channel.recv(length - len(data))
            if not part:
                raise Gone(os.read(self.ends.err, 4096))
            data += part
        return data

    def next(self):
        """The next frame that is no log."""
        while True:
            _, kind, _, length = struct.unpack("<BBHI", self.take(8))
            body = self.take(length)
            if kind != LOG:
                return kind, body

    def invoke(self, event):
        meta = json.dumps({"requestId": "r", "deadlineMs": 4000000000000, "clientContext": None, "traceId": None}).encode()
        self.send(2, b"0123456789abcdef" + struct.pack("<I", len(meta)) + meta + json.dumps(event).encode())
        kind, body = self.next()
        assert kind == RESULT, (hex(kind), body)
        return json.loads(body[16:])


class Function(Snapshot):
    """A function's process: initialised, and then a snapshot."""

    def __init__(self, world, launcher, language, code, **limits):
        folder = os.path.join(world.code, "function")
        os.makedirs(folder, exist_ok=True)
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        with open(os.path.join(folder, {"python": "main.py", "node": "main.js"}[language]), "w") as file:
            file.write(code)
        super().__init__(launcher, code="function", **{"memory": 512, **limits})
        self.stream = Stream(self.init)
        assert self.stream.next()[0] == READY
        self.stream.send(1, json.dumps({
            "handler": "main.handler", "taskRoot": "/var/task", "functionName": "f", "functionVersion": "1", "invokedFunctionArn": "a", "memoryMb": 512,
            "maxResultBytes": 1 << 20, "environment": profile(language)["environment"], "snapshot": True, "call": "handler",
            "globals": "full"}).encode())
        kind, body = self.stream.next()
        assert kind == INIT_OK, (hex(kind), body)

    def request(self):
        self.launcher.send(head(SNAPSHOT, self.cell.id))
        return self.cell.expect("FORKED", "UNSAFE", "FAILED", "EXITED")

    def take(self, event):
        self.number += 1
        assert event.number == self.number, (event, self.number)
        self.fork = Ends(event.fds)
        return Stream(self.fork)

    def unsafe(self):
        """Why it is none."""
        event = self.request()
        assert event.name == "UNSAFE", event
        self.finish()
        return [re.sub(r"\d+", "N", f) for f in event.findings]
