"""Finds the handler (Lambda's rules: module.function, module path with dots or slashes)."""

import os
import sys

from .errors import Fault, message_of


_LAYERS = (f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages", "/opt/python")
_ENDINGS = (".py", ".pyc", ".so")


def python_path(environment):
    return [entry for entry in environment.get("PYTHONPATH", "").split(":") if entry]


def directories(task_root, environment):
    """All whose modules come before the standard library's."""
    return [task_root, *_LAYERS, *python_path(environment)]


def give_way(places, keep):
    """
    Forgets the modules outside of `keep` that these directories have too: the function's own queue.py or secrets/ is what it means by
    that name, whatever a zygote has imported.
    """
    for place in places:
        try:
            entries = os.listdir(place)
        except OSError:
            continue
        for entry in entries:
            name, dot, _ = entry.partition(".")
            if name in sys.modules and name not in keep and (entry.endswith(_ENDINGS) if dot else _is_package(place, name)):
                for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(name + ".")]:
                    del sys.modules[loaded]


def _is_package(place, name):
    return any(os.path.exists(f"{place}/{name}/__init__{ending}") for ending in _ENDINGS)


def set_path(task_root):
    """The code first, then layers, then what the interpreter and PYTHONPATH gave."""
    wanted = [task_root, *(layer for layer in _LAYERS if os.path.isdir(layer))]
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]
    try:
        os.chdir(task_root)
    except OSError:
        pass


def load(handler):
    """The callable. Raises Fault for what Lambda has codes for, and whatever the module raises while it is run."""
    try:
        module_path, function_name = handler.rsplit(".", 1)
    except ValueError as error:
        raise Fault("HandlerNotFound", "Runtime.MalformedHandlerName", f"Bad handler '{handler}': {error}") from None
    module_name = module_path.replace("/", ".")
    if module_name in sys.builtin_module_names:
        raise Fault("ImportError", "Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_path} as a handler module")
    module = _import(module_name, module_path)
    try:
        function = getattr(module, function_name)
    except AttributeError:
        raise Fault("HandlerNotFound", "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_path}'") from None
    if not callable(function):
        raise Fault("HandlerNotFound", "Runtime.HandlerNotFound", f"Handler '{function_name}' on module '{module_path}' is not callable")
    return function


def _import(module_name, module_path):
    try:
        if not module_name or module_name[0] == ".":
            raise ImportError(f"No module named '{module_name}'")
        __import__(module_name)
        return sys.modules[module_name]
    except ImportError as error:
        raise Fault("ImportError", "Runtime.ImportModuleError", f"Unable to import module '{module_path}': {message_of(error)}") from None
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").rstrip()}']
        raise Fault("SyntaxError", "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_path}': {message_of(error)}", trace) from None
