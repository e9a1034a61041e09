"""
JSON as Lambda's Python runtimes read and write it. CPython's C scanner and encoder are used without the json package around them, whose
import (with re) doubles a cold start; where an interpreter has them not, or changed, the package does the work.
"""

_SPACE = " \t\n\r"


class Raw(str):
    """A number's text, written as it is."""


def _not_json(name):
    raise ValueError(f"{name} is not JSON")


class _ScannerOptions:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_not_json)
    memo = {}


def _default(value):
    import sys

    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise ValueError("Out of range Decimal values are not JSON compliant")
        return Raw(value)
    raise TypeError(f"Object of type {value.__class__.__name__} is not JSON serializable")


def _package_loads(text):
    import json

    return json.loads(text, parse_constant=_not_json)


def _package_dumps(value):
    """Slow and complete: also Decimal, whose digits are kept by writing marked strings without their quotes."""
    from json.encoder import JSONEncoder, c_make_encoder, encode_basestring_ascii, _make_iterencode

    def string(text):
        return str(text) if type(text) is Raw else encode_basestring_ascii(text)

    if isinstance(value, str):
        return string(value)
    encoder = JSONEncoder(allow_nan=False, default=_default)
    if c_make_encoder is not None:
        chunks = c_make_encoder({}, _default, string, None, ": ", ", ", False, False, False)(value, 0)
    else:
        def number(x):
            if x != x or x in (float("inf"), float("-inf")):
                raise ValueError("Out of range float values are not JSON compliant")
            return float.__repr__(x)

        chunks = _make_iterencode({}, encoder.default, string, None, number, ": ", ", ", False, False, False)(value, 0)
    text = "".join(chunks)
    return text


class _NeedsPackage(Exception):
    pass


def _default_fast(value):
    raise _NeedsPackage


try:
    from _json import encode_basestring_ascii as _encode_string, make_encoder as _make_encoder, make_scanner as _make_scanner

    _scan = _make_scanner(_ScannerOptions)

    def _new_encoder():
        return _make_encoder({}, _default_fast, _encode_string, None, ": ", ", ", False, False, False)

    _encode = _new_encoder()
    _FAST = "".join(_encode({"a": [1, None]}, 0)) == '{"a": [1, null]}' and _scan('{"a": [1.5]}', 0)[0] == {"a": [1.5]}
except Exception:
    _FAST = False


def loads(data):
    """One JSON value from UTF-8 bytes. Raises ValueError or RecursionError."""
    text = str(data, "utf-8")
    if not _FAST:
        return _package_loads(text)
    start = 0
    if text[:1] in _SPACE:
        start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scan(text, start)
    except StopIteration:
        raise ValueError("no JSON value") from None
    except SystemError:
        # What is wrong would be said by json.decoder, which is not imported.
        raise ValueError("not JSON") from None
    if end != len(text) and text[end:].strip(_SPACE):
        raise ValueError("data after the JSON value")
    return value


def dumps(value):
    """UTF-8 bytes of one JSON value. Raises TypeError, ValueError or RecursionError for what JSON cannot hold."""
    global _encode
    if not _FAST:
        return _package_dumps(value).encode("ascii")
    if type(value) is str:
        return _encode_string(value).encode("ascii")
    try:
        return "".join(_encode(value, 0)).encode("ascii")
    except _NeedsPackage:
        _encode = _new_encoder()
        return _package_dumps(value).encode("ascii")
    except BaseException:
        # It remembers the containers that it was in.
        _encode = _new_encoder()
        raise
