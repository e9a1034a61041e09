"""Programs that look for a way out over the network."""

import errno
import os
import socket


def connect(event, context):
    """TCP to an address; "own" starts a listener in the sandbox first."""
    address = (event["host"], event["port"])
    listener = None
    if event["own"]:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
    try:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(0.5)
            client.connect(address)
        return {"worked": True}
    except OSError as refused:
        return {"worked": False, "errno": errno.errorcode.get(refused.errno or 0, str(refused))}


def abstract_socket(event, context):
    """Abstract unix sockets belong to the network namespace, not to any file system."""
    name = "\0" + event["name"]
    listener = None
    if event["own"]:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(name)
        listener.listen(1)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(name)
        return {"worked": True}
    except OSError as refused:
        return {"worked": False, "errno": errno.errorcode.get(refused.errno or 0, str(refused))}


def interfaces(event, context):
    names = [name for _, name in socket.if_nameindex()]
    others = [name for name in names if name != "lo"]
    return {"worked": bool(others) if event["others"] else True, "names": names}


def families(event, context):
    """Sockets of families that a function has no use for."""
    made = []
    wanted = event["families"]
    for name, family, kind in (("unix", 1, 1), ("inet", 2, 1), ("raw", 2, 3), ("packet", 17, 3), ("vsock", 40, 1), ("alg", 38, 5), ("xdp", 44, 3),
                               ("bluetooth", 31, 3), ("can", 29, 3), ("tipc", 30, 5), ("rds", 21, 5), ("key", 15, 3), ("nfc", 39, 5), ("kcm", 41, 5)):
        if name not in wanted:
            continue
        try:
            socket.socket(family, kind, 1 if name == "raw" else 0).close()
            made.append(name)
        except OSError:
            pass
    return {"worked": bool(made), "made": made}


def unix_paths(event, context):
    """Sockets of services of the host, by the paths where they use to be."""
    reached = []
    for path in event["paths"]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.connect(path)
            reached.append(path)
        except OSError:
            pass
    if event["own"]:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind("/tmp/own.sock")
        server.listen(1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect("/tmp/own.sock")
        reached.append("/tmp/own.sock")
        os.unlink("/tmp/own.sock")
    return {"worked": bool(reached), "reached": reached}
