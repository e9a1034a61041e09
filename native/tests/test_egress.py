"""The network of cells, in a small internet of its own (internet.py). Ends with "N passed, N failed, N skipped"."""
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

import control
import internet
import test_launcher as base
from control import Cell, text
from internet import HOST, HOST6, LAN_HOST, LAN_PEER, PORT, PUBLIC, PUBLIC6, PUBLIC_TOO, SPECIAL, SPECIAL6
from snapshots import SNAPSHOT_HOST, Snapshot, sockets

WALLS = os.path.join(os.path.dirname(control.LAUNCHER), "flint-launcher-walls")
BLOCKED = "EHOSTUNREACH"
LIMIT, PATIENCE = 1.5, 20  # seconds, as in programs/net_guest.py
TESTS = []


def test(function):
    TESTS.append(function)
    return function


class Network:
    """A launcher with egress on, and a resolver behind its DNS sockets."""

    def __init__(self, world, context="root", without=None, options=()):
        control.LAUNCHER, product = WALLS if without else control.LAUNCHER, control.LAUNCHER
        try:
            self.launcher = world.launch(context, code=world.guests, options=["--egress", "on", *options, *(["--without", without] if without else [])])
        finally:
            control.LAUNCHER = product
        self.guests = []

    def __enter__(self):
        hello = self.launcher.hello
        assert hello["egress"] is True, hello["missing"]
        event = self.launcher.expect(0, "EGRESS")
        self.udp, self.tcp = (socket.socket(fileno=fd) for fd in event.fds)
        return self

    def __exit__(self, *_):
        for guest in self.guests:
            guest.close()
        self.udp.close()
        self.tcp.close()
        self.launcher.close()

    def guest(self, network=1):
        guest = Guest(self.launcher, network)
        self.guests.append(guest)
        return guest


class Guest:
    """A Python program in a cell, told what to try."""

    def __init__(self, launcher, network):
        number = launcher.make_nowait(network=network)
        self.cell = Cell(launcher, launcher.expect(number, "READY"))
        self.cell.start("/usr/bin/python3.11", "-I", "/var/task/net_guest.py", files=4096, memory=512)
        self.lines = self.cell.channel.makefile("r")

    def __getattr__(self, name):
        def ask(*arguments):
            self.cell.channel.settimeout(60)
            self.cell.channel.send(json.dumps([name, *arguments]).encode() + b"\n")
            return json.loads(self.lines.readline())
        return ask

    def close(self):
        if self.cell:
            cell, self.cell = self.cell, None
            cell.kill()
            self.lines.close()
            cell.finish()
            cell.close()


def reached(answers):
    return [a for pair in answers for a in pair if a.startswith("ok")]


def processes(name):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as file:
                comm = file.read().strip()
            with open(f"/proc/{pid}/stat") as file:
                state = file.read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if comm.startswith(name) and state not in "ZX":
            found.append(int(pid))
    return found


def ours(launcher, name):
    own = set(base.descendants(launcher.process.pid))
    return [pid for pid in processes(name) if pid in own]


# ---- what is open ----

@test
def public_addresses_are_reached_by_tcp_and_udp_and_both_families(world):
    with Network(world) as network:
        assert ours(network.launcher, "pas") == []  # which costs memory, until it is needed
        guest = network.guest()
        assert guest.both(PUBLIC, PORT) == [f"ok tcp {PUBLIC}", f"ok udp {PUBLIC}"]
        assert guest.both(PUBLIC6, PORT) == [f"ok tcp {PUBLIC6}", f"ok udp {PUBLIC6}"]
        assert guest.interfaces() == ["lo", "eth0"]
        assert guest.addresses()[0].startswith("198.18.")
        assert network.launcher.diagnostics() == ""


@test
def no_packet_of_a_new_cells_first_connection_is_lost(world):
    """Also while the kernel is slow to notice that links are up: others' links come and go."""
    busy = [subprocess.Popen(["sh", "-c", f"while :; do ip link add busy{i} type dummy; ip link set busy{i} up; ip link del busy{i}; done"], stderr=subprocess.DEVNULL) for i in range(2)]
    try:
        for turn in range(4):
            with Network(world) as network:
                network.launcher.zygote, _ = network.launcher.boot_zygote(SNAPSHOT_HOST)
                for _ in range(15):
                    snapshot = Snapshot(network.launcher, network=1)
                    took = snapshot.ask("reach", PUBLIC)
                    names, numbers = [line.split()[1:] for line in snapshot.ask("read", "/proc/net/snmp").split("|") if line.startswith("Tcp:")]
                    assert dict(zip(names, numbers))["RetransSegs"] == "0", (turn, took)
                    snapshot.finish()
    finally:
        for process in busy:
            process.kill()
            process.wait()


@test
def ordinary_users_have_the_same_network(world):
    for context in ("subuid", "single"):
        try:
            with Network(world, context) as network:
                guest, other = network.guest(), network.guest()
                assert guest.both(PUBLIC, PORT) == [f"ok tcp {PUBLIC}", f"ok udp {PUBLIC}"], context
                assert guest.both(PUBLIC6, PORT) == [f"ok tcp {PUBLIC6}", f"ok udp {PUBLIC6}"], context
                address = other.serve(4007)[0]
                refused = [(a, PORT) for a in (*SPECIAL, *SPECIAL6, HOST, HOST6, LAN_HOST, LAN_PEER)] + [(address, 4007)]
                assert reached(guest.many(refused)) == [], context
        except base.Skipped as reason:
            print(f"    not in {context}: {reason}")


@test
def names_are_asked_of_the_worker(world):
    """The worker's end of DNS is played by this test: what it answers is what the guest gets."""
    with Network(world) as network:
        guest = network.guest()
        assert "nameserver 198.18.0.1" in guest.read("/etc/resolv.conf")
        stop = threading.Event()

        def answer():
            while not stop.is_set():
                if not select.select([network.udp], [], [], 0.05)[0]:
                    continue
                question, peer = network.udp.recvfrom(2000)
                assert peer[0] == guest.address, peer
                end = question.index(b"\0", 12) + 5
                a = question[end - 4:end - 2] == b"\0\1"
                records = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(PUBLIC) if a else b""
                network.udp.sendto(question[:2] + struct.pack(">HHHHH", 0x8180, 1, int(a), 0, 0) + question[12:end] + records, peer)
        guest.address = guest.addresses()[0]
        assert socket.inet_ntoa(struct.pack(">I", guest.cell.address)) == guest.address
        assert network.guest(network=0).cell.address == 0
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            assert guest.resolve("example.test") == [PUBLIC]
            assert guest.named_tcp("example.test", PORT) == f"tcp {PUBLIC}"
        finally:
            stop.set()
            thread.join()
        assert guest.tcp("198.18.0.1", 54) == "error timeout"
        assert guest.tcp("198.18.0.1", 22) == "error timeout"


@test
def an_unpacked_root_has_the_routers_resolver_too(world):
    image = os.path.join(world.folder, "image")
    for name in ("bin", "etc"):
        os.makedirs(f"{image}/{name}", exist_ok=True)
    for program in ("sh", "cat"):
        shutil.copy(f"/bin/{program}", f"{image}/bin/{program}")
        for path in re.findall(r"/\S+", subprocess.run(["ldd", f"/bin/{program}"], capture_output=True, text=True).stdout):
            os.makedirs(image + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, image + path)
    for plain, context in itertools.product((True, False), ("root", "single")):
        path = f"{image}/etc/resolv.conf"
        if plain:
            with open(path, "w") as file:
                file.write("the image's own\n")
        elif os.path.exists(path):
            os.unlink(path)
        subprocess.run(["chmod", "-R", "a+rX", image], check=True)
        with world.launch(context, options=["--egress", "on", "--root", image]) as launcher:
            number = launcher.make_nowait(network=1)
            exited = Cell(launcher, launcher.expect(number, "READY")).run("/bin/sh", "-c", "cat /etc/resolv.conf")
            assert exited.out.startswith("nameserver 198.18.0.1\n") == plain, (plain, context, exited)
            assert ("names cannot be resolved" in launcher.diagnostics()) != plain, launcher.diagnostics()
    with open(path, "w") as file:
        file.write("the image's own\n")


@test
def a_cell_without_network_has_its_loopback_alone(world):
    with Network(world) as network:
        guest = network.guest(network=0)
        assert guest.interfaces() == ["lo"]
        assert reached(guest.many([(a, PORT) for a in (PUBLIC, PUBLIC6, HOST, "198.18.0.1", "169.254.169.254")])) == []
    launcher = world.launch("root", code=world.guests)
    try:
        assert launcher.hello["egress"] is False and launcher.hello["missing"] == []
        number = launcher.make_nowait(network=1)
        failed = launcher.expect(number, "FAILED")
        assert failed.phase == "network", failed
        launcher.expect(number, "GONE")
    finally:
        launcher.close()


# ---- what is closed, and by which wall ----

@test
def special_addresses_are_refused_and_reached_without_their_wall(world):
    targets = [(a, PORT) for a in (*SPECIAL, *SPECIAL6)]
    with Network(world) as network:
        answers = network.guest().many(targets)
        assert reached(answers) == [], answers
        wrong = [(t, a) for t, a in zip(targets, answers) if a[0] not in (BLOCKED, "EACCES")]
        assert wrong == [], wrong  # refused at once, not by silence
    with Network(world, without="egress-special") as network:
        answers = network.guest().many(targets, PATIENCE)
        kept = [t[0] for t, a in zip(targets, answers) if not a[0].startswith("ok") or not a[1].startswith("ok")]
        assert kept == ["fec0::5"] or kept == [], (kept, answers)


@test
def an_address_is_refused_in_every_way_of_writing_it(world):
    forms = ["10.9.9.9", "10.9.2313", "10.592137", "168364297", "0x0a090909", "0xa.9.9.9", "012.011.011.011", "::ffff:10.9.9.9", "::ffff:a09:909", "::10.9.9.9",
             "64:ff9b::10.9.9.9", "2002:a09:909::", "0:0:0:0:0:ffff:10.9.9.9", "169.254.169.254", "2852039166", "0xa9fea9fe", "169.16689662", "::ffff:169.254.169.254",
             "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"]
    with Network(world) as network:
        answers = network.guest().many([(f, PORT) for f in forms])
        assert reached(answers) == [], list(zip(forms, answers))


@test
def the_hosts_loopback_is_nowhere(world):
    """What means this host is the cell itself, or nothing: pasta's ways to the host's loopback are shut, whatever is allowed."""
    forms = ["127.0.0.1", "127.1", "127.255.255.254", "0", "0.0.0.0", "localhost", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "198.18.0.1", "198.19.0.1", "198.19.0.2",
             "fd46:6c69:6e74::1", "fd46:6c69:6e74:1::1", "fd46:6c69:6e74:1::2", "fe80::1", "224.0.0.1", "255.255.255.255", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::"]
    everything = ["--egress-allow", "0.0.0.0/0,::/0"]
    for options in ((), everything):
        with Network(world, options=options) as network:
            answers = network.guest().many([(f, PORT) for f in forms])
            assert reached(answers) == [], list(zip(forms, answers))
    with Network(world, options=everything) as network:  # so that the list above means something
        assert len(reached(network.guest().many([(a, PORT) for a in SPECIAL], PATIENCE))) == 2 * len(SPECIAL)


@test
def the_hosts_own_addresses_are_refused_and_reached_without_their_wall(world):
    own = [(HOST, PORT), (HOST6, PORT), ("2600:10::", PORT)]
    with Network(world) as network:
        answers = network.guest().many([*own, (LAN_HOST, PORT), ("fd77::2", PORT)])
        assert reached(answers) == [], answers
    with Network(world, without="egress-host") as network:
        answers = network.guest().many(own[:2], PATIENCE)
        assert len(reached(answers)) == 4 and all("host" in a for a in reached(answers)), answers


@test
def an_address_that_the_host_gets_later_is_refused_from_then_on(world):
    with Network(world) as network:
        guest = network.guest()
        for address, length, more in (("45.10.0.77", 32, ()), ("2600:10::77", 128, ("nodad",))):
            internet.run("ip", "addr", "add", f"{address}/{length}", "dev", "up0", *more)
            try:
                assert base.eventually(lambda: reached([guest.both(address, PORT, LIMIT)]) == [])
                began = time.monotonic()
                while time.monotonic() < began + 0.5:
                    assert reached([guest.both(address, PORT, LIMIT)]) == []
            finally:
                internet.run("ip", "addr", "del", f"{address}/{length}", "dev", "up0")
        assert guest.both(PUBLIC, PORT)[0] == f"ok tcp {PUBLIC}"


@test
def the_operator_opens_exactly_what_is_listed(world):
    options = ["--egress-allow", f"10.9.9.0/24,10.77.0.0/24,fd99::/64,{HOST}", "--egress-deny", f"{PUBLIC_TOO}/32,2600:99::/32,10.9.9.128/25"]
    with Network(world, options=options) as network:
        guest = network.guest()
        for address in ("10.9.9.9", LAN_PEER, "fd99::1"):
            assert len(reached([guest.both(address, PORT)])) == 2, address
        assert reached([guest.both(HOST, PORT)]) == [f"ok host 0.0.0.0"] * 2  # an entry of its own
        closed = [a for a in (*SPECIAL, *SPECIAL6) if a not in ("10.9.9.9", "fd99::1")]
        # A range never opens the host's own address in it, and what is denied stays so.
        answers = guest.many([(a, PORT) for a in (*closed, LAN_HOST, HOST6, PUBLIC_TOO, PUBLIC6)])
        assert reached(answers) == [], answers
    for wrong in ("10.0.0.1/8", "10.0.0.0/33", "ten", "10.0.0.0/8,,", "10.0.0.0/8 ", "::1/129", "1.2.3.4/", "1.2.3.4/-1"):
        ended = subprocess.run([control.LAUNCHER, "probe", "--egress", "on", "--egress-allow", wrong], capture_output=True)
        assert ended.returncode == 2, wrong


@test
def a_cell_does_not_reach_another_and_does_without_the_wall(world):
    for without, expected in ((None, 0), ("egress-cells", 4)):
        with Network(world, without=without) as network:
            guest, other = network.guest(), network.guest()
            addresses = other.serve(4007)
            answers = guest.many([(a, 4007) for a in addresses], PATIENCE if expected else LIMIT)
            assert len(reached(answers)) == expected, (without, answers)
            assert len(other.heard()) == expected // 2


@test
def a_source_that_is_not_ones_own_is_dropped_and_passes_without_the_wall(world):
    """IP_FREEBIND needs no right: a guest can bind to anybody's address. The victim would get the answers."""
    for without, expected in ((None, 0), ("egress-source", 1)):
        with Network(world, without=without) as network:
            guest, victim = network.guest(), network.guest()
            address = victim.serve(4000)[1]
            assert guest.udp(PUBLIC6, PORT, address, 4000).startswith("error")
            assert base.eventually(lambda: len(victim.heard()) == expected), (without, victim.heard())
            assert guest.udp(PUBLIC, PORT, victim.addresses()[0], 4000).startswith("error")
            assert guest.udp(PUBLIC6, PORT, "fd46:6c69:6e74:1::2", 4000).startswith("error")


@test
def strangers_do_not_come_in_by_the_port_of_a_flow(world):
    """pasta's UDP sockets are open to everybody on the host; the router knows who was asked."""
    send = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind((sys.argv[1], 0)); [s.sendto(b'stranger', (sys.argv[2], int(p))) for p in sys.argv[3:]]"
    with Network(world) as network:
        guest = network.guest()
        guest.serve(4007)
        guest.send_served(PUBLIC, PORT, "ask")
        assert base.eventually(lambda: guest.heard() == [[f"udp {PUBLIC}", PUBLIC]])
        with open("/proc/net/udp") as file:
            ports = [port for port in (int(line.split()[1].split(":")[1], 16) for line in file.readlines()[1:]) if 32768 <= port < 61000]
        assert ports
        for stranger in (PUBLIC_TOO, PUBLIC):  # another address; the same from another port
            subprocess.run(["ip", "netns", "exec", "inet", sys.executable, "-c", send, stranger, HOST, *map(str, ports)], check=True)
        guest.send_served(PUBLIC, PORT, "ask")
        assert base.eventually(lambda: len(guest.heard()) == 2)
        assert guest.heard() == [[f"udp {PUBLIC}", PUBLIC]] * 2


@test
def a_flood_of_questions_hardly_reaches_the_worker(world):
    with Network(world) as network:
        guest, came, ended = network.guest(), [], threading.Event()

        def read():
            while True:
                last = ended.is_set()
                if select.select([network.udp], [], [], 0.2)[0]:
                    came.append(network.udp.recv(100))
                elif last:
                    break
        reader = threading.Thread(target=read)
        reader.start()
        began = time.monotonic()
        guest.flood("198.18.0.1", 53, 50_000)
        seconds = time.monotonic() - began
        ended.set()
        reader.join()
        assert 100 <= len(came) <= 500 * (2 + seconds), (len(came), seconds)


@test
def a_cell_has_so_many_connections_at_a_time(world):
    for without, options, expected in ((None, ["--egress-connections", "16"], [16, BLOCKED]), ("egress-limit", ["--egress-connections", "16"], [40, "all"])):
        with Network(world, without=without, options=options) as network:
            guest, other = network.guest(), network.guest()
            assert guest.hold(PUBLIC, PORT, 40) == expected
            assert len(reached([other.both(PUBLIC, PORT)])) == 2, other.both(PUBLIC, PORT)  # the neighbour's count is its own


@test
def a_guest_can_neither_see_nor_change_the_rules(world):
    with Network(world) as network:
        guest = network.guest()
        assert set(guest.socket_kinds().values()) == {"EPERM"}, guest.socket_kinds()
        changes = guest.change_routes()
        assert set(changes.values()) <= {"EPERM", "EACCES", "EROFS"}, changes
        assert guest.both(PUBLIC, PORT)[0].startswith("ok")


@test
def a_host_that_forwards_nothing_changes_nothing(world):
    """What Docker does to a host: forwarding on, its FORWARD policy drop."""
    internet.run("nft", "add table ip docker; add chain ip docker forward { type filter hook forward priority 0; policy drop; }")
    try:
        with Network(world) as network:
            assert network.guest().both(PUBLIC, PORT) == [f"ok tcp {PUBLIC}", f"ok udp {PUBLIC}"]
    finally:
        internet.run("nft", "delete", "table", "ip", "docker")


# ---- ends ----

def host_state():
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, check=True).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, check=True).stdout
    routes = subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, check=True).stdout
    return rules, links, routes


def namespaces(pids):
    found = set()
    for pid in pids:
        try:
            found.add(os.readlink(f"/proc/{pid}/ns/net"))
        except OSError:
            pass
    return found


@test
def nothing_is_left_when_the_launcher_is_killed(world):
    before = host_state()
    network = Network(world).__enter__()
    guest = network.guest()
    assert guest.both(PUBLIC, PORT)[0].startswith("ok")
    assert host_state() == before  # the host has no rule, link or route of ours even now
    assert ours(network.launcher, "passt") or ours(network.launcher, "pasta")
    own = base.descendants(network.launcher.process.pid)
    made = namespaces(own) - {os.readlink("/proc/self/ns/net")}
    assert made
    network.launcher.process.kill()
    network.launcher.process.wait()
    network.udp.close()
    network.tcp.close()
    assert base.eventually(lambda: not any(base.alive(pid) for pid in own)), [p for p in own if base.alive(p)]
    assert not made & namespaces(filter(str.isdigit, os.listdir("/proc")))
    assert host_state() == before
    network.launcher.socket.close()


@test
def pasta_comes_back_and_the_rules_stay(world):
    with Network(world) as network:
        guest = network.guest()
        for pid in ours(network.launcher, "pas"):
            os.kill(pid, signal.SIGKILL)
        assert base.eventually(lambda: guest.both(PUBLIC, PORT, LIMIT)[0].startswith("ok"), 20)
        assert base.eventually(lambda: guest.both(PUBLIC6, PORT, LIMIT)[0].startswith("ok"), 20)
        assert reached(guest.many([(a, PORT) for a in (*SPECIAL, HOST)])) == []
        assert "pasta ended" in network.launcher.diagnostics()


@test
def rules_that_cannot_follow_the_host_end_all_traffic_until_they_can(world):
    with Network(world) as network:
        guest = network.guest()
        warden, = ours(network.launcher, "flint-egress")
        hidden = ["nsenter", f"--mount=/proc/{warden}/ns/mnt"]
        nft = os.path.realpath(shutil.which("nft"))
        internet.run(*hidden, "mount", "--bind", "/dev/null", nft)
        internet.run("ip", "addr", "add", "45.10.0.78/32", "dev", "up0")
        try:
            assert base.eventually(lambda: reached([guest.both(PUBLIC, PORT, LIMIT)]) == [])
            assert base.eventually(lambda: ours(network.launcher, "pas") == [])
            assert "could not follow" in network.launcher.diagnostics()
            internet.run(*hidden, "umount", nft)
            assert base.eventually(lambda: len(reached([guest.both(PUBLIC, PORT, LIMIT)])) == 2, 20)
            assert reached([guest.both("45.10.0.78", PORT)]) == []
        finally:
            internet.run("ip", "addr", "del", "45.10.0.78/32", "dev", "up0")


@test
def a_host_with_one_family_gives_its_functions_that_one(world):
    for route, there, gone, why in ((("default", "via", internet.GATEWAY), PUBLIC6, PUBLIC, "v4"), (("default", "via", internet.GATEWAY6), PUBLIC, PUBLIC6, "v6")):
        internet.run("ip", "route", "del", *route)
        try:
            with Network(world) as network:
                guest = network.guest()
                assert len(reached([guest.both(there, PORT)])) == 2, why
                assert guest.both(gone, PORT)[0] == "ENETUNREACH", (why, guest.both(gone, PORT))
                assert guest.tcp("198.18.0.1", 22) == "error timeout", why  # the router, where names are asked for, has a route
        finally:
            internet.run("ip", "route", "add", *route)


@test
def without_its_warden_the_launcher_ends_and_pasta_with_it(world):
    network = Network(world).__enter__()
    network.guest()
    pasta = ours(network.launcher, "pas")
    warden, = ours(network.launcher, "flint-egress")
    os.kill(warden, signal.SIGKILL)
    assert network.launcher.process.wait(20) == 0
    assert base.eventually(lambda: not any(base.alive(pid) for pid in pasta))
    assert "warden" in network.launcher.diagnostics()
    network.udp.close()
    network.tcp.close()


@test
def a_dead_cells_connections_are_forgotten(world):
    with Network(world) as network:
        warden, = ours(network.launcher, "flint-egress")
        guest = network.guest()
        for _ in range(20):
            guest.keep(PUBLIC, PORT)
        address = guest.addresses()[0]
        pid = guest.cell.pid

        def tracked():
            return subprocess.run([*world.in_router(network), "sh", "-c", "cat /proc/net/nf_conntrack"], capture_output=True, text=True).stdout.count(f"src={address}")
        before = tracked()
        if before == 0:
            raise base.Skipped("the kernel does not list connections (CONFIG_NF_CONNTRACK_PROCFS)")
        assert before >= 20, (before, pid, warden)
        guest.close()
        assert base.eventually(lambda: tracked() == 0), tracked()


@test
def what_is_missing_is_said_and_refused(world):
    """Without a default route, pasta or nft there is no egress, never a weaker one."""
    hide = "mount --bind /dev/null /usr/{} && exec \"$@\""
    for what, prefix in (("pasta", ["unshare", "-m", "sh", "-c", hide.format("bin/pasta"), "sh"]), ("nft", ["unshare", "-m", "sh", "-c", hide.format("sbin/nft"), "sh"]),
                         ("default route", ["unshare", "-n"])):
        launcher = control.Launcher(world.guests, f"miss{os.getpid()}"[:16], prefix, options=["--egress", "on"])
        try:
            assert launcher.hello["egress"] is False
            missing, = [m for m in launcher.hello["missing"] if m["what"] == "egress"]
            assert what in missing["why"] and missing["fix"], missing
            number = launcher.make_nowait(network=1)
            assert launcher.expect(number, "FAILED").phase == "network"
            launcher.expect(number, "GONE")
            number = launcher.make_nowait()
            launcher.expect(number, "READY")
        finally:
            launcher.close()


@test
def what_a_fork_had_unsent_is_gone_with_it(world):
    """Nobody reads at the other end: the kernel would keep such sockets, and their bytes in the cell's memory, for minutes after their process."""
    with Network(world) as network:
        network.launcher.zygote, _ = network.launcher.boot_zygote(SNAPSHOT_HOST)
        snapshot = Snapshot(network.launcher, network=1, memory=128)
        fork = snapshot.begin()
        for turn in range(4):
            assert sockets(fork) == []
            sent = fork.ask("pour", PUBLIC, 8)
            assert int(sent) > 8 << 20, sent
            held = sockets(fork)
            assert len(held) >= 8 and sum(int(queues.split(":")[0], 16) for _, queues in held) > 1 << 20, held
            began = time.monotonic()
            fork = snapshot.renew()
            print(f"    {int(sent) / 1e6:.0f} MB sent; renewed in {(time.monotonic() - began) * 1e3:.0f} ms")
        snapshot.finish()


# ---- what it costs ----

@base.in_long_runs(test)
def what_a_network_costs(world):
    with Network(world) as network:
        for name, kind in (("without", 0), ("with", 1)):
            times, began = [], time.process_time()
            for _ in range(60):
                start = time.monotonic()
                number = network.launcher.make_nowait(network=kind)
                cell = Cell(network.launcher, network.launcher.expect(number, "READY"))
                times.append(time.monotonic() - start)
                cell.kill()
                cell.expect("GONE")
                cell.close()
            print(f"    a cell {name} network, ready: p50 {statistics.median(times) * 1e3:.2f} ms, p95 {sorted(times)[56] * 1e3:.2f} ms")
            began = busy()
            cells = [network.launcher.make_nowait(network=kind) for _ in range(100)]
            ready = [Cell(network.launcher, network.launcher.expect(c, "READY")) for c in cells]
            print(f"      processor time of the whole machine while 100 were made: {(busy() - began) / 10:.2f} ms each")
            for cell in ready:
                cell.kill()
            for cell in ready:
                cell.expect("GONE")
                cell.close()
        server = internet.download_server(PUBLIC, 9000)
        try:
            guest = network.guest()
            size = 1 << 29
            got, seconds = guest.download(PUBLIC, 9000, size)
            assert got == size
            print(f"    one download over TCP: {size / seconds / 1e6 * 8:.0f} Mbit/s")
        finally:
            os.kill(server, signal.SIGKILL)
            os.waitpid(server, 0)
        for pid in [*ours(network.launcher, "pas"), *ours(network.launcher, "flint-egress")]:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                pss = [line.split()[1] for line in file if line.startswith("Pss:")][0]
            with open(f"/proc/{pid}/comm") as file:
                print(f"    memory of {file.read().strip()}: {int(pss) / 1024:.1f} MB")


def busy():
    """Processor time that the machine has spent on anything, in hundredths of a second."""
    with open("/proc/stat") as file:
        fields = [int(f) for f in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4])


class World(base.World):
    def __init__(self):
        super().__init__()
        self.guests = os.path.join(self.folder, "guests")
        shutil.copytree(self.code, self.guests, symlinks=True)
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs", "net_guest.py"), os.path.join(self.guests, "code"))

    def in_router(self, network):
        """The words that run a program in the router's namespace."""
        pid = subprocess.run(["sh", "-c", "for l in /proc/%d/fd/*; do readlink $l; done" % ours(network.launcher, "flint-egress")[0]], capture_output=True, text=True).stdout
        inode = [line for line in pid.split() if line.startswith("net:[")]
        assert len(inode) == 1, pid
        warden = ours(network.launcher, "flint-egress")[0]
        for fd in os.listdir(f"/proc/{warden}/fd"):
            if os.readlink(f"/proc/{warden}/fd/{fd}") == inode[0]:
                return ["nsenter", f"--net=/proc/{warden}/fd/{fd}"]


def main():
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
    results = {"passed": 0, "failed": 0, "skipped": 0}
    chosen = [t for t in TESTS if not wanted or any(w in t.__name__ for w in wanted)]
    lacking = "these tests start as root" if os.geteuid() != 0 else next(
        (f"{name} is not installed" for name in ("pasta", "nft", "ip", "unshare") if not shutil.which(name)), None)
    if lacking:
        def skip():
            raise base.Skipped(lacking)
        for function in chosen:
            base.run_one(results, function.__name__, skip)
    else:
        internet.enter()
        servers, world = internet.build(), World()
        internet.run("mknod", "/run/tun", "c", "10", "200")
        os.chmod("/run/tun", 0o666)
        internet.run("mount", "--bind", "/run/tun", "/dev/net/tun")
        try:
            for function in chosen:
                base.run_one(results, function.__name__, lambda: function(world))
        finally:
            world.remove()
            for pid in servers:
                os.kill(pid, signal.SIGKILL)
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**results))
    return results["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
