"""A harmless function that counts its invocations in memory."""

_count = 0


def handler(event, context):
    global _count
    _count += 1
    return {"worked": True, "count": _count}
