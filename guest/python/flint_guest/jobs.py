"""A job's function, which is called with the elements of a JSON array (guest/PROTOCOL.md, "Jobs")."""

import builtins
import sys

from . import loader
from .errors import Fault

# What limited globals can import, with their submodules: guest/PROTOCOL.md lists it too.
_MODULES = frozenset((
    "__future__", "abc", "array", "asyncio", "base64", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal",
    "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator", "random", "re", "statistics", "string", "textwrap",
    "time", "types", "typing", "unicodedata", "uuid", "zlib",
))
_NOT_THERE = ("open", "input", "breakpoint", "exit", "quit", "help", "__loader__", "__spec__")


async def _nothing():
    pass


_coroutine = _nothing()
_COROUTINE = type(_coroutine)
_coroutine.close()


def load(init):
    """A callable with a handler's arguments. Raises as the loader of handlers does."""
    handler, task_root = init["handler"], init["taskRoot"]
    if init["globals"] == "limited":
        main = _find(handler, lambda: _load_limited(handler, task_root))
    else:
        main = _find(handler, lambda: loader.load(handler, task_root))

    def call(event, context):
        if type(event) is not list:
            raise Fault("Unhandled", "Runtime.UnmarshalError", "The arguments are not a JSON array")
        result = main(*event)
        if type(result) is _COROUTINE:
            import asyncio

            result = asyncio.run(result)
        if isinstance(result, bytes):
            # A handler's are ready-made JSON; a job's reader would hardly mean that.
            raise Fault("InvalidResponse", "Runtime.MarshalError", "Unable to marshal response: Object of type bytes is not JSON serializable")
        return result

    return call


def _find(handler, load_function):
    try:
        return load_function()
    except Fault as fault:
        if fault.name != "Runtime.HandlerNotFound":
            raise
        module, _, function = handler.rpartition(".")
        what = f"{function} is not a function" if fault.message.endswith("callable") else f"there is no function {function}: define it with def {function}(...)"
        raise Fault(fault.type, fault.name, f"{module}.py: {what}") from None


def _load_limited(handler, task_root):
    name, _, function = handler.rpartition(".")
    path = f"{task_root}/{name}.py"
    module = type(sys)(name)
    variables = module.__dict__
    variables["__builtins__"] = _limited_builtins()

    def run():
        try:
            # The guest's own open: what the code could use to open files is not there.
            with builtins.open(path, "rb") as file:
                source = file.read()
        except FileNotFoundError:
            raise ImportError(f"there is no {name}.py") from None
        # Where dataclasses and typing look for the classes' module.
        sys.modules[name] = module
        exec(compile(source, path, "exec", dont_inherit=True), variables)
        return module

    return loader.pick(loader.import_by(run, name), name, function)


def _limited_builtins():
    limited = {name: value for name, value in vars(builtins).items() if name not in _NOT_THERE}
    limited["__import__"] = _limited_import
    return limited


def _limited_import(name, globals=None, locals=None, fromlist=(), level=0):
    if level or name.partition(".")[0] not in _MODULES:
        raise ImportError(f"{name} cannot be imported with limited globals, only: {', '.join(sorted(_MODULES))}")
    return builtins.__import__(name, globals, locals, fromlist, level)
