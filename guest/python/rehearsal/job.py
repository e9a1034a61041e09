"""A job, as rehearsal.py is a function."""

import json


class Refused(Exception):
    pass


def step(event):
    print("rehearsal", event["number"], json.dumps(event))
    if event["fail"]:
        raise Refused(event["text"])
    return {"ok": True, "event": event, "nothing": None}


async def wait(event):
    return step(event)


def main(event):
    return wait(event) if event["number"] else step(event)
