"""Programs that make processes, or end those of others."""

import os
import signal
import time


def _reap(children):
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except OSError:
            pass


def fork_bomb(event, context):
    """As many living children as it can get, up to a number that only a missing limit gives."""
    children = []
    error = None
    while len(children) < event["children"]:
        try:
            child = os.fork()
        except OSError as refused:
            error = refused.errno
            break
        if child == 0:
            signal.pause()
            os._exit(0)
        children.append(child)
    _reap(children)
    return {"worked": len(children) >= event["children"], "children": len(children), "errno": error}


def zombie_bomb(event, context):
    """Children that end at once and are never waited for: each keeps its pid."""
    children = []
    error = None
    while len(children) < event["children"]:
        try:
            child = os.fork()
        except OSError as refused:
            error = refused.errno
            break
        if child == 0:
            os._exit(0)
        children.append(child)
    _reap(children)
    return {"worked": len(children) >= event["children"], "children": len(children), "errno": error}


def exponential_fork_bomb(event, context):
    """Every process forks for ever. Only ever run with its walls up."""
    if event["bomb"]:
        while True:
            try:
                os.fork()
            except OSError:
                pass
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return {"worked": True}


def kill_everything(event, context):
    """kill -9 -1 reaches all that this process may signal; the neighbours say afterwards whether that was more than its own."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    os.kill(child if event["own"] else -1, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return {"worked": os.WIFSIGNALED(status)}


def kill_init(event, context):
    """May it signal PID 1, the trusted process of its cell?"""
    target = 1
    if event["own"]:
        target = os.fork()
        if target == 0:
            time.sleep(60)
            os._exit(0)
    try:
        os.kill(target, signal.SIGKILL)
    except PermissionError:
        return {"worked": False}
    return {"worked": True}


def signal_others(event, context):
    """Signals every pid it can name; only its own processes may be there."""
    own = set()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        own.add(child)
    reached = set()
    for pid in range(2, event["upTo"]):
        try:
            os.kill(pid, 0)
            reached.add(pid)
        except OSError:
            pass
    mine = own | {os.getpid()}
    result = {"worked": bool(reached - mine) if event["others"] else own <= reached, "foreign": sorted(reached - mine)}
    _reap(own)
    return result


def orphan(event, context):
    """Leaves an orphan that counts in a file; says how far an earlier one has come."""
    path = "/tmp/count"
    seen = None
    if os.path.exists(path):
        with open(path) as file:
            seen = int(file.read() or "0")
    elif os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            count = 0
            while True:
                count += 1
                with open(path + ".new", "w") as file:
                    file.write(str(count))
                os.rename(path + ".new", path)
                time.sleep(0.005)
        os._exit(0)
    return {"worked": True, "seen": seen}
