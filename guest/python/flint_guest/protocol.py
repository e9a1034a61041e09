"""Frames over the worker's stream (guest/PROTOCOL.md, "Frame")."""

import os
import select
from _thread import RLock, get_ident

INIT = 0x01
INVOKE = 0x02
NONCE_SIZE = 16
MAX_LOG_TEXT = 64 * 1024 - 1
MAX_ERROR_BODY = 256 * 1024 - NONCE_SIZE
MAX_INCOMING = 64 * 1024 * 1024

_HEADER = 8
_CHUNK = 64 * 1024
_READY = b"\x01\x81\x00\x00"
_INIT_OK = b"\x01\x82\x00\x00\x00\x00\x00\x00"
_INIT_ERROR = b"\x01\x83\x00\x00"
_LOG = b"\x01\x84\x00\x00"
_RESULT = b"\x01\x85\x00\x00"
_ERROR = b"\x01\x86\x00\x00"
_STREAMS = (b"", b"\x01", b"\x02")


class ProtocolError(Exception):
    """The worker's bytes make no sense; the process must end."""


class Channel:
    """The stream to the worker. Any thread may log; only the main loop reads and answers."""

    def __init__(self, fd):
        self._fd = fd
        self._rest = b""
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        self._wait = poller.poll
        self._lock = RLock()
        self._writer = None
        self._waiting = []
        self.detached = False
        self._held = False

    # ---- to the worker

    def ready(self, body):
        self._send(_READY + len(body).to_bytes(4, "little") + body)

    def init_ok(self):
        self._send(_INIT_OK)

    def init_error(self, body):
        self._send(_INIT_ERROR + len(body).to_bytes(4, "little") + body)

    def result(self, nonce, body):
        self._send(b"".join((_RESULT, (NONCE_SIZE + len(body)).to_bytes(4, "little"), nonce, body)))

    def error(self, nonce, body):
        self._send(b"".join((_ERROR, (NONCE_SIZE + len(body)).to_bytes(4, "little"), nonce, body)))

    def log(self, stream, data):
        """Sends one event; UTF-8 longer than a frame is split between characters."""
        if self.detached:
            _write_all(stream, data)
            return
        size = len(data)
        if size <= MAX_LOG_TEXT:
            self._send(b"".join((_LOG, (size + 1).to_bytes(4, "little"), _STREAMS[stream], data)))
            return
        start = 0
        while start < size:
            end = min(start + MAX_LOG_TEXT, size)
            back = end
            while end < size and back > end - 4 and data[back] & 0xC0 == 0x80:
                back -= 1
            end = back
            part = data[start:end]
            self._send(b"".join((_LOG, (len(part) + 1).to_bytes(4, "little"), _STREAMS[stream], part)))
            start = end

    def _send(self, frame):
        if self.detached:
            return
        with self._lock:
            # A signal handler may print in the middle of a frame that this same thread is writing.
            if self._writer == get_ident():
                self._waiting.append(frame)
                return
            self._writer = get_ident()
            try:
                _write_all(self._fd, frame)
                while self._waiting:
                    _write_all(self._fd, self._waiting.pop(0))
            finally:
                self._writer = None

    # ---- from the worker

    def receive(self):
        """The next frame as (kind, buffer, end of frame); its body starts at offset 8. None at the end of the stream."""
        data = self._rest
        if not data:
            # Who sleeps in a unix socket's read() is also woken, for nothing, when the worker takes the last answer.
            self._wait()
            data = os.read(self._fd, _CHUNK)
        self._rest = b""
        while len(data) < _HEADER:
            more = os.read(self._fd, _CHUNK)
            if not more:
                return None
            data += more
        if data[0] != 1 or data[2] or data[3]:
            raise ProtocolError("bad frame header")
        total = _HEADER + int.from_bytes(data[4:8], "little")
        if total > MAX_INCOMING:
            raise ProtocolError("oversized frame")
        if len(data) < total:
            data = self._receive_rest(data, total)
            if data is None:
                return None
        elif len(data) > total:
            self._rest = data[total:]
        return data[1], data, total

    def _receive_rest(self, data, total):
        whole = bytearray(total)
        have = len(data)
        whole[:have] = data
        view = memoryview(whole)
        while have < total:
            count = os.readv(self._fd, [view[have:]])
            if count == 0:
                return None
            have += count
        return whole

    def hold(self):
        """The next fork is the zygote's or a snapshot's: its stream is its own."""
        self._held = True

    def release(self):
        """In that fork."""
        self._held = False

    def renew(self):
        """In a snapshot's fork, on a new stream of the same number."""
        os.set_inheritable(self._fd, False)
        self._rest = b""
        self.release()

    def detach(self):
        """In a forked child: the stream is the parent's alone; what the child prints goes to its raw streams."""
        if self._held:
            return
        self.detached = True
        self._lock = RLock()
        self._writer = None
        try:
            os.close(self._fd)
        except OSError:
            pass


def _write_all(fd, data):
    try:
        count = os.write(fd, data)
        if count < len(data):
            view = memoryview(data)
            while count < len(data):
                count += os.write(fd, view[count:])
    except BrokenPipeError:
        # The worker is gone: there is no one left to serve.
        os._exit(0)
