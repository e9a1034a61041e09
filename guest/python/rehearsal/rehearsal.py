"""The handler that a zygote runs before it serves, so that its forks do nothing for the first time."""

import logging


class Refused(Exception):
    pass


def handler(event, context):
    print("rehearsal", event["number"], context.aws_request_id, context.get_remaining_time_in_millis())
    logging.warning("rehearsal %s", event)
    if event["fail"]:
        raise Refused(event["text"])
    return {"ok": True, "event": event, "numbers": [1, 2.5, -3], "text": "\u00e9", "nothing": None}
