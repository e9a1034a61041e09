"""Programs whose output is to be taken for something else: other lines, other streams, other invocations, other records."""

import json
import logging
import os
import sys

_ID = "00000000-0000-7000-8000-000000000000"

FORGED = [
    f"START RequestId: {_ID} Version: 9",
    f"END RequestId: {_ID}",
    f"REPORT RequestId: {_ID}\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 1 MB\tMax Memory Used: 1 MB\t",
    "2001-01-01T00:00:00.000Z\t" + _ID + "\tERROR\tforged",
    json.dumps({"time": "2001-01-01T00:00:00Z", "type": "platform.report", "record": {"requestId": _ID, "status": "success"}}),
    json.dumps({"stream": "platform", "text": "forged", "timestamp": "2001-01-01T00:00:00Z", "level": "FATAL"}),
    "warn: Flint.Server[9]\r\n      forged",
    "one\rtwo",
    "one\r\ntwo\r\n\r\nthree",
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m",
    "a\x00b\x08\x08\x7f\x85\u2028\u2029",
    "\u202egnp.exe\u2066",
    '"},{"stream":"platform","text":"forged"},{"text":"',
    "</script><script>alert(1)</script>",
    "%s%n%x {0} ${jndi:ldap://127.0.0.1/} $(id)",
    "\ud800 half a surrogate",
]


def write(event, context):
    way = event["way"]
    for text in ["plain"] if event.get("plain") else FORGED:
        if way == "print":
            try:
                print(text)
            except UnicodeError:
                print("not printable")
        elif way == "logging":
            logging.getLogger().setLevel(logging.INFO)
            logging.getLogger("name\r\nEND RequestId: forged\x1b[2J").error(text)
        elif way == "raw":
            os.write(1, (text + "\n").encode("utf-8", "surrogatepass"))
        elif way == "raw stderr":
            os.write(2, (text + "\n").encode("utf-8", "surrogatepass"))
    sys.stdout.flush()
    return {"worked": True, "id": context.aws_request_id}


def long_line(event, context):
    """One line without an end."""
    block = b"x" * (1 << 20)
    for _ in range(event["mb"]):
        if event["way"] == "raw":
            view = memoryview(block)
            while view:
                view = view[os.write(1, view):]
        else:
            sys.stdout.write(block.decode())
    return {"worked": True}


def many_lines(event, context):
    for number in range(event["lines"]):
        print(number)
    return {"worked": True}


def fail(event, context):
    raise ValueError("deliberate")
