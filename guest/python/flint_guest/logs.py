"""sys.stdout, sys.stderr and the logging package, all sent as LOG frames in one order."""

import io
import os
import sys

STDOUT = 1
STDERR = 2

# Looked up in what os.environ keeps: asking itself for what is not there raises and catches an exception.
_FORMAT = os.environ.encodekey("AWS_LAMBDA_LOG_FORMAT")
_LEVEL = os.environ.encodekey("AWS_LAMBDA_LOG_LEVEL")
_LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "CRITICAL": 50, "FATAL": 50}
# What a LogRecord has of its own; anything else was given as extra=.
_RECORD_FIELDS = frozenset((
    "name", "msg", "args", "levelname", "levelno", "pathname", "filename", "module", "exc_info", "exc_text", "stack_info", "lineno",
    "funcName", "created", "msecs", "relativeCreated", "thread", "threadName", "processName", "process", "taskName", "aws_request_id",
    "message", "asctime",
))


class _RawLog(io.RawIOBase):
    """The bottom of a text stream: each write is one event. Closing it does nothing, for the frames are not the user's to close."""

    def __init__(self, channel, stream):
        self._channel = channel
        self._stream = stream
        # What was last sent ended no line. It is a line in the log all the same, and a line feed that follows ends just that.
        self._open = False
        self.name = "<stdout>" if stream == STDOUT else "<stderr>"
        self.mode = "wb"

    def writable(self):
        return True

    def fileno(self):
        return self._stream

    def write(self, data):
        text = bytes(data)
        event = text[1:] if self._open and text[:1] == b"\n" else text
        self._open = text[-1:] != b"\n"
        if event:
            self._channel.log(self._stream, event)
        return len(text)


class Logs:
    """Owns the guest's two text streams and what it knows of the running invocation."""

    def __init__(self, channel):
        self._channel = channel
        self.request_id = ""
        self.json = False
        # A job's: as written, also by logging, of which nothing is set up.
        self.plain = False
        self._level = None
        self._configured = None  # the logging package that has our handler
        self.stdout = _open(channel, STDOUT)
        self.stderr = _open(channel, STDERR)

    def install(self):
        sys.stdout = sys.__stdout__ = self.stdout
        sys.stderr = sys.__stderr__ = self.stderr

    def configure(self, plain):
        """Reads the function's log settings; the root logger is set up once the function imports logging. A job has none."""
        self.plain = plain
        if plain:
            if self._configured is not None:
                self._configured.root.handlers.clear()
            return
        variables = os.environ._data
        self.json = variables.get(_FORMAT, b"").upper() == b"JSON"
        level = variables.get(_LEVEL)
        self._level = None if level is None else _LEVELS.get(os.fsdecode(level).upper())
        logging = sys.modules.get("logging")
        if logging is not None:
            self.configure_logging(logging)
        else:
            sys.meta_path.insert(0, _LoggingHook(self))

    def flush(self):
        """Sends unfinished lines. The user may have closed, replaced or broken the streams."""
        stdout, stderr = sys.stdout, sys.stderr
        ours = stdout is self.stdout and stderr is self.stderr
        for stream in (stdout, stderr) if ours else (stdout, stderr, self.stdout, self.stderr):
            try:
                stream.flush()
            except BaseException:
                pass

    def event(self, text):
        """Sends one event, after what the user has printed before it."""
        try:
            self.stdout.flush()
        except ValueError:
            # The user closed it.
            pass
        self._channel.log(STDOUT, text.encode("utf-8", "backslashreplace"))

    def report(self, report):
        """Writes an uncaught error in the function's log format."""
        try:
            if self.plain:
                text = report.plain_text()
            elif self.json:
                from . import codec

                text = codec.dumps({
                    "timestamp": _timestamp(), "log_level": "ERROR", "errorMessage": report.message, "errorType": report.name,
                    "requestId": self.request_id, "stackTrace": report.trace,
                }).decode("ascii")
            else:
                text = report.text()
            self._channel.log(STDERR, text.encode("utf-8", "replace"))
        except BaseException:
            self._channel.log(STDERR, b"[ERROR] (the error cannot be shown)\n")

    def configure_logging(self, logging):
        """One handler on the root logger, as Lambda's runtime has it. A level only where the function asks for one."""
        self.add_handler(logging)
        if self._level is not None:
            logging.root.setLevel(self._level)

    def add_handler(self, logging):
        if logging is not self._configured:
            self._configured = logging
            logging.root.addHandler(_make_handler(logging, self))


class _LoggingHook:
    """Waits on the import path for logging, whose import costs more than the whole bootstrap."""

    def __init__(self, logs):
        self._logs = logs

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            if hasattr(module, "Handler"):
                self._logs.configure_logging(module)

        spec.loader.exec_module = exec_module
        return spec


def _open(channel, stream):
    buffer = io.BufferedWriter(_RawLog(channel, stream), 64 * 1024)
    text = io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True)
    text.mode = "w"
    return text


def _make_handler(logging, logs):
    import time

    class LambdaHandler(logging.Handler):
        def emit(self, record):
            try:
                logs.event(self.format(record))
            except Exception:
                self.handleError(record)

        def format(self, record):
            record.aws_request_id = logs.request_id
            if logs.json:
                return _json_record(logging, record, logs.request_id) + "\n"
            return (self.formatter or formatter).format(record)

    formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return LambdaHandler()


def _json_record(logging, record, request_id):
    import json
    import time

    fields = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
        "level": record.levelname,
        "message": record.getMessage(),
        "logger": record.name,
        "requestId": request_id,
    }
    if record.exc_info and record.exc_info[0]:
        from . import errors

        kind, error, trace = record.exc_info
        fields["stackTrace"] = errors.frames(trace)
        fields["errorType"] = kind.__name__
        fields["errorMessage"] = errors.message_of(error)
        fields["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
    for name, value in record.__dict__.items():
        if name not in _RECORD_FIELDS and name not in fields:
            fields[name] = value
    return json.dumps({name: value for name, value in fields.items() if value is not None}, default=str)


def _timestamp():
    import time

    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".%03dZ" % (now * 1000 % 1000)
