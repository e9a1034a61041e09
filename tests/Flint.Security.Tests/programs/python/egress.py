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


def occupy(event, context):
    """Takes every connection that one may have, over UDP, which nobody closes. Says what is reached before and after."""
    before = answer(event["host"])
    for port in range(20000, 20000 + event["count"]):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            try:
                speaker.bind(("", port))
                speaker.sendto(b"x", (event["host"], 9999))
            except OSError:
                pass  # refused: there are no more
    return {"worked": True, "before": before, "after": answer(event["host"])}
