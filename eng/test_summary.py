"""Reads what ./test wrote: xunit's XML of each project, and checks.tsv. Standard library only.

one FILE STATUS SECONDS   prints one project's line; records a project that did not finish as failed
all DIRECTORY             prints every failure and skip reason, then the sum as the last line; exit status 1 when anything failed
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as ElementTree

SUM = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


def read(path):
    """The <test> elements and error messages outside any test, or None when the run left no usable file."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    assemblies = root.findall("assembly")
    if not assemblies:
        return None
    tests = [test for test in root.iter("test") if test.get("result") != "NotRun"]
    errors = [error for assembly in assemblies for error in assembly.findall("errors/error")]
    return tests, errors


def count(tests, errors):
    results = [test.get("result") for test in tests]
    passed, skipped = results.count("Pass"), results.count("Skip")
    return passed, len(results) - passed - skipped + len(errors), skipped


def message_of(element):
    parts = [element.findtext("failure/message") or "", element.findtext("failure/stack-trace") or ""]
    return "\n".join("    " + line for part in parts for line in part.strip().splitlines())


def sum_of(log):
    """The numbers of a check that counts for itself: its last line is such a sum too. Else zeros."""
    lines = [line for line in pathlib.Path(log).read_text(errors="replace").splitlines() if not line.startswith("make")]
    found = SUM.fullmatch(lines[-1].strip()) if lines else None
    return tuple(map(int, found.groups())) if found else (0, 0, 0)


SHOWN_LINES = 40


def failures_of(name, log):
    """What failed in a check, each with the end of what it printed. The native tests say "== part" and then "FAIL [surroundings: ]test" and its output;
    of any other check, or one that says nothing of the kind, the end of the log is all there is."""
    lines = pathlib.Path(log).read_text(errors="replace").splitlines()
    found, part, kept = [], "", None
    for line in lines:
        if line.startswith("== "):
            part, kept = line[3:], None
        elif line.startswith("FAIL "):
            kept = []
            found.append((f"{part}: {line[5:]}", kept))
        elif line.startswith(("pass ", "skip ")) or SUM.fullmatch(line.strip()):
            kept = None
        elif kept is not None:
            kept.append(line)
    return [f"{name}: {what}; see {log}\n" + "\n".join("    " + line for line in end[-SHOWN_LINES:]) for what, end in found or [("the end of its output", lines)]]


def one(path, status, seconds):
    path = pathlib.Path(path)
    found = read(path)
    if found is None or (not found[0] and not found[1]):
        reason = "found no tests" if found is not None else "did not finish"
        if status == 124:
            reason = "ran out of time"
        print(f"FAILED: {reason} (exit status {status}, {seconds} s)")
        path.with_suffix(".crash").write_text(f"{reason}, exit status {status}")
        return
    passed, failed, skipped = count(*found)
    if status not in (0, 1) or (status == 1 and failed == 0):
        path.with_suffix(".crash").write_text(f"ended with exit status {status} although {failed} tests failed")
    print(f"{passed} passed, {failed} failed, {skipped} skipped ({seconds} s)")


def all_of(directory):
    directory = pathlib.Path(directory)
    passed = failed = skipped = 0
    failures, skips = [], {}
    for line in (directory / "checks.tsv").read_text().splitlines():
        name, result, log = line.split("\t")
        numbers = sum_of(log)
        if result != "passed" and not numbers[1]:
            numbers = (numbers[0], 1, numbers[2])
        if numbers == (0, 0, 0):
            numbers = (1, 0, 0)
        passed, failed, skipped = passed + numbers[0], failed + numbers[1], skipped + numbers[2]
        if numbers[1]:
            failures.extend(failures_of(name, log))
        if numbers[2]:
            skips[f"see {log}"] = numbers[2]
    for crash in sorted(directory.glob("*.crash")):
        failed += 1
        failures.append(f"{crash.stem}: {crash.read_text()}; see {crash.with_suffix('.log')}")
    for path in sorted(directory.glob("*.xml")):
        found = read(path)
        if found is None:
            continue
        tests, errors = found
        numbers = count(tests, errors)
        passed, failed, skipped = passed + numbers[0], failed + numbers[1], skipped + numbers[2]
        for test in tests:
            if test.get("result") == "Skip":
                reason = (test.findtext("reason") or "no reason given").strip()
                skips[reason] = skips.get(reason, 0) + 1
            elif test.get("result") != "Pass":
                failures.append(f"{test.get('name')}\n{message_of(test)}")
        failures.extend(f"{path.stem} ({error.get('type')})\n{message_of(error)}" for error in errors)
    for reason, times in sorted(skips.items()):
        print(f"skipped {times}: {reason}")
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    if sys.argv[1] == "one":
        one(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        sys.exit(all_of(sys.argv[2]))
