"""Programs that hold a secret, and programs that look for another's everywhere in their own memory and files."""

import os

_secret = os.environ.get("SECRET")
# Not its own inverse: a masked copy of the masked text must not be the text.
_MASK = bytes((value + 0x35) & 0xFF for value in range(256))
_UNMASK = bytes((value - 0x35) & 0xFF for value in range(256))
_SKIPPED = ("/proc/kcore", "/proc/kmsg", "/proc/sys/vm/compact_memory")


def hold(event, context):
    """Has it in its environment, its event, its heap, a file, and an error's text."""
    copies = [event["secret"] + str(number) for number in range(50)]
    with open("/tmp/secret", "w") as file:
        file.write(event["secret"])
    os.environ["SECRET_COPY"] = event["secret"]
    print(event["secret"])
    return {"worked": _secret == event["secret"] and len(copies) == 50}


def _scan(descriptor, limit, needle, seek=None):
    """The needle comes masked, and what is looked through is masked too, so that the search itself puts the text nowhere."""
    kept = b""
    position = seek
    done = 0
    while done < limit:
        try:
            data = os.pread(descriptor, min(1 << 20, limit - done), position) if seek is not None else os.read(descriptor, 65536)
        except OSError:
            break
        if not data:
            break
        if needle in kept + data.translate(_MASK):
            return True
        kept = data[-len(needle):].translate(_MASK)
        done += len(data)
        if seek is not None:
            position += len(data)
    return False


def search(event, context):
    """All of its own memory, and every file that it can read below the folders that are the kernel's or the platform's."""
    needle = bytes.fromhex(event["masked"])
    if event["own"]:
        globals()["kept"] = needle.translate(_UNMASK)
    places = []
    regions = 0
    with open("/proc/self/maps") as maps:
        ranges = [line.split() for line in maps]
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    for parts in ranges:
        if "r" not in parts[1] or parts[-1] in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
            continue
        start, end = (int(part, 16) for part in parts[0].split("-"))
        regions += 1
        if _scan(memory, end - start, needle, start):
            places.append(parts[0] + " " + parts[-1])
    os.close(memory)
    files = 0
    for top in event.get("folders", []):
        for folder, folders, names in os.walk(top):
            if folder.count("/") > 6 or files > 20000:
                folders.clear()
            for name in names:
                path = os.path.join(folder, name)
                if path in _SKIPPED or path.endswith("/mem") or os.path.islink(path):
                    continue
                try:
                    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                except OSError:
                    continue
                files += 1
                try:
                    if _scan(descriptor, 1 << 18, needle):
                        places.append(path)
                finally:
                    os.close(descriptor)
    return {"worked": bool(places), "places": places[:20], "regions": regions, "files": files}
