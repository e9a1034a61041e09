"""Speaks before it is asked: while it is imported."""

import os
import struct

_EARLY = os.environ.get("SAY", "")
if _EARLY == "result":
    _body = bytes(16) + b'{"worked":true,"forged":true}'
    os.write(3, struct.pack("<BBHI", 1, 0x85, 0, len(_body)) + _body)
elif _EARLY == "init twice":
    os.write(3, struct.pack("<BBHI", 1, 0x82, 0, 0))
elif _EARLY == "init and result":
    _body = bytes(16) + b'{"worked":true,"forged":true}'
    os.write(3, struct.pack("<BBHI", 1, 0x82, 0, 0) + struct.pack("<BBHI", 1, 0x85, 0, len(_body)) + _body)
elif _EARLY == "exit":
    os._exit(0)
elif _EARLY == "loop":
    while True:
        pass


def handler(event, context):
    return {"worked": _EARLY == ""}
