"""A function with a network: what it reaches, by which name."""

import errno
import socket


def reach(event, context):
    """What answers on port 80 of each, by TCP."""
    return {"worked": True, "answers": {host: answer(host) for host in event["hosts"]}}


def answer(host):
    try:
        with socket.create_connection((host, 80), timeout=3) as connection:
            return connection.recv(100).decode()
    except socket.gaierror as unknown:
        return "unknown name"
    except OSError as refused:
        return errno.errorcode.get(refused.errno or 0, "timeout")


def resolve(event, context):
    return {"worked": True, "addresses": sorted({found[4][0] for found in socket.getaddrinfo(event["name"], 80, proto=socket.IPPROTO_TCP)})}
