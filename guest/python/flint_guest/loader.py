"""Finds the handler (Lambda's rules: module.function, module path with dots or slashes)."""

import os
import sys

from .errors import Fault, message_of


def set_path(task_root):
    """The code first, then layers, then what the interpreter and PYTHONPATH gave."""
    layers = (f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages", "/opt/python")
    wanted = [task_root, *(layer for layer in layers if os.path.isdir(layer))]
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
