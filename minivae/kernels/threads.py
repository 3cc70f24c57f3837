"""How many threads share a kernel, and why only one kernel runs at a time.

Results do not depend on the number of threads: a thread owns whole sums, never a part of one.
"""

import os
import threading
from contextlib import suppress

from numba import config

from .. import arguments

SPINS = 4000
SMALL = 10_000  # numbers in an elementwise kernel; a parallel launch takes as long as so many of them


def _wait_briefly():
    """Let an idle OpenMP worker spin for some 50 microseconds, not for 5 milliseconds, before it sleeps.

    Between two kernels of a training step it need not sleep. But if another program wants the core, a
    spinning worker blocks the thread that the others wait for, and a launch then takes a time slice of the
    scheduler. The runtime reads its environment when it is loaded; a setting of the user's is respected.
    """
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        return
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    with suppress(ImportError):  # numba uses another threading layer
        import numba.np.ufunc.omppool  # noqa: F401
    del os.environ["GOMP_SPINCOUNT"]


_wait_briefly()
_threads = config.NUMBA_NUM_THREADS
_forked = False
# numba's workqueue layer aborts the process when two Python threads launch at once, so one launch at a time.
# Reentrant, because a signal handler may start a kernel in the middle of one
lock = threading.RLock()


def set_threads(n):
    """Use n threads, from 1 to the number of cores (or NUMBA_NUM_THREADS); results do not change.

    `numba.set_num_threads` is for other code, and does not matter here.
    """
    global _threads
    n = arguments.integer("threads", n)
    if n > config.NUMBA_NUM_THREADS:
        raise ValueError(f"threads must be at most {config.NUMBA_NUM_THREADS} here, got {n}")
    _threads = n


def get_threads():
    """The number of threads that kernels use; always 1 in a forked child."""
    return 1 if _forked else _threads


def worth(numbers):
    """How many threads an elementwise kernel over so many numbers should use: one if there are few."""
    return 1 if numbers < SMALL else get_threads()


def launch(kernel, count, *args):
    """Run a kernel, whose first argument is the number of threads that share it -> what it returns."""
    with lock:
        return kernel(count, *args)


# The OpenMP runtime does not survive a fork: a child that launches is killed. So a child works serially.
# A fork waits until a running launch ends; otherwise the child would inherit a half-written buffer
def _in_child():
    global _forked
    _forked = True
    lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=_in_child)
