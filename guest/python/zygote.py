"""Entry point of the Python zygote: python3.N -S /var/runtime/python/zygote.py, preloaded and started by the launcher."""

import sys

# As in bootstrap.py.
_here = __file__.rpartition("/")[0]
sys.path[:] = [_here] + [entry for entry in sys.path if entry != _here]

from flint_guest import zygote as runtime  # noqa: E402

del sys.path[0]

if __name__ == "__main__":
    runtime.prepare(_here)
    runtime.serve()
    runtime.run()
