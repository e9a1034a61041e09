"""Draws from every source of random values, at init and now."""

import os
import random
import secrets
import tempfile
import uuid

_at_init = [random.random(), os.urandom(8).hex(), str(uuid.uuid4())]


def draw(event, context):
    now = {
        "random": random.random(),
        "randbits": random.getrandbits(64),
        "urandom": os.urandom(16).hex(),
        "secrets": secrets.token_hex(16),
        "uuid4": str(uuid.uuid4()),
        "uuid1": str(uuid.uuid1()),
        "tempfile": next(tempfile._get_candidate_names()),
        "shuffle": random.sample(range(1 << 30), 4),
    }
    return {"worked": True, "now": now, "atInit": _at_init}
