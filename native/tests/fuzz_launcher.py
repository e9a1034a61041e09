"""Random messages for a living launcher, the sanitizers' build, for FLINT_FUZZ_SECONDS (5). It may refuse them and it may end, but it never crashes, hangs or leaves something behind.
Ends with "N passed, N failed, N skipped"; FLINT_FUZZ_SEED repeats a run."""
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

from control import CGROUP, Launcher, head, items, start_message, text

SECONDS = float(os.environ.get("FLINT_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("FLINT_FUZZ_SEED") or random.randrange(1 << 32))
ODD = [0, 1, 2, 7, 8, 63, 255, 1024, 1 << 20, (1 << 20) + 1, 1 << 31, (1 << 32) - 1]


def message(chance):
    """One that a worker could send, mostly; its cells and zygotes are among a few, so that some exist, some are gone and some never were."""
    cell = chance.randint(1, 6)
    kind = chance.choice(["make", "make", "start", "start", "kill", "zygote", "retire", "snapshot", "renew"] * 4 + ["damaged"])
    if kind == "make":
        tenant = chance.choice(["default", "t.1", "x" * 64] * 20 + ["", "..", "a/b", "-a", "x" * 65, "\n"])
        return head(1, cell) + text(tenant) + struct.pack("<II", chance.choice([0, 0, 0, 1, 5, 6]), chance.choice([0, 0, 0, 1, 2, 99]))
    if kind == "start":
        def number(usual):
            return chance.choice(ODD) if chance.random() < 0.1 else usual
        return start_message(cell, *chance.choice([["/var/runtime/hostile", "exit", "0"], ["/var/runtime/hostile", "sleep"], ["/nothing"], [], [""], ["x"] * 300]),
                             code=chance.choice(["code"] * 4 + ["nothing", "..", "/", "a/../code", ""]), memory=number(64), tmp=number(8), pids=number(16),
                             weight=number(100), quota=number(0), files=number(64), cwd=chance.choice(["/var/task", "/", "relative", "/nothing", "/proc/self/fd/3", ""]),
                             env=chance.choice([[], ["A=1"], ["no equals"], ["=x"], ["LD_PRELOAD=/x"]]), flags=number(0))
    if kind == "zygote":
        return head(4, cell) + items(chance.choice([["/var/runtime/zygote_host_sanitized"], ["/nothing"], [""], []])) + items(["A=1"])
    if kind == "damaged":
        data = bytearray(message(chance))
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data[:chance.randint(1, len(data))] if chance.random() < 0.2 else data)
    return head({"kill": 3, "retire": 5, "snapshot": 6, "renew": 7}[kind], cell)


def one_life(code, chance, number):
    """True when the launcher ended by itself at one of the messages."""
    launcher = Launcher(code, instance=f"fuzz{number % 1000}", options=("--cgroup", CGROUP))
    ended = False
    try:
        for _ in range(chance.randint(1, 60)):
            try:
                launcher.send(message(chance))
            except OSError:
                ended = True
                break
            while True:
                try:
                    event = launcher.receive(0.002)
                except TimeoutError:
                    break
                except KeyError:
                    break
                if event is None:
                    ended = True
                    break
                for descriptor in event.fds:
                    os.close(descriptor)
    finally:
        launcher.socket.close()
        status = launcher.process.wait(30)
        diagnostics = launcher.diagnostics()
        assert status >= 0 and "Sanitizer" not in diagnostics and "runtime error" not in diagnostics, f"status {status}: {diagnostics}"
    return ended


def left(instances):
    found = []
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        if os.path.basename(folder) == CGROUP:
            found.extend(os.path.join(folder, name) for name in names if name in instances)
            names.clear()
        elif folder.count("/") > 5:
            names.clear()
    return found


def main():
    if os.geteuid() != 0:
        print("skip: it starts as root\n0 passed, 0 failed, 1 skipped")
        return 0
    print(f"FLINT_FUZZ_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    code = tempfile.mkdtemp(prefix="flint-fuzz-")
    os.chmod(code, 0o755)
    os.mkdir(os.path.join(code, "code"), 0o755)
    lives = ends = 0
    failed = None
    end = time.monotonic() + SECONDS
    try:
        while time.monotonic() < end or not 0 < ends < lives and time.monotonic() < end + 60:
            ends += one_life(code, chance, lives)
            lives += 1
    except (AssertionError, subprocess.TimeoutExpired) as error:
        failed = f"in life {lives}: {error}"
    remains = left({f"fuzz{number}" for number in range(1000)})
    shutil.rmtree(code)
    if not failed and remains:
        failed = f"cgroups are left: {remains[:5]}"
    if not failed and not 0 < ends < lives:
        failed = "the control: some messages end it, not all"
    print(f"{'FAIL ' + failed if failed else 'pass'} {lives} launchers, {ends} of which ended at a message that does not parse")
    print(f"{0 if failed else 1} passed, {1 if failed else 0} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
