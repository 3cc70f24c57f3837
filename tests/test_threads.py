"""Threads, forks and memory: what a program around the kernels may do to them."""

import os
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from runs import python

import minivae as mv
from minivae import kernels, memory

F4 = np.dtype(np.float32)


# ------------------------------------------------------------------------------ threads and forks

STEPS = """
import hashlib, threading
import numpy as np
from minivae import kernels
from minivae.optimizers import Adam

def steps(seed, dtype=np.float32):
    "Three steps of a small network, large enough for two threads -> a digest of all that was computed."
    rng, adam, digest = np.random.default_rng(seed), Adam(0.1), hashlib.sha256()
    x = rng.random((150, 170)).astype(dtype)
    params = {name: rng.standard_normal(shape).astype(dtype)
              for name, shape in (("V", (170, 90)), ("a", 90), ("W", (90, 170)), ("b", 170))}
    for _ in range(3):
        h, first = kernels.dense_forward(x, params["V"], params["a"], "tanh")
        logits, second = kernels.dense_forward(h, params["W"], params["b"])
        nll = kernels.bernoulli_nll(logits, x)
        dlogits = kernels.bernoulli_nll_backward(np.full(150, 0.01, dtype), logits, x)
        dh, dW, db = kernels.dense_backward(dlogits, second)
        _, dV, da = kernels.dense_backward(dh, first, input_gradient=False)
        adam.step(params, {"V": dV, "a": da, "W": dW, "b": db})
        for array in (h, logits, nll, dlogits, dh, *params.values()):
            digest.update(array.tobytes())
    return digest.hexdigest()
"""

SHARES = """
import numba, numpy as np
from minivae.kernels import threads
from minivae.kernels.threads import in_parallel

@numba.njit
def share(index, parts, seen, scale):
    seen[index] += scale * (index + parts)

@numba.njit
def kernel(parts, seen, scale):
    in_parallel(share, parts, (seen, scale))

numba.set_num_threads(2)
for parts in (1, 2, 3, 1):
    seen = np.zeros(4)
    threads.launch(kernel, parts, seen, 0.5)
    print(*seen)
print(numba.get_num_threads())
"""

MANY_THREADS = (
    STEPS
    + """
alone, together = [steps(seed) for seed in range(4)], {}
threads = [threading.Thread(target=lambda s: together.update({s: steps(s)}), args=(s,)) for s in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("same" if alone == [together[s] for s in range(4)] else "different")
"""
)

ONE_OR_TWO = (
    STEPS
    + """
from minivae.kernels import threads
launches, launch = [], threads.launch
threads.launch = lambda kernel, count, *args: (launches.append(count), launch(kernel, count, *args))
for dtype in (np.float32, np.float64):
    digests = []
    for count in (1, 2):
        launches.clear()
        kernels.set_threads(count)
        digests.append(steps(0, dtype))
        assert launches.count(count) > 10 and max(launches) == count, launches
    print("same" if digests[0] == digests[1] else "different")
"""
)


def test_two_threads_give_the_bits_of_one():
    """In a child that has two threads on any machine, and that is seen to launch both."""
    code, said, errors = python(ONE_OR_TWO, NUMBA_NUM_THREADS="2")
    assert (code, said.split()) == (0, ["same", "same"]), errors


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_every_share_runs_once(layer):
    """With its own index and all arguments, for any number of parts; numba's own setting stays."""
    code, said, errors = python(SHARES, NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="3")
    once = ["0.5 0.0 0.0 0.0", "1.0 1.5 0.0 0.0", "1.5 2.0 2.5 0.0", "0.5 0.0 0.0 0.0", "2"]
    assert (code, said.splitlines()) == (0, once), errors


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_several_python_threads_at_once(layer):
    """Four trainings at the same time give the bits that each gives alone, on either threading layer."""
    code, said, errors = python(MANY_THREADS, NUMBA_THREADING_LAYER=layer)
    assert (code, said) == (0, "same"), errors


ONE_CORE = """
import os, threading
import numba, numpy as np
from minivae import kernels

def multiply_on_one_core():
    a = np.ones((300, 300))
    for _ in range(50):  # until the system does not move it between two of the next lines
        os.sched_setaffinity(0, {core})  # workers start where this thread is, and end with it
        kernels.matmul(a, a)
        os.sched_setaffinity(0, cores)
        kernels.matmul(a, a)
        others = [os.sched_getaffinity(int(name)) for name in os.listdir("/proc/self/task")]
        if others.count(cores - {core}):
            break
    print(others.count(cores - {core}), numba.threading_layer())
    print([os.sched_getaffinity(number) == cores for number in (0, os.getpid())])

cores = os.sched_getaffinity(0)
core = min(cores)
threading.Thread(target=multiply_on_one_core).start()
"""


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize(("more", "limit", "moved"), [(0, 9, 1), (1, 9, 0), (0, 1, 0)])
def test_a_worker_leaves_the_core_of_the_thread_that_waits_for_it(more, limit, moved):
    """It may then use the other cores, unless there are more threads than cores; the caller keeps all."""
    count = len(os.sched_getaffinity(0)) + 1 if more else 2
    limits = {"NUMBA_NUM_THREADS": str(count), "OMP_THREAD_LIMIT": str(limit)}
    code, said, errors = python(ONE_CORE, NUMBA_THREADING_LAYER="omp", **limits)
    assert (code, said.splitlines()) == (0, [f"{moved} omp", "[True, True]"]), errors


FORKED = """
import os
import numpy as np
from minivae import kernels

a, b = np.random.default_rng(0).standard_normal((2, 300, 300))
want = kernels.matmul(a, b)
child = os.fork()
if child == 0:
    good = np.array_equal(kernels.matmul(a, b), want) and kernels.get_threads() == 1
    os._exit(0 if good else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(kernels.matmul(a, b), want))
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_after_a_fork(layer):
    """A forked child computes the same bits on one thread; the parent goes on with all of its own."""
    code, said, errors = python(FORKED, NUMBA_THREADING_LAYER=layer)
    assert (code, said) == (0, "0 True"), errors


def test_the_number_of_threads():
    """No more than numba has; the package's functions are those of the kernels."""
    script = "import minivae as mv; mv.set_threads(1); print(mv.get_threads()); mv.set_threads(2)"
    code, said, errors = python(script, NUMBA_NUM_THREADS="1")
    assert (code, said) == (1, "1")
    assert "threads must be at most 1 here, got 2" in errors


def test_without_the_jit_numpy_computes():
    """NUMBA_DISABLE_JIT=1: the same calls work, in NumPy."""
    script = """
import numpy as np
from minivae import kernels, ops, optimizers
a = np.arange(6.0).reshape(2, 3)
y, cache = kernels.dense_forward(a, a.T, np.ones(2), "tanh")
print(np.array_equal(y, np.tanh(a @ a.T + 1)), np.array_equal(kernels.matmul(a, a.T), a @ a.T))
params, p = {"a": a.copy()}, a.copy()
optimizers.SGD(0.5).step(params, {"a": a})
kernels.sgd_update(p, a, np.zeros((2, 3)), 0.5, 0.0)
print(np.array_equal(params["a"], a / 2), np.array_equal(p, a / 2))
"""
    code, said, errors = python(script, NUMBA_DISABLE_JIT="1")
    assert (code, said) == (0, "True True\nTrue True"), errors


# ------------------------------------------------------------------------------ memory


def test_what_is_held_is_never_written_again():
    """A view of a view is enough to hold an array; dropped ones are handed out again."""
    first = memory.empty((1000, 70), F4)
    address = first.ctypes.data
    assert address % memory.LINE == 0
    view = first[2:].T[1:]
    view[...] = 3
    del first
    second = memory.empty((1000, 70), F4)
    assert second.ctypes.data != address
    second[...] = 4
    assert np.all(view == 3)
    del view
    assert memory.empty((1000, 70), F4).ctypes.data == address
    assert memory.empty((70, 1000), F4).shape == (70, 1000)
    assert memory.empty((0, 3), F4).shape == (0, 3)


def test_every_result_is_its_callers(rng):
    """Results of twenty layers, all kept: none changes after it was returned, and none shares memory."""
    x, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((80, 300), (300, 200), 200))
    kept = []
    for _ in range(20):
        y, cache = kernels.dense_forward(x + len(kept), W, b, "tanh")
        kept += [(result, result.copy()) for result in (y, *kernels.dense_backward(y, cache))]
    for result, copy in kept:
        np.testing.assert_array_equal(result, copy)
    assert len({result.ctypes.data for result, _ in kept}) == len(kept)


def test_no_two_threads_get_the_same_memory():
    """Four threads that the interpreter interrupts as often as it can: each finds what it has written."""
    found, before = [], sys.getswitchinterval()

    def write_and_read(mine):
        for _ in range(5_000):
            arrays = [memory.empty((100, 100), F4) for _ in range(2)]
            for place, array in enumerate(arrays):
                array[0, 0] = mine + place
            found.append([array[0, 0] for array in arrays] == [mine, mine + 1])

    threads = [threading.Thread(target=write_and_read, args=(10 * n,)) for n in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert found == [True] * 20_000


def test_idle_memory_is_bounded():
    for n in range(1, 40):
        memory.empty((n, 2**20), F4)
    assert memory.kept_bytes() <= memory.KEEP


def test_products_that_grow_share_their_scratch_memory():
    """The first product asks for the memory of the largest. Blocks for all sizes together took 470 MB."""
    a, b = np.ones((1024, 1024), F4).T, np.ones((1024, 8), F4)
    kernels.matmul(a[:1], b)
    tracemalloc.start()
    try:
        for n in range(2, 1024, 2):
            kernels.matmul(a[:n], b)
        assert tracemalloc.get_traced_memory()[0] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("update", [mv.Adam, mv.RMSProp, lambda: mv.SGD(momentum=0.9)])
def test_moments_never_become_denormal(update):
    """One gradient and then none: the moments decay to zero, and never through the denormal numbers."""
    optimizer, params = update(), {"W": np.ones(100, np.float32)}
    optimizer.step(params, {"W": np.full(100, 1e-12, np.float32)})
    smallest = np.finfo(np.float32).tiny
    for _ in range(2000):
        optimizer.step(params, {"W": np.zeros(100, np.float32)})
        for array in optimizer.state.values():
            assert np.all((array == 0) | (np.abs(array) >= smallest))
    optimizer.step(params, {"W": np.full(100, np.nan, np.float32)})
    assert np.isnan(params["W"]).all()


# ------------------------------------------------------------------------------ other machines

PRODUCTS = """
import importlib.util, platform, sys
from unittest import mock
import llvmlite.binding as llvm
import numpy as np

kind, dtype = sys.argv[1:]
name = "minivae.kernels.vectors"
spec = importlib.util.spec_from_file_location(name, "minivae/kernels/vectors.py")
vectors = sys.modules[name] = importlib.util.module_from_spec(spec)
features, machine = {"avx512f": kind == "avx512"}, {"arm": "aarch64"}.get(kind, "x86_64")
with mock.patch.object(llvm, "get_host_cpu_features", lambda: features):
    with mock.patch.object(platform, "machine", lambda: machine):
        spec.loader.exec_module(vectors)

from minivae import kernels
a, b = np.random.default_rng(0).standard_normal((2, 75, 1100)).astype(dtype)
for m, k, n in ((70, 1025, 61), (13, 1100, 3), (5, 40, 75), (1, 1, 1), (75, 9, 75)):
    for left in (a[:m, :k], np.asfortranarray(a[:m, :k])):
        for right in (b[:n, :k].T, np.ascontiguousarray(b[:n, :k].T)):
            bound = 2 * k * np.finfo(dtype).eps * (np.abs(left.astype(float)) @ np.abs(right.astype(float)))
            got, want = kernels.matmul(left, right), left.astype(float) @ right.astype(float)
            assert (np.abs(got - want) <= bound).all(), (m, k, n)
print(vectors.VECTOR_BYTES, vectors.ROWS, vectors.VECTOR_BYTES // got.itemsize)
"""


KINDS = [("avx512", "f4", "64 8 16"), ("avx512", "f8", "64 8 8")]
KINDS += [("arm", "f4", "16 8 4"), ("arm", "f8", "16 8 2"), ("x86", "f4", "32 4 8")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "dtype", "sizes"), KINDS)
def test_the_tile_of_every_kind_of_machine(kind, dtype, sizes, tmp_path):
    """The sizes that AVX-512, older x86 and ARM choose give right products, whatever runs them here.

    One thread and no optimization, which does not change an address: that compiles in a few seconds.
    """
    plain = {"NUMBA_OPT": "0", "NUMBA_NUM_THREADS": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    code, said, errors = python(PRODUCTS, kind, dtype, **plain)
    assert (code, said) == (0, sizes), errors
