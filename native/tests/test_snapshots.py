"""Snapshots, driven as a worker drives them. Ends with "N passed, N failed, N skipped"; names as arguments choose tests."""
import os
import re
import shutil
import signal
import statistics
import struct
import sys
import time

import interpreters
import test_launcher as launcher_tests
from control import KILL, RENEW, SNAPSHOT, head
from interpreters import Function
from snapshots import SNAPSHOT_HOST, Gone, Snapshot, sockets
from test_launcher import ALL, LIMITED, LONG, descendants, eventually, in_long_runs, the_watch_looks

launcher_tests.TESTS.clear()
launcher_tests.FORKED = "+snapshot"
TEMPLATE = 2  # its pid inside
SYS = {"read": 0, "open": 2, "close": 3, "mmap": 9, "ioctl": 16, "pipe2": 293, "shmget": 29, "dup2": 33, "getpid": 39, "socket": 41, "socketpair": 53, "setsockopt": 54,
       "getsockopt": 55, "kill": 62, "semget": 64, "msgget": 68, "fcntl": 72, "flock": 73, "chdir": 80, "mkdir": 83, "rmdir": 84, "unlink": 87, "chmod": 90, "ptrace": 101, "setpgid": 109, "getpgid": 121,
       "rt_sigqueueinfo": 129, "setpriority": 141, "getpriority": 140, "sched_setparam": 142, "sched_setscheduler": 144, "prctl": 157, "lseek": 8, "sched_setaffinity": 203,
       "epoll_create1": 291, "eventfd2": 290, "ioprio_set": 251, "prlimit64": 302, "process_vm_readv": 310, "process_vm_writev": 311, "sched_setattr": 314,
       "memfd_create": 319, "pidfd_open": 434, "pidfd_getfd": 438, "shmat": 30, "semop": 65, "msgsnd": 69, "tgkill": 234, "setuid": 105}
NUMBER = os.uname().machine == "x86_64"


def test(*contexts):
    def add(function):
        def run(world, launcher):
            if not NUMBER:
                raise launcher_tests.Skipped("these tests know the numbers of x86_64's system calls")
            if not launcher.zygote:
                launcher.zygote, _ = launcher.boot_zygote(SNAPSHOT_HOST)
            function(world, launcher)
        run.__name__ = function.__name__
        launcher_tests.TESTS.append((run, contexts))
        return function
    return add


def call(ends, name, *arguments):
    return ends.sys(SYS[name], *arguments)


# ---- each fork begins as init left it ----

@test(*ALL)
def every_fork_begins_as_init_left_the_process(world, launcher):
    snapshot = Snapshot(launcher)
    snapshot.ask("remember", "init")
    snapshot.ask("setenv", "NAME", "init")
    snapshot.ask("mask")
    own = call(snapshot, "open", "s:/var/task/main.txt", 0, 0)
    assert call(snapshot, "lseek", own, 7, 0) == 7
    assert snapshot.ask("cwd") == "/var/task" or call(snapshot, "chdir", "s:/var/task") == 0
    fork = snapshot.begin()
    for _ in range(3):
        assert fork.ask("recall") == "init" and fork.ask("getenv", "NAME") == "init"
        assert fork.ask("cwd") == "/var/task" and fork.ask("handled") == "0"
        assert call(fork, "lseek", own, 0, 1) == 7
        status = fork.ask("read", "/proc/self/status")
        assert re.search(r"SigBlk:\t0000000000000200", status) and int(re.search(r"SigCgt:\t(\w+)", status).group(1), 16) & 1 << signal.SIGUSR2 - 1 and re.search(r"SigIgn:\t0+\|", status), status
        assert re.search(r"(ShdPnd|SigPnd):\t0+\|", status) and re.search(r"Threads:\t1\|", status)
        # and is left in disorder
        fork.ask("remember", "fork")
        fork.ask("setenv", "NAME", "fork")
        assert call(fork, "chdir", "s:/tmp") == 0 and call(fork, "lseek", own, 0, 2) > 7
        fork.ask("raise", signal.SIGUSR2)
        assert fork.ask("handled") == str(int(signal.SIGUSR2))
        fork = snapshot.renew()
    snapshot.finish()


@test(*ALL)
def a_fork_has_a_session_a_parent_and_ends_of_its_own(world, launcher):
    snapshot = Snapshot(launcher)
    before = snapshot.ask("descriptors").split()
    fork = snapshot.begin()
    for _ in range(3):
        pid, parent, leads = fork.ask("pid").split()
        assert parent == "1" and leads == "1" and int(pid) > TEMPLATE
        assert sorted(fork.ask("descriptors").split()) == sorted(set(before) - {"4"}), before
        fork.ask("say", 1, f"out{pid}")
        assert fork.output() == f"out{pid}\n"
        assert call(fork, "fcntl", 3, 1) == 1 and call(fork, "fcntl", 1, 1) == 0  # close-on-exec
        fork = snapshot.renew()
    assert snapshot.init.output(0) == ""
    snapshot.finish()


@test(*ALL)
def an_empty_tmp_is_empty_for_every_fork(world, launcher):
    snapshot = Snapshot(launcher, tmp=8)
    fork = snapshot.begin()
    for turn in range(3):
        assert fork.ask("read", "/tmp/file") == "-1 ENOENT" and fork.ask("read", "/dev/shm/file") == "-1 ENOENT"
        assert fork.ask("write", "/tmp/file", "text") == "4" and fork.ask("read", "/dev/shm/file") == "text"
        if turn == 1:
            assert 7 << 20 <= int(fork.ask("fill", "/tmp/full")) <= 8 << 20
        if turn == 2:
            assert fork.ask("files").endswith("ENOSPC")
        fork = snapshot.renew()
    assert 7 << 20 <= int(fork.ask("fill", "/tmp/full")) <= 8 << 20
    snapshot.finish()


@test(*ALL)
def what_init_left_in_tmp_is_there_for_every_fork_as_it_was(world, launcher):
    snapshot = Snapshot(launcher, tmp=8)
    snapshot.ask("write", "/tmp/file", "init")
    call(snapshot, "mkdir", "s:/tmp/folder", 0o755)
    snapshot.ask("write", "/tmp/folder/inner", "deep")
    call(snapshot, "chmod", "s:/tmp/file", 0o640)
    event = snapshot.request()
    if event.name == "UNSAFE":
        assert len(event.findings) == 1 and "init left files in /tmp" in event.findings[0], event.findings
        print(f"    refused, as it must be here: {event.findings[0]}")
        snapshot.finish()
        return
    fork = snapshot.take(event)
    for turn in range(4):
        assert fork.ask("read", "/tmp/file") == "init" and fork.ask("read", "/tmp/folder/inner") == "deep"
        assert fork.ask("write", "/tmp/file", "fork") == "4" and fork.ask("read", "/tmp/file") == "fork"
        assert call(fork, "unlink", "s:/tmp/folder/inner") == 0 and call(fork, "rmdir", "s:/tmp/folder") == 0
        assert call(fork, "mkdir", "s:/tmp/folder", 0o755) == 0 and fork.ask("read", "/tmp/folder/inner") == "-1 ENOENT"
        assert 7 << 20 <= int(fork.ask("fill", "/tmp/full")) <= 8 << 20
        fork = snapshot.renew()
    snapshot.finish()


# ---- ends ----

@test(*ALL)
def the_ends_of_forks_are_told_once_and_truthfully(world, launcher):
    snapshot = Snapshot(launcher)
    fork = snapshot.begin()
    for words, expected in ((("exit", 0), (0, 0)), (("exit", 7), (7, 0)), (("exit", 137), (137, 0)), (("raise", 15), (0, 15)), (("abort",), (0, 6)), (("raise", 9), (0, 9))):
        fork.say(*words)
        ended = snapshot.cell.expect("FORK_EXITED")
        assert (ended.number, ended.code, ended.signal, ended.flags) == (snapshot.number, *expected, 0), (words, ended)
        fork = snapshot.renew(told=True)
    snapshot.launcher.send(head(RENEW, snapshot.cell.id))
    ended = snapshot.cell.expect("FORK_EXITED")
    assert (ended.code, ended.signal) == (0, 9)
    fork.close()
    snapshot.take(snapshot.cell.expect("FORKED"))
    snapshot.cell.kill()
    events = [snapshot.cell.expect("FORK_EXITED", "EXITED", "GONE") for _ in range(3)]
    assert [e.name for e in events] == ["FORK_EXITED", "EXITED", "GONE"] and events[1].signal == 9, events
    snapshot.close()


def without_template(launcher, **limits):
    """A snapshot whose fork has killed everything but itself, when the launcher has heard of it. v1's freezer holds the dead template until RENEW."""
    snapshot = Snapshot(launcher, **limits)
    fork = snapshot.begin()
    processes = len(descendants(launcher.process.pid))
    assert call(fork, "kill", -1, int(signal.SIGKILL)) == 0
    if launcher.context != "root-v1":
        assert eventually(lambda: len(descendants(launcher.process.pid)) == processes - 1), "the template does not end"
    launcher.turns(5)
    return snapshot, fork


def told_at_the_end(snapshot):
    """What is told at the end of a cell: signal and flags of the fork's and of the template's."""
    ended, exited, gone = (snapshot.cell.expect("FORK_EXITED", "EXITED", "GONE") for _ in range(3))
    assert (ended.name, exited.name, gone.name) == ("FORK_EXITED", "EXITED", "GONE") and gone.clean == 1, (ended, exited, gone)
    snapshot.close()
    return (ended.code, ended.signal, ended.flags), (exited.code, exited.signal, exited.flags)


@test(*ALL)
def a_fork_outlives_its_template_until_it_is_renewed(world, launcher):
    snapshot, fork = without_template(launcher)
    assert fork.ask("recall") == "nothing" and fork.ask("daemons", 3) == "3"
    launcher.send(head(RENEW, snapshot.cell.id))
    assert told_at_the_end(snapshot) == ((0, 9, 0), (0, 9, 0))


@test(*ALL)
def the_end_of_a_fork_without_a_template_is_told_truthfully_and_is_that_of_the_cell(world, launcher):
    for words, expected in ((("exit", 7), (7, 0, 0)), (("abort",), (0, 6, 0))):
        snapshot, fork = without_template(launcher)
        fork.say(*words)
        if launcher.context == "root-v1":
            launcher.send(head(RENEW, snapshot.cell.id))
            assert told_at_the_end(snapshot)[1] == (0, 9, 0)  # which of the two came first is not known
        else:
            assert told_at_the_end(snapshot) == (expected, (0, 9, 0)), words


@test(*ALL)
def a_fork_without_a_template_is_killed_with_its_cell(world, launcher):
    snapshot, fork = without_template(launcher, pids=40)
    fork.ask(*("bomb",) if launcher.context in LIMITED else ("daemons", 3))
    snapshot.cell.kill()
    assert told_at_the_end(snapshot) == ((0, 9, 0), (0, 9, 0))


@test(*LIMITED)
def a_fork_without_a_template_keeps_its_limits(world, launcher):
    snapshot, fork = without_template(launcher, memory=64, tmp=8)
    fork.say("memory", 120)
    assert told_at_the_end(snapshot) == ((0, 9, 1), (0, 9, 1))


@test("root", "root-none", "subuid", "single")
def a_template_that_ends_without_a_fork_ends_the_cell(world, launcher):
    snapshot = Snapshot(launcher)
    fork = snapshot.begin()
    templates = [p for p in descendants(launcher.process.pid) if pids_inside(p)[1:] == [str(TEMPLATE)]]
    assert len(templates) == 1, templates
    fork.say("exit", 0)
    assert snapshot.cell.expect("FORK_EXITED").signal == 0
    os.kill(templates[0], signal.SIGKILL)
    exited, gone = (snapshot.cell.expect("EXITED", "GONE") for _ in range(2))
    assert (exited.code, exited.signal, gone.clean) == (0, 9, 1), (exited, gone)
    snapshot.close()


@test(*LIMITED)
def memory_beyond_the_limit_ends_the_whole_cell(world, launcher):
    snapshot = Snapshot(launcher, memory=64, tmp=8)
    fork = snapshot.begin()
    for _ in range(3):
        assert fork.ask("memory", 30) == "0"  # each has all of it again
        fork = snapshot.renew()
    fork.say("memory", 120)
    ended, exited, gone = (snapshot.cell.expect("FORK_EXITED", "EXITED", "GONE") for _ in range(3))
    assert ended.name == "FORK_EXITED" and (ended.signal, ended.flags) == (9, 1), ended
    assert exited.name == "EXITED" and (exited.signal, exited.flags) == (9, 1) and gone.clean == 1, exited
    snapshot.close()


@test(*LIMITED)
def what_is_no_snapshot_keeps_its_limits(world, launcher):
    snapshot = Snapshot(launcher, memory=64, tmp=64)
    snapshot.ask("later", 100)
    assert snapshot.request().name == "UNSAFE"
    snapshot.init.channel.send(b"\n")
    exited, gone = (snapshot.cell.expect("EXITED", "GONE") for _ in range(2))
    assert (exited.signal, exited.flags, gone.clean) == (9, 1, 1), (exited, gone)
    snapshot.close()


@test(*LIMITED)
def tmp_of_forks_does_not_count_against_memory(world, launcher):
    snapshot = Snapshot(launcher, memory=24, tmp=64)
    fork = snapshot.begin()
    for _ in range(3):
        assert int(fork.ask("fill", "/tmp/full")) > 60 << 20
        the_watch_looks(launcher)
        assert fork.ask("recall") == "nothing"
        fork = snapshot.renew()
    snapshot.finish()


# ---- attacks on the template, and on the next fork ----

def look(fork):
    """What a fork can see of those before it."""
    status = fork.ask("read", "/proc/self/status")
    return {"recall": fork.ask("recall"), "handled": fork.ask("handled"), "descriptors": sorted(fork.ask("descriptors").split()), "cwd": fork.ask("cwd"),
            "signals": re.findall(r"(?:SigQ|SigPnd|ShdPnd|SigBlk|SigIgn|SigCgt|Threads|Seccomp|Cpus_allowed):\s*([^|]+)", status),
            "limits": fork.ask("read", "/proc/self/limits"), "priority": call(fork, "getpriority", 0, 0), "tmp": fork.ask("read", "/tmp/left"),
            "channel": [call(fork, "fcntl", fd, 3) for fd in range(6)], "timerslack": call(fork, "prctl", 30), "event": fork.ask("event")}


@test(*ALL)
def no_attack_of_a_fork_reaches_the_template_or_the_next_fork(world, launcher):
    snapshot = Snapshot(launcher)
    snapshot.ask("remember", "init")
    own = call(snapshot, "open", "s:/var/task/main.txt", 0, 0)
    fork = snapshot.begin()
    before = look(fork)
    refused = [
        ("ptrace", 16, TEMPLATE), ("ptrace", 0x4206, TEMPLATE), ("process_vm_readv", TEMPLATE, "b:", 1, "b:", 1), ("process_vm_writev", TEMPLATE, "b:", 1, "b:", 1),
        ("prlimit64", TEMPLATE, 9, 0, "b:"), ("prlimit64", TEMPLATE, 9, "b:", 0), ("sched_setaffinity", TEMPLATE, 128, "b:"), ("sched_setscheduler", TEMPLATE, 5, "b:"),
        ("sched_setparam", TEMPLATE, "b:"), ("sched_setattr", TEMPLATE, "b:", 0), ("setpriority", 0, TEMPLATE, 19), ("setpriority", 1, TEMPLATE, 19), ("setpriority", 2, 0, 19),
        ("ioprio_set", 1, TEMPLATE, 0x6000), ("ioprio_set", 3, 0, 0x6000), ("prctl", 4, 1), ("prctl", 36, 1), ("prctl", 0x59616d61, 1), ("setpgid", 0, TEMPLATE),
        ("prlimit64", TEMPLATE | 1 << 32, 9, "b:", 0),
    ]
    for attack in refused:
        assert call(fork, *attack) in ("EPERM",), attack
    process = call(fork, "pidfd_open", TEMPLATE, 0)
    assert call(fork, "pidfd_getfd", process, 3, 0) == "EPERM"
    for name in ("shmget", "semget", "msgget", "shmat", "semop", "msgsnd"):
        assert call(fork, name, 1, 100, 0o1666) == "ENOSYS", name
    for name in ("mem", "maps", "environ", "status", "fd", "root/tmp", "cwd", "task", "fdinfo/3", "clear_refs", "oom_score_adj", "timerslack_ns", "comm", "stack", "syscall"):
        assert fork.ask("read", f"/proc/{TEMPLATE}/{name}") in ("-1 ENOENT",), name
    assert call(fork, "prctl", 4, 0) == 0 and call(fork, "setpriority", 0, 0, 5) == 0 and call(fork, "prctl", 29, 1000) in (0, "EINVAL")

    attacks = [
        lambda: fork.ask("signals", TEMPLATE),
        lambda: fork.ask("queue"),
        lambda: call(fork, "kill", TEMPLATE, int(signal.SIGSTOP)),
        lambda: call(fork, "kill", -1, int(signal.SIGTERM)),
        lambda: call(fork, "kill", TEMPLATE, int(signal.SIGCONT)),
        lambda: fork.ask("event", "write"),
        lambda: fork.ask("daemons", 20),
        lambda: (fork.ask("daemons", 3), fork.say("exit", 0), snapshot.cell.expect("FORK_EXITED")),
        lambda: fork.ask("bomb") if launcher.context in LIMITED else None,  # what nothing holds is the host's trouble
        lambda: fork.ask("fill", "/tmp/left"),
        lambda: fork.ask("files"),
        lambda: (call(fork, "open", "s:/tmp/left", 0o102, 0o600), call(fork, "unlink", "s:/tmp/left"), fork.ask("daemons", 1)),
        lambda: (fork.ask("listen", "flint"), fork.ask("daemons", 1)),
        lambda: [call(fork, "fcntl", fd, 4, 0o6000) for fd in (0, 1, 2, own)],
        lambda: fork.say("sys", SYS["fcntl"], 3, 4, 0o6000),
        lambda: [call(fork, "setsockopt", 3, 1, option, "b:", 4) for option in (7, 8, 42, 9)],
        lambda: (call(fork, "flock", own, 2), call(fork, "lseek", own, 3, 0), fork.ask("daemons", 1)),
        lambda: call(fork, "prlimit64", 0, 7, "b:", 0),
        lambda: call(fork, "close", own),
        lambda: [call(fork, "close", fd) for fd in (0, 1, 2)],
        lambda: call(fork, "mmap", 0, 4096, 3, 0x21, -1, 0),
        lambda: (fork.say("exit", 3), snapshot.cell.expect("FORK_EXITED")),
    ]
    processes = len(descendants(launcher.process.pid))
    for number, attack in enumerate(attacks):
        result = attack()
        told = isinstance(result, tuple) and getattr(result[-1], "name", "") == "FORK_EXITED"
        fork = snapshot.renew(told)
        after = look(fork)
        assert after == before, (number, {k: (before[k], after[k]) for k in before if before[k] != after[k]})
        assert call(fork, "lseek", own, 0, 1) == 0 and call(fork, "flock", own, 2 | 4) == 0, number
        assert fork.ask("connect", "flint").startswith("-1"), number
        assert eventually(lambda: len(descendants(launcher.process.pid)) == processes), number
    snapshot.finish()


@test(*LIMITED)
def a_fork_bomb_is_over_when_the_next_fork_begins(world, launcher):
    snapshot = Snapshot(launcher, pids=40)
    fork = snapshot.begin()
    before = len(descendants(launcher.process.pid))
    for _ in range(5):
        fork.ask("bomb")
        assert eventually(lambda: len(descendants(launcher.process.pid)) >= before + 30), "the bomb does not go off"
        fork = snapshot.renew()
        assert fork.ask("daemons", 10) == "10"
    snapshot.finish()


@test(*ALL)
def no_socket_is_left_when_the_next_fork_begins(world, launcher):
    snapshot = Snapshot(launcher)
    fork = snapshot.begin()
    for _ in range(3):
        assert sockets(fork) == []
        assert fork.ask("closed", 60) == "60"
        call(fork, "socket", 2, 2, 0)
        assert [state for state, _ in sockets(fork)].count("06") >= 40, sockets(fork)  # the first page of each table
        fork = snapshot.renew()
    snapshot.finish()


# ---- hostile templates ----

def failure(snapshot):
    event = snapshot.cell.expect("FAILED", timeout=30)
    assert event.phase == "template", event
    gone = snapshot.cell.expect("GONE", timeout=30)
    assert gone.clean == 1, gone
    snapshot.close()
    return event.message


@test(*ALL)
def a_template_that_makes_more_than_one_process_is_given_up(world, launcher):
    snapshot = Snapshot(launcher)
    snapshot.ask("atfork", "more")
    snapshot.init.ask("template")
    launcher.send(head(SNAPSHOT, snapshot.cell.id))
    assert "more than one process" in failure(snapshot)


@test(*ALL)
def only_a_child_of_pid_1_can_be_the_fork(world, launcher):
    snapshot = Snapshot(launcher)
    snapshot.ask("atfork", "pretend")
    snapshot.init.ask("template")
    launcher.send(head(SNAPSHOT, snapshot.cell.id))
    assert "no child of PID 1" in failure(snapshot)


@test("root", "root-v1")
def what_hangs_on_its_way_to_a_template_is_given_up_in_time(world, launcher):
    hanging, lying, silent = Snapshot(launcher), Snapshot(launcher), Snapshot(launcher)
    hanging.ask("atfork", "hang")
    hanging.init.ask("template")
    launcher.send(head(SNAPSHOT, hanging.cell.id))
    lying.ask("lie")
    launcher.send(head(SNAPSHOT, lying.cell.id))
    launcher.send(head(SNAPSHOT, silent.cell.id))
    assert "does not fork" in failure(hanging)
    assert "does not fork" in failure(lying)
    assert "does not become a template" in failure(silent)


@test(*ALL)
def a_guest_that_closes_its_control_is_given_up(world, launcher):
    snapshot = Snapshot(launcher)
    try:
        call(snapshot, "close", 4)
    except Gone:
        pass
    failure(snapshot)


@test(*ALL)
def messages_out_of_turn_end_the_cell(world, launcher):
    for messages in ((RENEW,), (SNAPSHOT, SNAPSHOT)):
        snapshot = Snapshot(launcher)
        snapshot.init.ask("template")
        for message in messages:
            launcher.send(head(message, snapshot.cell.id))
        event = snapshot.cell.expect("FORKED", "FAILED")
        if event.name == "FORKED":
            for fd in event.fds:
                os.close(fd)
            event = snapshot.cell.expect("FAILED", "FORK_EXITED")
            if event.name == "FORK_EXITED":  # its channel is closed, and it was quicker
                event = snapshot.cell.expect("FAILED")
        assert event.phase == "snapshot", event
        assert snapshot.cell.expect("GONE").clean == 1
        snapshot.close()
    cell = launcher.make(zygote=0)
    cell.start("/var/runtime/hostile", "sleep", "30")
    assert cell.read_line() == "sleeping\n"
    launcher.send(head(SNAPSHOT, cell.id))
    assert cell.expect("FAILED").phase == "snapshot" and cell.expect("GONE").clean == 1
    cell.close()
    launcher.send(head(SNAPSHOT, 999999))  # unknown: ignored
    launcher.make(zygote=0).kill()


# ---- what cannot be a snapshot ----

@test(*ALL)
def what_forks_would_share_or_lose_is_named(world, launcher):
    def descriptor(*words):
        return lambda s: call(s, *words)
    kinds = [
        ("thread", lambda s: s.ask("thread"), r"^a thread \(wor\?ker\) was started"),
        ("process", lambda s: s.ask("daemons", 1), r"^a process \(\d+, snapshot_host\w*\) was started during init and is still there"),
        ("socket", descriptor("socket", 2, 1, 0), r"^descriptor \d+ is a socket"),
        ("pipe", descriptor("pipe2", "b:", 0), r"^descriptor \d+ is a pipe"),
        ("epoll", descriptor("epoll_create1", 0), r"^descriptor \d+ is anon_inode:\[eventpoll\]"),
        ("eventfd", descriptor("eventfd2", 0, 0), r"^descriptor \d+ is anon_inode:\[eventfd\]"),
        ("memfd", descriptor("memfd_create", "s:name", 0), r"^descriptor \d+ can be written: /memfd:name"),
        ("written", descriptor("open", "s:/tmp/open", 0o101, 0o600), r"^(descriptor \d+ is open in /tmp: /tmp/open|a file in /tmp is still written to|init left files)"),
        ("read", lambda s: (s.ask("write", "/tmp/open", "x"), call(s, "open", "s:/tmp/open", 0, 0)), r"^(descriptor \d+ is open in /tmp: /tmp/open|init left files)"),
        ("status", descriptor("open", "s:/proc/self/status", 0, 0), r"^descriptor \d+ is open in /proc: /proc/2/status"),
        ("stdout", descriptor("dup2", 1, 20), r"^descriptor 20 is a pipe"),
        ("shared", descriptor("mmap", 0, 4096, 3, 0x21, -1, 0), r"^memory that its forks would share was mapped during init: /dev/zero"),
        ("shared, readable", descriptor("mmap", 0, 4096, 1, 0x21, -1, 0), r"^memory that its forks would share was mapped during init: /dev/zero"),
        ("directory", descriptor("chdir", "s:/tmp"), r"^its working directory is in /tmp"),
        ("own directory", descriptor("chdir", "s:/proc/self"), r"^its working directory is in /proc"),
        ("many", lambda s: [call(s, "socket", 1, 1, 0) for _ in range(50)], r"^descriptor \d+ is a socket"),
    ]
    for name, act, pattern in kinds:
        snapshot = Snapshot(launcher)
        act(snapshot)
        event = snapshot.request()
        assert event.name == "UNSAFE", (name, event)
        assert 1 <= len(event.findings) <= 32 and all(len(f) < 200 and f.isprintable() for f in event.findings), event.findings
        assert all(re.search(pattern, f) for f in event.findings), (name, event.findings)
        assert (len(event.findings) == 32) == (name == "many"), (name, event.findings)
        snapshot.finish()


@test(*ALL)
def a_process_whose_program_cannot_be_read_hides_from_nobody(world, launcher):
    """/proc does not show it to PID 1: the program is of the host's root, whom PID 1 is not."""
    hidden = os.path.join(world.code, "code", "unreadable")
    shutil.copy("/bin/sleep", hidden)
    os.chmod(hidden, 0o711)
    snapshot = Snapshot(launcher)
    pid = snapshot.ask("spawn", "/var/task/unreadable", 1000)
    event = snapshot.request()
    assert event.name == "UNSAFE" and event.findings == [f"a process ({pid}, of a program that cannot be read) was started during init and is still there"], event
    snapshot.finish()
    snapshot = Snapshot(launcher)
    fork = snapshot.begin()
    before = len(descendants(launcher.process.pid))
    for _ in range(3):
        assert int(fork.ask("spawn", "/var/task/unreadable", 1000)) > 0
        fork = snapshot.renew()
        assert len(descendants(launcher.process.pid)) == before
    snapshot.finish()


@test(*ALL)
def what_is_read_only_is_no_hindrance(world, launcher):
    snapshot = Snapshot(launcher)
    file = call(snapshot, "open", "s:/var/task/main.txt", 0, 0)
    folder = call(snapshot, "open", "s:/var/task", 0o200000, 0)
    random = call(snapshot, "open", "s:/dev/urandom", 0, 0)
    assert call(snapshot, "mmap", 0, 4096, 1, 1, file, 0) != "EACCES"
    assert snapshot.ask("bytes", file, 4) == "the "
    fork = snapshot.begin()
    for _ in range(3):
        assert fork.ask("bytes", file, 4) == "code" and call(fork, "fcntl", folder, 3) & 0o200000 and call(fork, "read", random, "b:", 8) == 8
        fork = snapshot.renew()
    snapshot.finish()


# ---- lasting ----

def footprint(launcher, snapshot):
    init = snapshot.cell.pid
    outer = [p for p in descendants(launcher.process.pid) if launcher_pid_inside(p) == init]
    assert len(outer) == 1, outer
    here = outer[0]
    loop = descendants(launcher.process.pid)[0]
    resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{here}/status").read()).group(1))
    loop_resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{loop}/status").read()).group(1))
    return {"fds": len(os.listdir(f"/proc/{here}/fd")), "mounts": open(f"/proc/{here}/mountinfo").read().count("\n"), "processes": len(descendants(launcher.process.pid)),
            "launcher's fds": len(os.listdir(f"/proc/{loop}/fd"))}, resident, loop_resident


def pids_inside(pid):
    """The pid that a process of a cell has in the outer namespace, which is one below this, and in its own; nothing for another."""
    try:
        with open(f"/proc/{pid}/status") as file:
            words = re.search(r"NSpid:\s+(.*)", file.read()).group(1).split()
    except OSError:
        return []
    return words[-2:] if len(words) > 2 else []


def launcher_pid_inside(pid):
    """The pid that a cell's PID 1 has in the outer namespace."""
    words = pids_inside(pid)
    return int(words[0]) if words[1:] == ["1"] else 0


@test("root", "root-v1", "root-none")
def a_thousand_forks_leave_nothing(world, launcher):
    snapshot = Snapshot(launcher)
    snapshot.ask("write", "/tmp/init", "init")
    event = snapshot.request()
    if event.name == "UNSAFE":  # /tmp cannot be layered here
        snapshot.finish()
        snapshot = Snapshot(launcher)
        event = snapshot.request()
    fork = snapshot.take(event)
    before, _, _ = footprint(launcher, snapshot)
    for turn in range(1000 if launcher.context == "root" or LONG else 300):
        if turn == 50:
            assert eventually(lambda: footprint(launcher, snapshot)[0] == before), (before, footprint(launcher, snapshot)[0])
            _, resident, loop_resident = footprint(launcher, snapshot)
        fork.ask("write", "/tmp/left", "x")
        fork.ask("daemons", turn % 3)
        fork = snapshot.renew()
    assert eventually(lambda: footprint(launcher, snapshot)[0] == before), (before, footprint(launcher, snapshot)[0])
    _, resident_after, loop_resident_after = footprint(launcher, snapshot)
    # The sanitizers keep what was freed.
    assert "--sanitized" in sys.argv or resident_after < resident + 256 and loop_resident_after < loop_resident + 1024, (resident, resident_after, loop_resident, loop_resident_after)
    snapshot.finish()


@test(*ALL)
def a_cell_with_a_template_can_be_killed_at_any_time(world, launcher):
    for turn in range(20):
        snapshot = Snapshot(launcher)
        snapshot.init.ask("template")
        launcher.send(head(SNAPSHOT, snapshot.cell.id))
        if turn % 4 > 0:
            snapshot.take(snapshot.cell.expect("FORKED"))
        if turn % 4 > 1:
            launcher.send(head(RENEW, snapshot.cell.id))
        if turn % 4 > 2:
            launcher.send(head(RENEW, snapshot.cell.id))
        launcher.turns(turn // 4)
        launcher.send(head(KILL, snapshot.cell.id))
        while (event := snapshot.cell.expect("FORKED", "FORK_EXITED", "EXITED", "GONE")).name != "GONE":
            for fd in event.fds:
                os.close(fd)
        assert event.clean == 1, event
        snapshot.close()


def frozen(launcher, cell):
    """Whether the kernel says that all of a cell stands still."""
    found = 0
    for path in launcher_tests.cgroups_of(launcher.instance, launcher.base):
        for name, stands in (("cgroup.events", "frozen 1"), ("freezer.state", "FROZEN")):
            if path.endswith(f"/c{cell.id}") and os.path.exists(f"{path}/{name}"):
                with open(f"{path}/{name}") as file:
                    found += stands in file.read()
    return found > 0


@test(*LIMITED)
def a_frozen_snapshot_goes_on_when_it_is_thawed(world, launcher):
    v1 = launcher.hello["freezer"] == "v1"
    snapshot = Snapshot(launcher)
    fork = snapshot.begin()
    for _ in range(3):
        os.write(snapshot.cell.extra["freeze"], b"FROZEN" if v1 else b"1")
        assert eventually(lambda: frozen(launcher, snapshot.cell)), "the kernel does not freeze it"
        fork.say("recall")
        the_watch_looks(launcher)
        fork.channel.settimeout(0)
        try:
            assert not fork.line(), "it was not frozen"
        except BlockingIOError:
            pass
        fork.channel.settimeout(20)
        os.write(snapshot.cell.extra["freeze"], b"THAWED" if v1 else b"0")
        assert fork.line() == "nothing"
        fork = snapshot.renew()
    os.write(snapshot.cell.extra["freeze"], b"FROZEN" if v1 else b"1")
    snapshot.finish()


@in_long_runs(test("root", "root-v1", "root-none", "single"))
def figures(world, launcher):
    snapshot = Snapshot(launcher)
    fork = snapshot.begin()
    times = []
    for _ in range(200):
        fork.close()
        start = time.perf_counter()
        launcher.send(head(RENEW, snapshot.cell.id))
        snapshot.cell.expect("FORK_EXITED")
        event = snapshot.cell.expect("FORKED")
        times.append(time.perf_counter() - start)
        fork = snapshot.take(event)
    times.sort()
    print(f"    RENEW to FORKED: p50 {statistics.median(times) * 1e3:.2f} ms, p95 {times[190] * 1e3:.2f} ms")
    snapshot.finish()


# ---- real interpreters ----

PYTHON = """
import ctypes, os, random, uuid
drawn, count, lines = random.random(), 0, open("/var/task/main.py")
first = lines.readline()
open("/tmp/init", "w").write("init")
def on(processor):
    os.sched_setaffinity(0, {processor})
    return ctypes.CDLL(None).sched_getcpu()
def handler(event, context):
    global count
    count += 1
    left = open("/tmp/init").read()
    open("/tmp/init", "w").write("fork")
    return {"count": count, "drawn": drawn, "random": [random.random(), str(uuid.uuid4()), os.urandom(4).hex()], "pid": os.getpid(), "left": left,
            "tmp": os.listdir("/tmp"), "line": lines.readline(),
            "processor": all(on(p) == p for p in sorted(os.sched_getaffinity(0)))}
"""

NODE = """
const fs = require('fs'), crypto = require('crypto');
let count = 0, ticks = 0;
const drawn = Math.random();
const early = fs.promises.readFile('/var/task/main.js', 'utf8');
process.on('SIGTERM', () => {});
setInterval(() => ticks++, 1).unref();
fs.writeFileSync('/tmp/init', 'init');
exports.handler = async () => {
  count++;
  const left = fs.readFileSync('/tmp/init', 'utf8');
  fs.writeFileSync('/tmp/init', 'fork');
  const again = await fs.promises.readFile('/var/task/main.js', 'utf8');
  await new Promise((resolve) => setTimeout(resolve, 5));
  return { count, drawn, random: [Math.random(), crypto.randomUUID(), crypto.randomBytes(4).toString('hex')], pid: process.pid, left,
    tmp: fs.readdirSync('/tmp'), same: again === await early, ticks: ticks > 0 };
};
"""


def in_interpreter(language, *contexts):
    def add(function):
        def run(world):
            why = interpreters.missing(language)
            if why:
                raise launcher_tests.Skipped(why)
            for context, launcher in world.launch_each(*contexts, runtime=interpreters.GUEST):
                with launcher:
                    launcher.zygote = interpreters.boot_zygote(launcher, language)
                    function(world, launcher)
                    assert not launcher.diagnostics(), launcher.diagnostics()
        run.__name__ = function.__name__
        launcher_tests.TESTS.append((run, ()))
        return function
    return add


def check_fresh(world, launcher, language, code, **expected):
    function = Function(world, launcher, language, code)
    stream = function.begin()
    seen = []
    for _ in range(20):
        seen.append(stream.invoke({}))
        stream = function.renew()
    for answer in seen:
        assert answer["count"] == 1 and answer["drawn"] == seen[0]["drawn"] and answer["left"] == "init" and answer["tmp"] == ["init"], answer
        assert all(answer[k] == v for k, v in expected.items()), answer
    for i in range(3):
        assert len({answer["random"][i] for answer in seen}) == len(seen), i
    assert len({answer["pid"] for answer in seen}) == len(seen)
    function.finish()


@in_interpreter("python", "root", "root-v1", "single")
def every_invocation_of_a_python_function_is_its_first(world, launcher):
    check_fresh(world, launcher, "python", PYTHON, line="import ctypes, os, random, uuid\n", processor=True)


@in_interpreter("node", "root", "root-v1", "single")
def every_invocation_of_a_node_function_is_its_first(world, launcher):
    check_fresh(world, launcher, "node", NODE, same=True, ticks=True)


@in_interpreter("python", "root")
def what_python_functions_cannot_keep_is_named(world, launcher):
    handler = "\ndef handler(event, context): return 1\n"
    for code, expected in (("import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()", "a thread (pythonN.N) was started"),
                           ("import socket\ns = socket.socket()", "descriptor N is a socket"), ("import subprocess\np = subprocess.Popen(['sleep', '99'])", "a process (N, sleep) was started"),
                           ("import mmap\nm = mmap.mmap(-1, 4096)", "memory that its forks would share"), ("f = open('/tmp/f', 'w')", "a file in /tmp is still written to"),
                           ("import os\nos.chdir('/tmp')", "its working directory is in /tmp")):
        findings = Function(world, launcher, "python", code + handler).unsafe()
        assert any(f.startswith(expected) for f in findings), (code, findings)


@in_interpreter("node", "root")
def what_node_functions_cannot_keep_is_named(world, launcher):
    handler = "\nexports.handler = async () => 1;\n"
    for code, expected in (("new (require('worker_threads').Worker)('setInterval(() => {}, 1000)', { eval: true });", "a thread (node) was started"),
                           ("require('http').createServer().listen(8080);", "descriptor N is a socket"), ("require('child_process').spawn('/bin/sleep', ['99']);", "a process (N, sleep) was started"),
                           ("const fd = require('fs').openSync('/tmp/f', 'w');", "a file in /tmp is still written to")):
        findings = Function(world, launcher, "node", code + handler).unsafe()
        assert any(f.startswith(expected) for f in findings), (code, findings)


def processor_ms(launcher, snapshot):
    """What PID 1 of a snapshot's cell, and all else in the cell, have used so far."""
    init = next(p for p in descendants(launcher.process.pid) if launcher_pid_inside(p) == snapshot.cell.pid)
    with open(f"/proc/{init}/schedstat") as file:
        own = int(file.read().split()[0]) / 1e6
    text = os.pread(snapshot.cell.extra["cpuUsage"], 4096, 0).decode() if "cpuUsage" in snapshot.cell.extra else "0"
    return own, int(text) / 1e6 if text.strip().isdigit() else int(re.search(r"usage_usec (\d+)", text).group(1)) / 1e3


def measure(world, launcher, language, code):
    function = Function(world, launcher, language, code)
    stream = function.begin()
    renews, invokes = [], []
    before = processor_ms(launcher, function)
    for _ in range(100):
        start = time.perf_counter()
        stream.invoke({})
        invokes.append(time.perf_counter() - start)
        function.fork.close()
        start = time.perf_counter()
        launcher.send(head(RENEW, function.cell.id))
        function.cell.expect("FORK_EXITED")
        event = function.cell.expect("FORKED")
        renews.append(time.perf_counter() - start)
        stream = function.take(event)
    after = processor_ms(launcher, function)
    renews.sort()
    invokes.sort()
    print(f"    {language}: RENEW to FORKED p50 {renews[50] * 1e3:.2f} ms, p95 {renews[95] * 1e3:.2f} ms; an invocation {invokes[50] * 1e3:.2f} ms; processor time of one "
          f"of both: PID 1 {(after[0] - before[0]) / 100:.2f} ms, the function's {(after[1] - before[1]) / 100:.2f} ms")
    function.finish()


@in_long_runs(in_interpreter("python", "root"))
def figures_of_python(world, launcher):
    measure(world, launcher, "python", "def handler(event, context): return 1\n")


@in_long_runs(in_interpreter("node", "root"))
def figures_of_node(world, launcher):
    measure(world, launcher, "node", "exports.handler = async () => 1;\n")


if __name__ == "__main__":
    os.environ.setdefault("FLINT_CONTEXTS", " ".join(ALL))
    sys.exit(launcher_tests.main())
