"""How many threads share a kernel, and why only one kernel runs at a time.

Results do not depend on the number of threads: a thread owns whole sums, never a part of one.
"""

import os
import threading

import numba
from numba import config

from .. import arguments

SPINS = 4000
SMALL = 20_000  # numbers of an elementwise kernel; a launch takes as long as 10,000 of them


def _wait_briefly():
    """Let an idle OpenMP worker spin for some 50 microseconds, not for 5 milliseconds, before it sleeps.

    Between two kernels of a training step it need not sleep. But where another program wants the core, the
    one who spins keeps from running the one that is waited for, and a launch takes a scheduler's time slice.
    The runtime reads its environment when it is loaded; what the user has set stands.
    """
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        return
    os.environ["GOMP_SPINCOUNT"] = str(SPINS)
    try:
        import numba.np.ufunc.omppool  # noqa: F401
    except ImportError:
        pass  # numba brings another threading layer
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_wait_briefly()
_threads = config.NUMBA_NUM_THREADS
_forked = False
# numba's workqueue layer aborts the process when two Python threads launch at once, and the packing buffers
# are shared: so one launch at a time. Reentrant, because a signal handler may land in the middle of one
_lock = threading.RLock()


def set_threads(n):
    """Use n threads, from 1 to what the machine (or NUMBA_NUM_THREADS) gives; results do not change."""
    global _threads
    n = arguments.integer("threads", n)
    if n > config.NUMBA_NUM_THREADS:
        raise ValueError(f"threads must be at most {config.NUMBA_NUM_THREADS} here, got {n}")
    _threads = n


def get_threads():
    """The number of threads that kernels use; always 1 in a forked child."""
    return 1 if _forked else _threads


def lock():
    """The lock that a launch holds, for what must not happen during one."""
    return _lock


def worth(numbers):
    """The threads that so many numbers are worth: below SMALL, waking a second costs more than it brings."""
    return 1 if numbers < SMALL else get_threads()


def launch(serial, parallel, args, count):
    """Run a kernel's version for one thread, or the one for many, and nothing else meanwhile."""
    if count == 1 or _forked:
        with _lock:
            serial(*args)
    else:
        together(parallel, count, args)


def together(parallel, count, args):
    """Run what launches threads, `count` of them."""
    if _forked:
        raise RuntimeError("a forked child cannot go on with a walk that its parent began: run forward again")
    with _lock:
        if count == config.NUMBA_NUM_THREADS:
            return parallel(*args)
        before = numba.get_num_threads()
        numba.set_num_threads(count)
        try:
            parallel(*args)
        finally:
            numba.set_num_threads(before)


def forked():
    """Whether this is a forked child, which must not launch."""
    return _forked


# The OpenMP runtime does not survive a fork: a child that launches is killed. So a child works serially.
# Forking waits for a running launch, or the child would inherit a compiler or a buffer in mid-change.
def _in_child():
    global _lock, _forked
    _lock, _forked = threading.RLock(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _lock.acquire(),
        after_in_parent=lambda: _lock.release(),
        after_in_child=_in_child,
    )
