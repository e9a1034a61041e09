"""The wires between a launcher and its zygotes and between a cell's PID 1 and its template, with a hostile end of each (programs/hostile_wire.c) and with random packets for the
zygote's own readers, all under sanitizers, for FLINT_FUZZ_SECONDS (5) together. Whatever is said ends at most that zygote or that cell: the launcher stays, makes the next cell,
and has no descriptor more. Ends with "N passed, N failed, N skipped"; FLINT_FUZZ_SEED repeats a run."""
import array
import os
import random
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from control import CGROUP, PROGRAMS, RENEW, SNAPSHOT, Launcher, head, items, start_message

SECONDS = float(os.environ.get("FLINT_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("FLINT_FUZZ_SEED") or random.randrange(1 << 32))
HOSTILE = "/var/runtime/hostile_wire"
# The control: the hostile ends come far enough to be forked from, and are found out both ways.
DUE = ("FORKED", "FAILED template", "ZYGOTE_READY", "ZYGOTE_GONE protocol")
PRELOAD = ["LD_PRELOAD=/var/runtime/libflint-zygote.so"]


class Life:
    """A launcher, a true zygote whose guests are hostile, and a cell of it that nobody touches: it must outlive all that is tried."""

    def __init__(self, code):
        self.launcher = Launcher(code, instance="fuzzwires", options=("--cgroup", CGROUP))
        self.zygote = self.launcher.begin_zygote(HOSTILE, "guest", env=PRELOAD)
        self.launcher.expect(self.zygote, "ZYGOTE_READY")
        self.bystander = self.launcher.make(zygote=self.zygote)
        self.ends = {}
        self.loop = children(self.launcher.process.pid)[0]
        self.descriptors = 1 << 20
        self.check()
        # What a turn has only for its moment does not count.
        self.descriptors = min(self.count_soon() for _ in range(20))

    def count(self):
        return len(os.listdir(f"/proc/{self.loop}/fd"))

    def count_soon(self):
        time.sleep(0.005)
        return self.count()

    def note(self, event):
        what = f"{event.name} {event.phase}" if event.name == "FAILED" else f"ZYGOTE_GONE {event.message.split(':')[0]}" if event.name == "ZYGOTE_GONE" else event.name
        self.ends[what] = self.ends.get(what, 0) + 1
        for descriptor in event.fds:
            os.close(descriptor)

    def until(self, cell, name, timeout=20):
        """All that is said of it up to its end."""
        while True:
            event = self.launcher.expect(cell, "READY", "FAILED", "EXITED", "GONE", "FORKED", "FORK_EXITED", "UNSAFE", "ZYGOTE_READY", "ZYGOTE_GONE", timeout=timeout)
            self.note(event)
            if event.name == name:
                assert name != "GONE" or event.clean == 1, event
                return

    def check(self):
        """Others are as they were."""
        cell = self.launcher.make(zygote=self.zygote)
        cell.kill()
        self.until(cell.id, "GONE")
        close(cell)
        for event in self.launcher.waiting:
            assert event.cell != self.bystander.id, f"of the cell that nobody touched: {event}"
        for _ in range(200):
            now = self.count()
            if now <= self.descriptors:
                return
            time.sleep(0.01)
        raise AssertionError(f"the launcher had {self.descriptors} descriptors and has {now}")

    def zygote_round(self, chance):
        zygote = self.launcher.begin_zygote(HOSTILE, "zygote", str(chance.randrange(1 << 32)), env=[])
        cells = []
        for _ in range(chance.randint(1, 4)):
            cells.append(self.launcher.make_nowait(zygote=chance.choice([zygote, zygote, self.zygote, 0])))
        ended = False
        try:
            first = self.launcher.expect(zygote, "ZYGOTE_READY", "ZYGOTE_GONE", timeout=0.3)
            self.note(first)
            ended = first.name == "ZYGOTE_GONE"
        except TimeoutError:
            pass  # it says nothing
        if not ended:
            for _ in range(chance.randint(0, 10)):
                cells.append(self.launcher.make_nowait(zygote=zygote))
            for cell in cells:
                if chance.random() < 0.2:
                    self.launcher.kill(cell)
            select.select([], [], [], chance.choice([0, 0.01, 0.05]))
            self.launcher.retire(zygote)
            self.until(zygote, "ZYGOTE_GONE")
        for cell in cells:
            self.launcher.kill(cell)
            self.until(cell, "GONE")

    def template_round(self, chance):
        cell = self.launcher.make(zygote=self.zygote)
        self.launcher.send(start_message(cell.id, flags=1, memory=64, tmp=8, pids=32))
        cell.channel.send(struct.pack("<Q", chance.randrange(1 << 63) | 1))
        self.launcher.send(head(SNAPSHOT, cell.id))
        renewals = chance.randint(0, 6)
        for _ in range(renewals + 1):
            try:
                event = self.launcher.expect(cell.id, "FORKED", "FORK_EXITED", "UNSAFE", "FAILED", "EXITED", "GONE", timeout=0.1)
            except TimeoutError:
                break
            self.note(event)
            if event.name == "GONE":
                assert event.clean == 1, event
                close(cell)
                return
            if event.name == "FORKED":
                self.launcher.send(head(RENEW, cell.id))
        cell.kill()
        self.until(cell.id, "GONE")
        close(cell)


def close(cell):
    cell.channel.close()
    for descriptor in [cell.out, cell.err, *cell.extra.values()]:
        os.close(descriptor)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def send_badly(wire, data, chance, fds):
    data = bytearray(data)
    kind = chance.randrange(6)
    if kind == 0:
        data = data[:chance.randrange(len(data))]
    elif kind == 1:
        data += bytes(chance.randrange(1, 5000))
    elif kind == 2:
        data[chance.randrange(min(len(data), 24))] = chance.choice([0, 1, 2, 255])
    elif kind == 3:
        fds = fds[:chance.randrange(len(fds) + 1)]
    elif kind == 4:
        fds = (fds * 40)[:chance.choice([1, 4, 5, 6, 8, 9, 30, 200])]
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    wire.sendmsg([data], ancillary)


def reader_round(chance, folder):
    """The zygote's readers of SETUP and of FORK. What it is sent names no cell, so that it forks nothing; it answers, or ends with a status of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    null = os.open("/dev/null", os.O_RDONLY)
    hierarchies, instructions = chance.choice([1, 2, 8]), chance.choice([0, 1, 4096])
    setup = struct.pack("<5I", 1, hierarchies, chance.choice([0, 0xFFFFFFFF]), 0, instructions) + bytes(8 * instructions)
    program = [sys.executable, "-c", "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execve(sys.argv[2], sys.argv[2:], {'ASAN_OPTIONS': 'detect_leaks=0'})",
               str(theirs.fileno()), os.path.join(PROGRAMS, "zygote_host_sanitized")]
    try:
        if chance.random() < 0.6:
            ours.sendmsg([setup], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null] * hierarchies))])
        else:
            send_badly(ours, setup, chance, [null] * hierarchies)
        for _ in range(chance.randint(0, 4)):
            fork = struct.pack("<4I", 2, 7, 65534, 65534) + chance.choice([b"nothing".ljust(80, b"\0"), b"\xff" * 80, (b"../" * 32)[:80]])
            send_badly(ours, fork, chance, [null] * 5)
        ours.shutdown(socket.SHUT_WR)
        ended = subprocess.run(program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=20, cwd=folder, check=False)
        output = ended.stderr.decode(errors="replace")
        assert ended.returncode in (0, 1, 95, 126) and "Sanitizer" not in output and "runtime error" not in output, f"status {ended.returncode}: {output}"
        return ended.returncode
    finally:
        ours.close()
        theirs.close()
        os.close(null)


def attack(code, chance):
    """What it came to, each with its number."""
    life = Life(code)
    ends, rounds = life.ends, 0
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end or not all(due in ends for due in DUE) and time.monotonic() < end + 60:
            kind = chance.random()
            if kind < 0.45:
                life.zygote_round(chance)
            elif kind < 0.9:
                life.template_round(chance)
            else:
                status = f"reader {reader_round(chance, code)}"
                ends[status] = ends.get(status, 0) + 1
            life.check()
            rounds += 1
    finally:
        life.launcher.socket.close()
        status = life.launcher.process.wait(30)
        diagnostics = life.launcher.diagnostics()
        assert status == 0 and "Sanitizer" not in diagnostics and "runtime error" not in diagnostics, f"after {rounds} rounds status {status}: {diagnostics[-6000:]}"
    return rounds, ends


def main():
    if os.geteuid() != 0:
        print("skip: it starts as root\n0 passed, 0 failed, 1 skipped")
        return 0
    print(f"FLINT_FUZZ_SEED={SEED}", flush=True)
    code = tempfile.mkdtemp(prefix="flint-fuzz-")
    os.chmod(code, 0o755)
    os.mkdir(os.path.join(code, "code"), 0o755)
    failed = None
    rounds, ends = 0, {}
    try:
        rounds, ends = attack(code, random.Random(SEED))
    except (AssertionError, TimeoutError, subprocess.TimeoutExpired) as error:
        failed = repr(error).replace("\\n", "\n")
    shutil.rmtree(code)
    missed = [due for due in DUE if due not in ends]
    if not failed and missed:
        failed = f"never came to {missed}"
    print(f"{'FAIL ' + failed if failed else 'pass'} {rounds} rounds: {ends}")
    print(f"{0 if failed else 1} passed, {1 if failed else 0} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
