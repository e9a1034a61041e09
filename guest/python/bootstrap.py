"""Entry point of a Python guest: python3.N -S /var/runtime/python/bootstrap.py, with the worker's stream as descriptor 3."""

import sys

from flint_guest import runtime

# The script's own directory is on the path only for the import above: nothing of ours may shadow a module of the user's.
del sys.path[0]

if __name__ == "__main__":
    runtime.prepare()
    runtime.run(3)
