"""Drives snapshots as a worker does, for the tests of them."""
import os
import select
import socket

from control import RENEW, SNAPSHOT, Cell, head, start_message

SNAPSHOT_HOST = os.environ.get("FLINT_SNAPSHOT_HOST", "/var/runtime/snapshot_host")


class Gone(Exception):
    """The guest ended instead of answering."""


class Ends:
    """What the worker has of one process: its channel and its streams."""

    def __init__(self, fds, timeout=20):
        self.channel, self.out, self.err = socket.socket(fileno=fds[0]), fds[1], fds[2]
        self.channel.settimeout(timeout)

    def line(self):
        line = b""
        while not line.endswith(b"\n"):
            try:
                part = self.channel.recv(65536)
            except ConnectionResetError:
                part = b""
            if not part:
                raise Gone(line)
            line += part
        return line[:-1].decode(errors="replace")

    def say(self, *words):
        try:
            self.channel.send(" ".join(map(str, words)).encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            raise Gone(words) from None

    def ask(self, *words):
        self.say(*words)
        return self.line()

    def sys(self, number, *arguments):
        """A system call in the guest: its result, or the name of its error."""
        answer = self.ask("sys", number, *arguments)
        return answer[3:] if answer.startswith("-1 ") else int(answer)

    def output(self, timeout=5):
        """What stdout has now."""
        return os.read(self.out, 65536).decode() if select.select([self.out], [], [], timeout)[0] else ""

    def close(self):
        self.channel.close()
        os.close(self.out)
        os.close(self.err)


class Snapshot:
    """A cell whose guest (tests/programs/snapshot_host.c, or an interpreter) becomes a template."""

    def __init__(self, launcher, network=0, **limits):
        self.launcher, self.cell, self.fork, self.number, self.limits = launcher, launcher.make(network=network), None, 0, limits
        self.cell.launcher.send(start_message(self.cell.id, flags=1, **limits))
        self.init = Ends([self.cell.channel.detach(), self.cell.out, self.cell.err])

    def ask(self, *words):
        return self.init.ask(*words)

    def sys(self, number, *arguments):
        return self.init.sys(number, *arguments)

    def request(self):
        """SNAPSHOT, with the guest on its way to it. Returns FORKED, UNSAFE or FAILED."""
        self.init.ask("template")
        self.launcher.send(head(SNAPSHOT, self.cell.id))
        return self.cell.expect("FORKED", "UNSAFE", "FAILED", "EXITED")

    def begin(self):
        """The first fork."""
        event = self.request()
        assert event.name == "FORKED", event
        return self.take(event)

    def take(self, event):
        self.number += 1
        assert event.number == self.number, (event, self.number)
        self.fork = Ends(event.fds)
        assert self.fork.line() == "fork"
        return self.fork

    def renew(self, told=False):
        """The next fork; the one before had ended, and that was told, or it is killed now."""
        self.fork.close()
        self.launcher.send(head(RENEW, self.cell.id))
        if not told:
            self.ended = self.cell.expect("FORK_EXITED")
            assert self.ended.number == self.number, self.ended
        return self.take(self.cell.expect("FORKED"))

    def finish(self):
        """Kills the cell; everything of it must be gone."""
        self.cell.kill()
        while True:
            event = self.cell.expect("FORK_EXITED", "EXITED", "GONE")
            if event.name == "GONE":
                assert event.clean == 1, event
                break
        self.close()

    def close(self):
        self.init.close()
        for fd in self.cell.extra.values():
            os.close(fd)
        if self.fork:
            self.fork.close()
            self.fork = None


def sockets(fork):
    """Of the whole network namespace, in every state: the lines of /proc/net, each as its state and its queues."""
    tables = [fork.ask("read", f"/proc/net/{name}").split("|")[1:] for name in ("tcp", "tcp6", "udp", "udp6")]
    return [line.split()[3:5] for table in tables for line in table if line.strip()]
