"""Results that a parser of JSON may choke on, or that are no JSON at all."""

import math


def handler(event, context):
    what = event["what"]
    if what == "cyclic":
        value = []
        value.append({"again": value})
        return value
    if what == "deep":
        value = 1
        for _ in range(event["depth"]):
            value = [value]
        return value
    if what == "nan":
        return {"value": math.nan}
    if what == "infinity":
        return -math.inf
    if what == "lone surrogate":
        return {"\ud800": "\udfff"}
    if what == "many keys":
        return {f"key{number}": number for number in range(event["count"])}
    if what == "large number":
        return 10 ** 4000
    if what == "proto":
        return {"__proto__": {"polluted": True}, "constructor": {"prototype": {"polluted": True}}}
    if what == "headers":
        return {"statusCode": 204, "headers": {"X-A": "a\r\nX-Injected: 1\r\n\r\nHTTP/1.1 200 OK", "Transfer-Encoding": "chunked", "Connection": "close"},
                "body": "\r\n0\r\n\r\n"}
    if what == "error":
        raise type("Bad\r\nX-Injected: 1", (Exception,), {})("a\r\nX-Injected: 1\r\n\r\nbody")
    return {"plain": True}
