"""A small internet in namespaces of its own, since the build machine has none: `inet` holds public servers, private ones, a metadata service; the
namespace that this process is in plays the host. Everything goes with the process."""
import ctypes
import os
import selectors
import socket
import subprocess
import sys
import time
import traceback

HOST, HOST6, GATEWAY, GATEWAY6 = "45.10.0.2", "2600:10::2", "45.10.0.1", "2600:10::1"
LAN_HOST, LAN_PEER = "10.77.0.2", "10.77.0.1"
PUBLIC, PUBLIC_TOO, PUBLIC6 = "8.8.8.8", "9.9.9.9", "2600:99::1"
# Addresses that must not be reached, by why; each is served.
SPECIAL = ("10.9.9.9", "172.16.5.5", "172.31.255.5", "192.168.5.5", "100.64.5.5", "100.100.100.200", "169.254.169.254", "169.254.170.2", "192.0.0.192",
           "192.0.2.5", "192.88.99.5", "198.51.100.5", "203.0.113.5", "168.63.129.16", "240.0.0.5")
SPECIAL6 = ("fd99::1", "fd00:ec2::254", "fec0::5", "2001:db8::5", "2002:a09:909::1", "2001::5", "2001:20::5", "64:ff9b::a09:909", "64:ff9b:1::5", "100::5", "3fff::5",
            "5f00::5")
PORT, HOST_PORT = 80, 80


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def enter():
    """Runs this program again in namespaces of its own; returns in there."""
    if os.environ.get("FLINT_INTERNET") != "inside":
        os.environ["FLINT_INTERNET"] = "inside"
        os.execvp("unshare", ["unshare", "-m", "-n", "--propagation", "private", sys.executable, *sys.argv])


def build():
    """The links and servers. Call after enter(). Returns the servers' processes."""
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.mkdir("/run/netns")
    run("ip", "netns", "add", "inet")
    run("ip", "link", "set", "lo", "up")
    for name, peer, ours, theirs, ours6, theirs6 in (("up0", "h0", HOST, GATEWAY, HOST6, GATEWAY6), ("lan0", "l0", LAN_HOST, LAN_PEER, "fd77::2", "fd77::1")):
        run("ip", "link", "add", name, "type", "veth", "peer", "name", peer, "netns", "inet")
        for space, link, address, address6 in (((), name, ours, ours6), (("-n", "inet"), peer, theirs, theirs6)):
            run("ip", *space, "addr", "add", address + "/24", "dev", link)
            run("ip", *space, "addr", "add", address6 + "/64", "dev", link, "nodad")
            run("ip", *space, "link", "set", link, "up")
    run("ip", "-n", "inet", "link", "set", "lo", "up")
    for address in (PUBLIC, PUBLIC_TOO, *SPECIAL):
        run("ip", "-n", "inet", "addr", "add", address + "/32", "dev", "lo")
    for address in (PUBLIC6, *SPECIAL6):
        run("ip", "-n", "inet", "addr", "add", address + "/128", "dev", "lo", "nodad")
    run("ip", "route", "add", "default", "via", GATEWAY)
    run("ip", "route", "add", "default", "via", GATEWAY6)
    until = time.monotonic() + 10
    while b"tentative" in subprocess.check_output(["ip", "addr"]) + subprocess.check_output(["ip", "-n", "inet", "addr"]):
        assert time.monotonic() < until, "addresses stay tentative"
        time.sleep(0.05)
    return [serve("inet", (PUBLIC, PUBLIC_TOO, PUBLIC6, GATEWAY, LAN_PEER, *SPECIAL, *SPECIAL6)), serve(None, ("0.0.0.0", "::"))]


def serve(space, addresses):
    """A server on port 80 of these addresses, TCP and UDP, that says which it is; once it listens."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
        try:
            if space:
                with open(f"/run/netns/{space}") as file:
                    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0x40000000):
                        raise OSError(ctypes.get_errno(), "setns")
            answer(addresses, told, "tcp {}" if space else "host {}", "udp {}" if space else "host {}")
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(told)
    assert os.read(ready, 1) == b"y", f"the servers of {space} did not come up"
    os.close(ready)
    return pid


def answer(addresses, told, tcp, udp):
    chosen = selectors.DefaultSelector()
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(family, kind)
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, PORT))
            if kind == socket.SOCK_STREAM:
                s.listen(512)
            chosen.register(s, selectors.EVENT_READ, (kind, address))
    os.write(told, b"y")
    held = []
    while True:
        for key, _ in chosen.select():
            kind, address = key.data
            if kind == socket.SOCK_DGRAM:
                _, peer = key.fileobj.recvfrom(2000)
                key.fileobj.sendto(udp.format(address).encode(), peer)
            elif kind == socket.SOCK_STREAM:
                s, _ = key.fileobj.accept()
                held = held[-2000:] + [s]  # so that whoever connects chooses how long
                s.send(tcp.format(address).encode())


def download_server(address, port):
    """Sends as many bytes as it is asked for."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
        with open("/run/netns/inet") as file:
            ctypes.CDLL(None).setns(file.fileno(), 0x40000000)
        listener = socket.socket()
        listener.bind((address, port))
        listener.listen()
        os.write(told, b"y")
        block = bytes(1 << 18)
        while True:
            s, _ = listener.accept()
            left = int(s.recv(100).split()[1])
            while left > 0:
                left -= s.send(block[:left])
            s.close()
    assert os.read(ready, 1) == b"y"
    return pid


def main():
    """For other tests: says `ready` once everything is there, and ends with its standard input."""
    build()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
