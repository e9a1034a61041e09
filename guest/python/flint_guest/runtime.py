"""
The guest's life: READY, INIT, then one INVOKE after the other. prepare() loads and exercises what every invocation needs and may run
in a zygote, before a fork; run() is a sandbox's own life.
"""

import builtins
import gc
import os
import sys

from . import codec, errors, loader, protocol
from .context import LambdaContext
from .logs import Logs

PROTOCOL_FAULT = 130
READY_START = b'{"protocol":1,"runtime":"python%d.%d","pid":' % sys.version_info[:2]
_TEXTS = ("handler", "taskRoot", "functionName", "functionVersion", "invokedFunctionArn", "call", "globals")
# What is called, and with which globals: two members of INIT, of which not all pairs make sense.
_CALLS = (("handler", "full"), ("main", "full"), ("main", "limited"))
_NUMBERS = ("memoryMb", "maxResultBytes")
_TRACE_VARIABLE = "_X_AMZN_TRACE_ID"
_TRACE_KEY = os.environ.encodekey(_TRACE_VARIABLE)
_TZ = os.environ.encodekey("TZ")


def prepare():
    """Everything that is the same for every function. Reads no tenant's data, opens nothing, draws no random number."""
    _add_site_builtins()
    codec.loads(codec.dumps({"warm": [1, 2.5, "\u00e9", None, True]}))


def run(fd):
    """Serves the worker until it closes the stream. Never returns."""
    os.set_inheritable(fd, False)
    channel = protocol.Channel(fd)
    os.register_at_fork(after_in_child=channel.detach)
    channel.ready(READY_START + b"%d}" % os.getpid())
    serve(channel, Logs(channel))


def serve(channel, logs, native=None, give_way=None):
    """As run does, from READY on. In a fork `native` is the zygote's module, and `give_way(init)` takes back those of the zygote's imports that this function replaces."""
    try:
        live(channel, logs, native, give_way)
    except protocol.ProtocolError:
        os._exit(PROTOCOL_FAULT)
    os._exit(0)


def live(channel, logs, native, give_way):
    """A guest from READY to the end of the stream."""
    init = _receive_init(channel, native is not None, give_way is not None)
    if init is None:
        return
    if native is not None:
        native.go(init["snapshot"])
    environment = init["environment"]
    if environment is not None:
        _apply_environment(environment)
        give_way(init)
    logs.install()
    handler = _init(channel, logs, init)
    failure = None
    if init["snapshot"]:
        failure = _become_template(channel, native)
    _serve(channel, logs, init, handler, failure)


def _receive_init(channel, may_snapshot, forked):
    frame = channel.receive()
    if frame is None:
        return None
    kind, data, end = frame
    if kind != protocol.INIT:
        raise protocol.ProtocolError("expected INIT")
    try:
        init = codec.loads(data[8:end])
    except (ValueError, RecursionError):
        raise protocol.ProtocolError("INIT is not JSON") from None
    if not _is_init(init, may_snapshot, forked):
        raise protocol.ProtocolError("INIT lacks what guest/PROTOCOL.md says")
    return init


def _is_init(init, may_snapshot, forked):
    """Nothing of a function is touched with settings that are not all there. `forked`: the environment comes in INIT."""
    if type(init) is not dict:
        return False
    for name in _TEXTS:
        if not _is_text(init.get(name)):
            return False
    for name in _NUMBERS:
        value = init.get(name)
        if type(value) is not int or not 0 < value < 1 << 31:
            return False
    if (init["call"], init["globals"]) not in _CALLS:
        return False
    snapshot, environment = init.get("snapshot"), init.get("environment", False)
    if type(snapshot) is not bool or (snapshot and (not may_snapshot or init["call"] == "main")):
        return False
    if not forked:
        return environment is None
    if type(environment) is not dict:
        return False
    for name, value in environment.items():
        if not name or "=" in name or not _is_text(name) or not _is_text(value):
            return False
    return True


def _is_text(value):
    if type(value) is not str or "\0" in value:
        return False
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return True


def _init(channel, logs, init):
    """Loads the handler, or reports why it cannot be and waits for the end."""
    is_job = init["call"] == "main"
    logs.configure(is_job)
    try:
        loader.set_path(init["taskRoot"])
        if is_job:
            from . import jobs

            handler = jobs.load(init)
        else:
            handler = loader.load(init["handler"], init["taskRoot"])
    except SystemExit:
        logs.flush()
        raise
    except BaseException as error:
        report = errors.report(error)
        logs.flush()
        logs.report(report)
        channel.init_error(report.encode())
        channel.receive()
        os._exit(0)
    _leave_if_forked(channel)
    logs.flush()
    channel.init_ok()
    return handler


def _become_template(channel, native):
    """Returns in each fork, on its own channel: None, or what the first of the user's after-fork hooks to fail has raised."""
    failures = []
    previous = sys.unraisablehook
    # The interpreter's way to report a hook that raises.
    sys.unraisablehook = lambda unraisable: failures.append(unraisable.exc_value)
    gc.collect()
    gc.freeze()
    channel.hold()
    native.template()
    channel.renew()
    sys.unraisablehook = previous
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    return failures[0] if failures else None


def _serve(channel, logs, init, handler, failure):
    limit = init["maxResultBytes"]
    while True:
        frame = channel.receive()
        if frame is None:
            return
        kind, data, end = frame
        if kind != protocol.INVOKE or end < 28:
            raise protocol.ProtocolError("expected INVOKE")
        nonce = bytes(data[8:24])
        payload = 28 + int.from_bytes(data[24:28], "little")
        if payload > end:
            raise protocol.ProtocolError("INVOKE without payload")
        meta = codec.loads(data[28:payload])
        logs.request_id = meta["requestId"]
        _set_trace(meta["traceId"])
        try:
            if failure is not None:
                raise failure
            body = _invoke(handler, data[payload:end], LambdaContext(init, meta), limit)
        except SystemExit:
            # As on Lambda: the process ends, and its exit status is the answer.
            logs.flush()
            raise
        except BaseException as error:
            _leave_if_forked(channel)
            report = errors.report(error)
            del error
            logs.flush()
            logs.report(report)
            channel.error(nonce, report.encode())
        else:
            _leave_if_forked(channel)
            logs.flush()
            channel.result(nonce, body)
            body = None
        data = frame = None


def _invoke(handler, payload, context, limit):
    try:
        event = codec.loads(payload)
    except Exception as error:
        raise errors.Fault("Unhandled", "Runtime.UnmarshalError", f"Unable to unmarshal input: {errors.message_of(error)}") from None
    result = handler(event, context)
    if isinstance(result, bytes):
        # Ready-made JSON, which the worker checks.
        body = result
    else:
        try:
            body = codec.dumps(result)
        except Exception as error:
            message = f"Unable to marshal response: {errors.message_of(error)}"
            raise errors.Fault("InvalidResponse", "Runtime.MarshalError", message) from None
    if len(body) > limit:
        message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
        raise errors.Fault("ResponseTooLarge", "Function.ResponseSizeTooLarge", message)
    return body


def _leave_if_forked(channel):
    """A child that the user forked and let run on has come here with its parent's work: it may not answer."""
    if channel.detached:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:
                pass
        os._exit(0)


def _set_trace(trace_id):
    # By the encoded name: asking os.environ for what is not there raises and catches an exception.
    if trace_id is not None:
        os.environ[_TRACE_VARIABLE] = trace_id
    elif _TRACE_KEY in os.environ._data:
        del os.environ[_TRACE_VARIABLE]


def _apply_environment(environment):
    """After a fork: the function's environment replaces the zygote's (guest/PROTOCOL.md, "Environment after a fork")."""
    variables = os.environ
    # What os.environ keeps, in its encoding: asking os.environ itself raises and catches an exception for every new name.
    encoded, encode = variables._data, variables.encodekey
    timezone = encoded.get(_TZ)
    gone = set(encoded)
    for name, value in environment.items():
        name, value = encode(name), encode(value)
        gone.discard(name)
        if encoded.get(name) != value:
            os.putenv(name, value)
            encoded[name] = value
    for name in gone:
        del variables[variables.decodekey(name)]
    if encoded.get(_TZ) != timezone:
        import time

        time.tzset()
    if environment.get("PYTHONDONTWRITEBYTECODE"):
        sys.dont_write_bytecode = True
    python_path = loader.python_path(environment)
    if python_path:
        sys.path[:0] = [entry for entry in python_path if entry not in sys.path]


def _add_site_builtins():
    """What the site module adds and scripts use; the interpreter runs without it (-S)."""
    import _sitebuiltins

    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()
