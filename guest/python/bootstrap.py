"""Entry point of a Python guest: python3.N -S /var/runtime/python/bootstrap.py, with the worker's stream as descriptor 3."""

import sys

# The bootstrap's directory is on the path only for this import: nothing of ours may shadow a module of the user's, nor the other way round.
_here = __file__.rpartition("/")[0]
sys.path[:] = [_here] + [entry for entry in sys.path if entry != _here]

from flint_guest import runtime  # noqa: E402

del sys.path[0]

if __name__ == "__main__":
    runtime.prepare()
    runtime.run(3)
