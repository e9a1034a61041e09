"""Finds the handler (Lambda's rules: module.function, module path with dots or slashes)."""

import _frozen_importlib as _bootstrap
import _frozen_importlib_external as _external
import _imp
import os
import sys
from _io import FileIO

from .errors import Fault, message_of


_LAYERS = (f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages", "/opt/python")
_ENDINGS = (".py", ".pyc", ".so")


def python_path(environment):
    return [entry for entry in environment.get("PYTHONPATH", "").split(":") if entry]


def give_way(task_root, environment, keep):
    """
    Forgets the modules outside of `keep` that are in the directories whose modules come before the standard library's: the function's own queue.py or secrets/ is
    what it means by that name, whatever a zygote has imported.
    """
    for place in [task_root, *_layers(), *python_path(environment)]:
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


def _layers():
    # Asked for with access, which raises nothing where there is none, as is usual.
    return [layer for layer in _LAYERS if os.access(layer, os.F_OK)] if os.access(_LAYERS[-1], os.F_OK) else []


def set_path(task_root):
    """The code first, then layers, then what the interpreter and PYTHONPATH gave."""
    wanted = [task_root, *_layers()]
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]
    try:
        os.chdir(task_root)
    except OSError:
        pass


def load(handler, task_root):
    """The callable. Raises Fault for what Lambda has codes for, and whatever the module raises while it is run."""
    try:
        module_path, function_name = handler.rsplit(".", 1)
    except ValueError as error:
        raise Fault("HandlerNotFound", "Runtime.MalformedHandlerName", f"Bad handler '{handler}': {error}") from None
    module_name = module_path.replace("/", ".")
    if module_name in sys.builtin_module_names:
        raise Fault("ImportError", "Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_path} as a handler module")
    return pick(import_by(lambda: _import(module_name, task_root), module_path), module_path, function_name)


def pick(module, module_path, function_name):
    """The module's function of that name."""
    try:
        function = getattr(module, function_name)
    except AttributeError:
        raise Fault("HandlerNotFound", "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_path}'") from None
    if not callable(function):
        raise Fault("HandlerNotFound", "Runtime.HandlerNotFound", f"Handler '{function_name}' on module '{module_path}' is not callable")
    return function


def _import(module_name, task_root):
    if not module_name or module_name[0] == ".":
        raise ImportError(f"No module named '{module_name}'")
    module = _import_file(module_name, task_root)
    if module is None:
        __import__(module_name)
        module = sys.modules[module_name]
    return module


def import_by(run, module_path):
    """The module that `run` gives; what is wrong with it in Lambda's codes."""
    try:
        return run()
    except ImportError as error:
        raise Fault("ImportError", "Runtime.ImportModuleError", f"Unable to import module '{module_path}': {message_of(error)}") from None
    except SyntaxError as error:
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {(error.text or "").rstrip()}']
        raise Fault("SyntaxError", "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_path}': {message_of(error)}", trace) from None


def _import_file(name, task_root):
    """
    The module of a plain file at the top of the code, without Python's search for it, which costs as much as a small function itself. None where the search
    could find another than this file, or bytecode of it; then the search decides.
    """
    if "." in name or name in sys.modules or sys.path[0] != task_root or _imp.is_frozen(name) or sys.pycache_prefix is not None or sys.flags.optimize:
        return None
    try:
        file = name + ".py"
        for entry in os.listdir(task_root):
            if entry == "__pycache__" or entry != file and entry.partition(".")[0] == name:
                return None
        path = f"{task_root}/{file}"
        with FileIO(path) as opened:
            source = opened.readall()
    except OSError:
        return None
    # As importlib would make them.
    loader = _external.SourceFileLoader(name, path)
    spec = _bootstrap.ModuleSpec(name, loader, origin=path)
    spec.has_location = True
    spec.cached = f"{task_root}/__pycache__/{name}.{sys.implementation.cache_tag}.pyc"
    module = type(sys)(name)
    variables = module.__dict__
    variables["__loader__"] = loader
    variables["__package__"] = ""
    variables["__spec__"] = spec
    variables["__file__"] = path
    variables["__cached__"] = spec.cached
    spec._initializing = True
    sys.modules[name] = module
    try:
        exec(compile(source, path, "exec", dont_inherit=True), variables)
        return sys.modules[name]
    except BaseException:
        sys.modules.pop(name, None)
        raise
    finally:
        spec._initializing = False
