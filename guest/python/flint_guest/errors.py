"""A function's faults in Lambda's shape. Nothing here may raise: each step falls back to a plainer one."""

from . import codec, protocol

_OWN_FILES = ("/flint_guest/", "/python/bootstrap.py", "<frozen ", "/asyncio/runners.py", "/asyncio/base_events.py")
# Whose refusals are raised below the user's own frames.
_REFUSING_FILE = "/flint_guest/jobs.py"
_MAX_FRAMES = 200
_MAX_MESSAGE = 32 * 1024
# No log has more.
_MAX_PLAIN = 1024 * 1024
_NBSP = "\u00a0"


class Fault(Exception):
    """A fault that is known by one of Lambda's codes."""

    def __init__(self, type, name, message, trace=()):
        super().__init__(message)
        self.type = type
        self.name = name
        self.message = message
        self.trace = list(trace)


class Report:
    """What is told to the worker and written to the log about one fault."""

    def __init__(self, type, name, message, trace):
        self.type = type
        self.name = name
        self.message = message
        self.trace = trace

    def encode(self, limit=protocol.MAX_ERROR_BODY):
        """The error JSON, cut until it fits."""
        trace = self.trace
        message = _shorten(self.message, _MAX_MESSAGE)
        while True:
            try:
                body = codec.dumps({
                    "type": self.type, "name": _clean(self.name), "message": _clean(message), "stackTrace": [_clean(f) for f in trace],
                })
            except BaseException:
                return b'{"type":"Unhandled","name":"Unknown","message":"(the error cannot be shown)","stackTrace":[]}'
            if len(body) <= limit:
                return body
            if trace:
                trace = trace[: len(trace) // 2]
            else:
                message = _shorten(message, len(message) // 2)

    def text(self):
        """The log line of Lambda's text format: one event whose lines are joined by carriage returns."""
        head = "[ERROR] " + self.name + (": " + self.message if self.message else "")
        lines = [head]
        if self.trace:
            lines.append("Traceback (most recent call last):")
            for frame in self.trace:
                lines.extend(_indent(line) for line in frame.splitlines())
        return "\r".join(line.replace("\n", "\r") for line in lines) + "\n"


    def plain_text(self):
        """As the interpreter prints an uncaught exception; what has one of Lambda's codes for a name is told by its message alone."""
        lines = ["Traceback (most recent call last):\n", *self.trace] if self.trace else []
        message = _shorten(self.message, _MAX_PLAIN)
        lines.append(message if "." in self.name else self.name + (": " + message if message else ""))
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def report(error):
    """The report of any exception."""
    try:
        if isinstance(error, Fault):
            return Report(error.type, error.name, error.message, error.trace)
        return Report("Unhandled", type(error).__name__, message_of(error), frames(error.__traceback__))
    except BaseException:
        return Report("Unhandled", "Unknown", "(the error cannot be shown)", [])


def message_of(error):
    try:
        return str(str(error))
    except BaseException:
        return f"<{type(error).__name__}: its text cannot be made>"


def frames(trace):
    """Frames as Lambda prints them, without those of the bootstrap above the user's own."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append((code.co_filename, trace.tb_lineno, code.co_name, trace.tb_frame.f_globals))
        trace = trace.tb_next
    while found and _is_own(found[0][0]):
        del found[0]
    while found and found[-1][0].endswith(_REFUSING_FILE):
        del found[-1]
    if len(found) > _MAX_FRAMES:
        half = _MAX_FRAMES // 2
        omitted = len(found) - 2 * half
        head, tail = [_frame(*f) for f in found[:half]], [_frame(*f) for f in found[-half:]]
        return head + [f"  [{omitted} more frames]\n"] + tail
    return [_frame(*f) for f in found]


def _is_own(filename):
    return any(part in filename for part in _OWN_FILES)


def _frame(filename, line, name, module_globals):
    text = f'  File "{filename}", line {line}, in {name}\n'
    try:
        import linecache

        source = linecache.getline(filename, line, module_globals).strip()
    except BaseException:
        source = ""
    return text + f"    {source}\n" if source else text


def _indent(line):
    bare = line.lstrip(" ")
    return _NBSP * (len(line) - len(bare)) + bare


def _shorten(text, limit):
    return text if len(text) <= limit else text[: max(0, limit - 1)] + "\u2026"


def _clean(text):
    return text.encode("utf-8", "replace").decode("utf-8")
