"""What a guest tries of the network: reads attempts as JSON lines on stdin's place, the channel (descriptor 3), answers one JSON line each."""
import errno
import json
import os
import socket
import sys
import threading

LIMIT = 1.5  # how long what must not be reached is waited for
PATIENCE = 20  # and what must


def family_of(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def named(error):
    if isinstance(error, socket.gaierror):
        return "EAI:" + str(error)
    return "timeout" if isinstance(error, TimeoutError) else errno.errorcode.get(error.errno, str(error)) if isinstance(error, OSError) else repr(error)


def tcp(host, port, limit=LIMIT):
    with socket.socket(family_of(host), socket.SOCK_STREAM) as s:
        s.settimeout(limit)
        s.connect((host, port))
        return s.recv(200).decode()


def udp(host, port, source=None, own_port=0, limit=LIMIT):
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as s:
        s.settimeout(limit)
        if source:
            freebind = (socket.IPPROTO_IPV6, 78) if ":" in source else (socket.SOL_IP, 15)
            s.setsockopt(*freebind, 1)
            s.bind((source, own_port))
        s.connect((host, port))
        s.send(b"hello")
        return s.recv(200).decode()


def both(host, port, limit=PATIENCE):
    found = []
    for kind in (tcp, udp):
        try:
            found.append("ok " + kind(host, port, limit=limit))
        except (OSError, UnicodeError) as error:
            found.append(named(error))
    return found


def many(pairs, limit=LIMIT):
    """Every destination by TCP and UDP at once."""
    results = [None] * len(pairs)

    def one(i):
        results[i] = both(*pairs[i], limit)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(pairs))]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return results


def resolve(name):
    return sorted({a[4][0] for a in socket.getaddrinfo(name, 80, proto=socket.IPPROTO_TCP)})


def named_tcp(name, port):
    with socket.create_connection((name, port), timeout=PATIENCE) as s:
        return s.recv(200).decode()


def hold(host, port, count):
    """How many connections at a time can be had."""
    held = []
    try:
        for _ in range(count):
            s = socket.socket(family_of(host))
            s.settimeout(PATIENCE)
            s.connect((host, port))
            held.append(s)
        return [len(held), "all"]
    except OSError as error:
        return [len(held), named(error)]
    finally:
        [s.close() for s in held]


def keep(host, port):
    s = socket.create_connection((host, port))
    KEPT.append(s)
    return s.recv(200).decode()


def socket_kinds():
    """Sockets that could send what the kernel did not make."""
    found = {}
    for name, arguments in {"raw icmp": (socket.AF_INET, socket.SOCK_RAW, 1), "raw": (socket.AF_INET, socket.SOCK_RAW, 255),
                            "raw6": (socket.AF_INET6, socket.SOCK_RAW, 58), "packet": (socket.AF_PACKET, socket.SOCK_RAW, 0x300),
                            "packet dgram": (socket.AF_PACKET, socket.SOCK_DGRAM, 0x300), "ping": (socket.AF_INET, socket.SOCK_DGRAM, 1),
                            "netfilter": (socket.AF_NETLINK, socket.SOCK_RAW, 12), "sctp": (socket.AF_INET, socket.SOCK_STREAM, 132),
                            "udplite": (socket.AF_INET, socket.SOCK_DGRAM, 136), "vsock": (40, socket.SOCK_STREAM, 0)}.items():
        try:
            socket.socket(*arguments).close()
            found[name] = "ok"
        except OSError as error:
            found[name] = named(error)
    return found


def change_routes():
    """An address, a link's state, a route and a neighbor by rtnetlink; forwarding by /proc."""
    import struct
    found = {}

    def ask(kind, flags, body):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            s.bind((0, 0))
            s.send(struct.pack("<IHHII", 16 + len(body), kind, 5 | flags, 1, 0) + body)
            return named(OSError(-struct.unpack_from("<i", s.recv(4096), 16)[0], ""))
    address = struct.pack("<HH4s", 8, 2, socket.inet_aton("45.10.0.9"))
    found["address"] = ask(20, 0x600, struct.pack("<BBBBI", 2, 32, 0, 0, 2) + address)
    found["link down"] = ask(16, 0, struct.pack("<BxHiII", 0, 0, 2, 0, 1))
    found["route"] = ask(24, 0x600, struct.pack("<BBBBBBBBI", 2, 0, 0, 0, 254, 4, 253, 1, 0) + struct.pack("<HHI", 8, 4, 2))
    found["neighbor"] = ask(28, 0x600, struct.pack("<BxHiHBB", 2, 0, 2, 0x80, 0, 1) + struct.pack("<HH4s", 8, 1, socket.inet_aton("198.18.0.1")))
    for path in ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/conf/eth0/rp_filter"):
        try:
            with open(path, "w") as file:
                file.write("1")
            found[path] = "ok"
        except OSError as error:
            found[path] = named(error)
    return found


def serve(port):
    """Answers whoever comes to this cell, and says how it heard of them."""
    for family in (socket.AF_INET, socket.AF_INET6):
        listener = socket.socket(family, socket.SOCK_STREAM)
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        for s in (listener, datagrams):
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind(("", port))
        listener.listen()

        def accept(listener=listener):
            while True:
                s, _ = listener.accept()
                s.send(b"cell")
                s.close()

        def hear(datagrams=datagrams):
            while True:
                data, peer = datagrams.recvfrom(2000)
                HEARD.append([data.decode(), peer[0]])
                if data == b"hello":
                    datagrams.sendto(b"cell", peer)
        for target in (accept, hear):
            threading.Thread(target=target, daemon=True).start()
        SERVED[family] = datagrams
    return addresses()


def send_served(host, port, text):
    """A datagram from the socket of `serve`, which hears whoever answers."""
    return SERVED[family_of(host)].sendto(text.encode(), (host, port))


def flood(host, port, count):
    """So many datagrams as fast as they go."""
    with socket.socket(family_of(host), socket.SOCK_DGRAM) as s:
        for _ in range(count):
            s.sendto(b"?" * 40, (host, port))
    return count


def addresses():
    """This cell's own, by asking the kernel which it would send from."""
    found = []
    for family, host in ((socket.AF_INET, "8.8.8.8"), (socket.AF_INET6, "2600:99::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            try:
                s.connect((host, 9))
                found.append(s.getsockname()[0])
            except OSError as error:
                found.append(named(error))
    return found


def download(host, port, size):
    import time
    began = time.monotonic()
    with socket.create_connection((host, port)) as s:
        s.send(b"get %d\n" % size)
        left, buffer = size, bytearray(1 << 18)
        while left > 0:
            got = s.recv_into(buffer)
            if not got:
                break
            left -= got
    return [size - left, time.monotonic() - began]


KEPT, HEARD, SERVED = [], [], {}
ACTIONS = {f.__name__: f for f in (tcp, udp, both, many, resolve, named_tcp, hold, keep, socket_kinds, change_routes, serve, send_served, flood, addresses, download)}
ACTIONS["heard"] = lambda: list(HEARD)
ACTIONS["interfaces"] = lambda: [name for _, name in socket.if_nameindex()]
ACTIONS["read"] = lambda path: open(path).read()


def main():
    channel = socket.socket(fileno=3)
    with channel.makefile("r") as lines:
        for line in lines:
            name, *arguments = json.loads(line)
            try:
                answer = ACTIONS[name](*arguments)
            except Exception as error:
                answer = "error " + named(error)
            channel.send(json.dumps(answer).encode() + b"\n")


main()
os._exit(0)
