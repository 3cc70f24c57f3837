"""How many threads share a kernel, how they share it, on which cores, and why one kernel runs at a time.

A share is an ordinary compiled function, for one thread or many; numba's `prange` would compile every loop
several times, three times as long. A thread owns whole sums, so the number of threads changes no result.
"""

import os
import sys
import threading
from contextlib import suppress

from llvmlite import ir
from numba import config, threading_layer
from numba.core import cgutils, types
from numba.extending import intrinsic

from .. import arguments
from .compiled import inner
from .vectors import call

SMALL = 10_000  # numbers in an elementwise kernel; a parallel launch takes as long as so many of them
LINE = 16  # numbers in the cache lines that are never split between two threads
_void, _int, _index, _bytes = ir.VoidType(), ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
_set = ir.IntType(1024)  # of cores, one bit for each
# what numba's threads run: it takes the addresses of arguments, sizes, steps, and of data of its own
_job = ir.FunctionType(_void, [_bytes.as_pointer(), _index.as_pointer(), _index.as_pointer(), _bytes])

# Let an idle OpenMP worker spin for some 100 microseconds, so that it is awake for the next kernel of a step.
# The default, 5 milliseconds, is too long: where other programs run, it holds up the thread that others wait
# for. The runtime reads its environment when it is loaded; a setting of the user's is respected
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
    os.environ["GOMP_SPINCOUNT"] = "6500"
    with suppress(ImportError):  # numba uses another threading layer
        import numba.np.ufunc.omppool  # noqa: F401
    del os.environ["GOMP_SPINCOUNT"]

_threads = config.NUMBA_NUM_THREADS
_forked = False
# numba's workqueue layer aborts the process when two Python threads launch at once, so one launch at a time.
# Reentrant, because a signal handler may start a kernel in the middle of one
lock = threading.RLock()


def set_threads(n):
    """Use n threads, up to NUMBA_NUM_THREADS (all cores if not set); numba.set_num_threads is for others."""
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


def _keep_off(builder, parts, caller, core):
    """Keep a worker off its caller's core, where Linux may wake it too late, if there are cores for all."""
    thread, here = call(builder, _index, "pthread_self"), call(builder, _int, "sched_getcpu")
    met = builder.and_(builder.icmp_signed("!=", caller, thread), builder.icmp_signed("==", core, here))
    with builder.if_then(met, likely=False):
        place = cgutils.alloca_once_value(builder, _set(0))
        given = _index(_set.width // 8), builder.bitcast(place, _bytes)
        call(builder, _int, "pthread_getaffinity_np", caller, *given)
        cores, this = builder.load(place), builder.and_(builder.zext(core, _set), _set(_set.width - 1))
        enough = builder.icmp_unsigned(">=", builder.ctpop(cores), builder.zext(parts, _set))
        others = builder.and_(cores, builder.not_(builder.shl(_set(1), this)))
        builder.store(builder.select(enough, others, _set(0)), place)
        call(builder, _int, "sched_setaffinity", _int(0), *given)  # Linux refuses an empty set


@intrinsic
def in_parallel(typing_context, share, parts, args):
    """Run share(index, parts, *args) for every index < parts at once, each on a thread, and wait for all.

    `share` is a compiled function; it returns nothing and raises nothing. `parts` is at most the number of
    numba's threads. A single part runs on the thread that calls: a forked child has no other.
    """
    signature = share.get_call_type(typing_context, (types.intp, types.intp, *args.types), {})
    version = share.dispatcher.overloads[signature.args]

    def codegen(context, builder, _, values):
        _, parts, args_ = values
        context.add_linking_libs([version.library])

        def run(builder, index, parts, given):
            given = [index, parts, *cgutils.unpack_tuple(builder, given, len(args.types))]
            context.call_internal_no_propagate(builder, version.fndesc, signature, given)

        movable = sys.platform == "linux" and threading_layer() == "omp"  # where the caller runs a share, too
        caller = call(builder, _index, "pthread_self") if movable else _index(0)
        core = call(builder, _int, "sched_getcpu") if movable else _int(0)
        data = cgutils.make_anonymous_struct(builder, (parts, args_, caller, core))
        # numba steps through one "argument" byte by byte, from the address of our data: the distance from it
        # is the index of the first share that a job runs, and the size is how many
        job = ir.Function(builder.module, _job, builder.module.get_unique_name("job"))
        job.linkage = "internal"
        inside = ir.IRBuilder(job.append_basic_block())
        at, start = (inside.ptrtoint(p, _index) for p in (inside.load(job.args[0]), job.args[3]))
        found = inside.load(inside.bitcast(job.args[3], data.type.as_pointer()))
        count, handed, *launched = (inside.extract_value(found, i) for i in range(4))
        if movable:
            _keep_off(inside, count, *launched)
        with cgutils.for_range(inside, inside.load(job.args[1]), intp=_index) as loop:
            index = inside.add(inside.sub(at, start), loop.index)
            run(inside, index, count, handed)
        inside.ret_void()

        place = cgutils.alloca_once_value
        with builder.if_else(builder.icmp_signed("==", parts, _index(1))) as (alone, together):
            with alone:
                run(builder, _index(0), parts, args_)
            with together:
                own = builder.bitcast(place(builder, data), _bytes)
                four = place(builder, own), place(builder, parts), place(builder, _index(1)), own
                users = call(builder, _int, "get_num_threads")  # set for other code, and again below
                # the job, what it takes, two counts of arguments, the number of threads
                given = builder.bitcast(job, _bytes), *four, _index(0), _index(1), parts
                call(builder, _void, "numba_parallel_for", *given)
                call(builder, _void, "set_num_threads", users)
        return context.get_dummy_value()

    return types.void(share, types.intp, args), codegen


@inner
def range_of(size, unit, index, parts):
    """Where part `index` begins and ends, in whole units; no part is larger than the first."""
    units = -(-size // unit)
    low, high = -(-units * index // parts), -(-units * (index + 1) // parts)
    return min(size, unit * low), min(size, unit * high)
