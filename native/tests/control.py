"""Speaks the control protocol of LAUNCHER.md for the tests."""
import array
import json
import os
import select
import socket
import struct
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LAUNCHER = os.environ.get("FLINT_LAUNCHER", os.path.join(HERE, "..", "build", "flint-launcher"))
PROGRAMS = os.path.join(HERE, "..", "build", "programs")
MAKE, START, KILL, ZYGOTE, RETIRE, SNAPSHOT, RENEW = 1, 2, 3, 4, 5, 6, 7
HELLO, READY, FAILED, EXITED, GONE, ZYGOTE_READY, ZYGOTE_GONE, FORKED, FORK_EXITED, UNSAFE, EGRESS = range(0x81, 0x8c)
CGROUP = os.environ.get("FLINT_TEST_CGROUP", "flint")  # parts of the tests that run beside each other have one each, or one would sweep what another left on purpose
NAMES = {HELLO: "HELLO", READY: "READY", FAILED: "FAILED", EXITED: "EXITED", GONE: "GONE", ZYGOTE_READY: "ZYGOTE_READY", ZYGOTE_GONE: "ZYGOTE_GONE",
         FORKED: "FORKED", FORK_EXITED: "FORK_EXITED", UNSAFE: "UNSAFE", EGRESS: "EGRESS"}
ZYGOTE_HOST = os.environ.get("FLINT_ZYGOTE_HOST", "/var/runtime/zygote_host")
ZYGOTE_ENV = os.environ.get("FLINT_ZYGOTE_ENV", "LD_PRELOAD=/var/runtime/libflint-zygote.so MARK=zygote").split()


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(value)) + value


def items(values):
    return struct.pack("<I", len(values)) + b"".join(text(v) for v in values)


def head(op, cell):
    return struct.pack("<HHI", 2, op, cell)


def start_message(cell, *argv, code="code", memory=256, tmp=64, pids=64, weight=100, quota=0, files=1024, cwd="/var/task", env=(), flags=0):
    return head(START, cell) + struct.pack("<7I", flags, memory, tmp, pids, weight, quota, files) + text(code) + text(cwd) + items(argv) + items(env)


class Event:
    def __init__(self, data, fds):
        version, self.op, self.cell = struct.unpack_from("<HHI", data)
        assert version == 2
        self.name, self.fds, body = NAMES[self.op], fds, data[8:]

        def string(at):
            length, = struct.unpack_from("<I", body, at)
            return body[at + 4:at + 4 + length].decode(), at + 4 + length

        if self.op == HELLO:
            self.hello = json.loads(string(0)[0])
        elif self.op == READY:
            self.uid, self.pid, self.address, self.make, self.fork, self.enter = struct.unpack_from("<6I", body)
        elif self.op == FAILED:
            self.phase, at = string(0)
            self.errno, = struct.unpack_from("<I", body, at)
            self.message, _ = string(at + 4)
        elif self.op == EXITED:
            self.code, self.signal, self.flags = struct.unpack_from("<III", body)
        elif self.op == ZYGOTE_READY:
            self.pid, = struct.unpack_from("<I", body)
        elif self.op == ZYGOTE_GONE:
            self.code, self.signal = struct.unpack_from("<II", body)
            self.message, _ = string(8)
        elif self.op == FORKED:
            self.number, = struct.unpack_from("<I", body)
        elif self.op == FORK_EXITED:
            self.number, self.code, self.signal, self.flags = struct.unpack_from("<IIII", body)
        elif self.op == UNSAFE:
            self.findings, at = [], 4
            for _ in range(struct.unpack_from("<I", body)[0]):
                finding, at = string(at)
                self.findings.append(finding)
        elif self.op == GONE:
            self.clean, = struct.unpack_from("<I", body)
            self.message = "" if self.clean else string(4)[0]

    def __repr__(self):
        return repr({k: v for k, v in self.__dict__.items() if k != "fds"})


class Launcher:
    """One launcher process with this test as its worker."""

    def __init__(self, code, instance="test", prefix=(), runtime=None, options=(), timeout=int(os.environ.get("FLINT_TEST_TIMEOUT", "20"))):
        self.folder = tempfile.mkdtemp(prefix="flint-launcher-test-")
        os.chmod(self.folder, 0o755)
        path = os.path.join(self.folder, "s")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(path)
        os.chmod(path, 0o777)
        listener.listen(1)
        listener.settimeout(timeout)
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*prefix, LAUNCHER, "run", "--connect", path, "--instance", instance, "--code", code, "--runtime-dir", runtime or PROGRAMS, *options],
            stderr=self.stderr, stdin=subprocess.DEVNULL)
        self.instance, self.timeout, self.next, self.waiting = instance, timeout, 1, []
        self.zygote = 0  # of the cells that make() makes
        try:
            self.socket, _ = listener.accept()
        finally:
            listener.close()
            os.unlink(path)
            os.rmdir(self.folder)
        first = self.receive()
        if first is None:
            raise AssertionError(f"the launcher went away: {self.process.wait(20)} {self.diagnostics()}")
        self.hello = first.hello

    def send(self, data):
        self.socket.send(data)

    def receive(self, timeout=None):
        """The next message, or None at the end of the connection."""
        if not select.select([self.socket], [], [], timeout or self.timeout)[0]:
            raise TimeoutError(f"no message; stderr: {self.diagnostics()}")
        fds = array.array("i")
        try:
            data, control, flags, _ = self.socket.recvmsg(1 << 17, socket.CMSG_SPACE(8 * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(value[:len(value) - len(value) % fds.itemsize])
        return Event(data, list(fds)) if data else None

    def expect(self, cell, *names, timeout=None):
        """The next message of a cell, which must be one of these; others' messages are kept."""
        for i, event in enumerate(self.waiting):
            if event.cell == cell:
                del self.waiting[i]
                break
        else:
            while True:
                event = self.receive(timeout)
                assert event is not None, f"the launcher went away; stderr: {self.diagnostics()}"
                if event.cell == cell:
                    break
                self.waiting.append(event)
        assert event.name in names, f"{event} where {names} was due; stderr: {self.diagnostics()}"
        return event

    def make_nowait(self, tenant="default", zygote=None, network=0):
        cell, self.next = self.next, self.next + 1
        self.send(head(MAKE, cell) + text(tenant) + struct.pack("<II", self.zygote if zygote is None else zygote, network))
        return cell

    def make(self, tenant="default", zygote=None, network=0):
        zygote = self.zygote if zygote is None else zygote
        cell = self.make_nowait(tenant, zygote, network)
        return Cell(self, self.expect(cell, "READY"), zygote)

    def begin_zygote(self, *argv, env=None):
        """Sends ZYGOTE; returns its id."""
        zygote, self.next = self.next, self.next + 1
        self.send(head(ZYGOTE, zygote) + items(argv or (ZYGOTE_HOST,)) + items(ZYGOTE_ENV if env is None else env))
        return zygote

    def boot_zygote(self, *argv):
        """A zygote that is ready: its id and pid."""
        zygote = self.begin_zygote(*argv)
        return zygote, self.expect(zygote, "ZYGOTE_READY").pid

    def turns(self, count):
        """Waits until the launcher has gone round so many times, whatever else it had to do in each."""
        for _ in range(count):
            refused = self.make_nowait("")
            self.expect(refused, "FAILED")
            self.expect(refused, "GONE")

    def retire(self, zygote):
        self.send(head(RETIRE, zygote))

    def kill(self, cell):
        self.send(head(KILL, cell))

    def diagnostics(self):
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")

    def close(self, timeout=20):
        self.socket.close()
        return self.process.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.close()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Cell:
    def __init__(self, launcher, ready, zygote=None):
        self.zygote = launcher.zygote if zygote is None else zygote
        self.launcher, self.id, self.uid, self.pid, self.address = launcher, ready.cell, ready.uid, ready.pid, ready.address
        self.channel = socket.socket(fileno=ready.fds[0])
        self.out, self.err = ready.fds[1], ready.fds[2]
        self.extra = dict(zip(launcher.hello["descriptors"], ready.fds[3:]))
        assert len(ready.fds) == 3 + len(launcher.hello["descriptors"])

    def start(self, *argv, code="code", memory=256, tmp=64, pids=64, weight=100, quota=0, files=1024, cwd="/var/task", env=("PATH=/usr/bin:/bin",)):
        self.launcher.send(start_message(self.id, *(() if self.zygote else argv), code=code, memory=memory, tmp=tmp, pids=pids, weight=weight, quota=quota,
                                         files=files, cwd=cwd, env=() if self.zygote else env))
        if self.zygote and argv:  # tests/programs/zygote_host.c
            self.tell(cwd, *argv, env=env)

    def tell(self, cwd, *argv, env=()):
        """Gives a forked guest its program, or its word, with its directory and environment."""
        words = [cwd, str(len(env)), *env, *argv]
        try:
            self.channel.send("\0".join(words).encode() + b"\0\4")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is gone, and the launcher says why

    def read(self, fd):
        parts = []
        while True:
            part = os.read(fd, 65536)
            if not part:
                return b"".join(parts).decode(errors="replace")
            parts.append(part)

    def read_line(self, timeout=20):
        """One line from the guest's stdout."""
        line, until = b"", time.monotonic() + timeout
        while not line.endswith(b"\n"):
            if not select.select([self.out], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("the guest said nothing")
            byte = os.read(self.out, 1)
            if not byte:
                break
            line += byte
        return line.decode()

    def expect(self, *names, timeout=None):
        return self.launcher.expect(self.id, *names, timeout=timeout)

    def finish(self, timeout=None):
        """EXITED, then GONE."""
        exited = self.expect("EXITED", timeout=timeout)
        gone = self.expect("GONE", timeout=timeout)
        assert gone.clean == 1, gone
        return exited

    def run(self, *argv, timeout=None, **limits):
        self.start(*argv, **limits)
        exited = self.finish(timeout)
        exited.out, exited.err = self.read(self.out), self.read(self.err)
        self.close()
        return exited

    def kill(self):
        self.launcher.kill(self.id)

    def close(self):
        self.channel.close()
        for fd in (self.out, self.err, *self.extra.values()):
            os.close(fd)
