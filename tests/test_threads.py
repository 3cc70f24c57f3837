"""Threads, forks, caches and memory: what a program around the kernels may do to them."""

import gc
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from minivae import kernels
from minivae.kernels import memory

F4 = np.dtype(np.float32)
PACKAGE = Path(mv.__file__).parent


def python(script, cwd=None, **environment):
    """Run a script in a new interpreter: its exit code, output and errors."""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300,
        cwd=cwd or PACKAGE.parent, env={**os.environ, **environment},
    )  # fmt: skip
    return result.returncode, result.stdout.strip(), result.stderr


# ------------------------------------------------------------------------------ threads and forks

MANY_THREADS = """
import threading
import numpy as np
from minivae import VAE, Adam, kernels

def train(seed, out):
    rng = np.random.default_rng(seed)
    model, adam = VAE(50, 4, (30,), seed=seed), Adam()
    for _ in range(20):
        x, eps = rng.random((40, 50)), rng.standard_normal((40, 4))
        adam.step(model.params, model.loss_and_grads(x, eps)[1])
    out[seed] = model.params

alone, together = {}, {}
for seed in range(4):
    train(seed, alone)
threads = [threading.Thread(target=train, args=(seed, together)) for seed in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
same = all(np.array_equal(alone[s][name], together[s][name]) for s in alone for name in alone[s])
print("same" if same else "different")
"""


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_several_python_threads_at_once(layer):
    """Four trainings at the same time give the bits that each gives alone, on either threading layer."""
    code, said, errors = python(MANY_THREADS, NUMBA_THREADING_LAYER=layer)
    assert (code, said) == (0, "same"), errors


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


def test_numba_num_threads_is_honoured():
    script = "from minivae import kernels; print(kernels.get_threads()); kernels.set_threads({})"
    code, said, errors = python(script.format(1), NUMBA_NUM_THREADS="1")
    assert (code, said) == (0, "1"), errors
    code, said, errors = python(script.format(2), NUMBA_NUM_THREADS="1")
    assert "threads must be at most 1 here, got 2" in errors


def test_set_threads_from_the_package():
    most = kernels.get_threads()
    mv.set_threads(1)
    assert kernels.get_threads() == 1
    mv.set_threads(most)
    assert kernels.get_threads() == most


NO_BLAS = """
import os, sys, time
import numpy as np
from minivae import VAE, Adam

def busy():
    "CPU ticks of every thread of this process."
    return {t: sum(map(int, open(f"/proc/self/task/{t}/stat").read().rsplit(")", 1)[1].split()[11:13]))
            for t in os.listdir("/proc/self/task")}

time.sleep(0.5)  # they spin for a moment after their start
blas = set(os.listdir("/proc/self/task")) - {str(os.getpid())}  # importing NumPy has started them
before = busy()
rng = np.random.default_rng(0)
model, adam = VAE(), Adam()
x, eps = rng.random((128, 784)), rng.standard_normal((128, 20))
for _ in range(100):
    adam.step(model.params, model.loss_and_grads(x, eps)[1])
after = busy()
print(len(blas) > 0, sum(after[t] - before[t] for t in blas))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_blas_in_a_training_step():
    """NumPy's own threads burn no time while a hundred steps are trained."""
    code, said, errors = python(NO_BLAS, OPENBLAS_NUM_THREADS="2")
    assert code == 0, errors
    assert said == "True 0"


# ------------------------------------------------------------------------------ the cache on disk

COUNT = """
import sys
import numpy as np
from minivae import kernels
from minivae.kernels.updates import sgd_update
p = np.ones(5, np.float32)
sgd_update(p, np.ones(5, np.float32), np.zeros(5, np.float32), 1.0, 0.0)
print(p[0])
"""


@pytest.fixture
def copy(tmp_path):
    """A copy of the package whose kernels may be edited."""
    shutil.copytree(PACKAGE, tmp_path / "minivae", ignore=shutil.ignore_patterns("__pycache__", "mnist.npz"))
    return tmp_path


def test_the_first_run_says_that_it_compiles_and_the_next_does_not(copy):
    code, said, errors = python(COUNT, cwd=copy)
    assert (code, said) == (0, "0.0"), errors
    assert errors.count("compiling the kernels for this machine (kept on disk, so only this once)") == 1
    code, said, errors = python(COUNT, cwd=copy)
    assert (code, said, errors) == (0, "0.0", "")


def test_an_edit_is_never_answered_from_the_cache(copy):
    """Not even one in a function that the kernel only calls, in a file whose age and size are the same."""
    assert python(COUNT, cwd=copy)[1] == "0.0"
    path = copy / "minivae" / "kernels" / "updates.py"
    stat, text = path.stat(), path.read_text()
    edited = text.replace("p[i] -= lr * new", "p[i] += lr * new")
    assert edited != text
    path.write_text(edited)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (
        python(
            "import sys; sys.dont_write_bytecode = True\n" + COUNT,
            cwd=copy,
            PYTHONPYCACHEPREFIX=str(copy / "pyc"),
        )[1]
        == "2.0"
    )


def test_where_nothing_can_be_written_kernels_still_run(copy):
    """Every place for the cache is a file, so that no folder can be made there."""
    (copy / "minivae" / "kernels" / "__pycache__").write_text("in the way")
    (copy / "file").write_text("in the way")
    blocked = str(copy / "file")
    code, said, errors = python(
        COUNT, cwd=copy, NUMBA_CACHE_DIR=blocked, XDG_CACHE_HOME=blocked, HOME=blocked
    )
    assert (code, said) == (0, "0.0"), errors
    assert "no folder to keep them in is writable" in errors


def test_a_float32_user_does_not_pay_for_float64():
    script = """
import numpy as np
from minivae import VAE, kernels
model = VAE(6, 2, (4,))
model.loss_and_grads(np.ones((3, 6)), np.ones((3, 2)))
from minivae.kernels import tiles, likelihoods
versions = [tiles.product.serial, tiles.product.parallel, likelihoods._bernoulli_nll.parallel]
print(any("float64" in str(signature) for v in versions for signature in v.signatures))
"""
    assert python(script)[1] == "False"


# ------------------------------------------------------------------------------ memory


def test_a_steady_step_allocates_no_large_array():
    """After a few steps nothing of 100 kB or more is asked of the system, where B x H is 205 kB."""
    model, adam = mv.VAE(), mv.Adam()
    rng = np.random.default_rng(0)
    x = rng.random((128, 784), dtype=np.float32)
    eps = rng.standard_normal((128, 20), dtype=np.float32)

    def steps(n):
        for _ in range(n):
            _, grads = model.loss_and_grads(x, eps)
            adam.step(model.params, grads)

    steps(3)
    gc.collect()
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        steps(5)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 100_000
    assert after - before < 100_000


def test_what_is_held_is_never_written_again():
    """A view of a view is enough to hold an array; dropped ones are handed out again."""
    first = memory.empty((10, 7), F4)
    address = first.ctypes.data
    assert address % memory.LINE == 0
    view = first[2:].T[1:]
    view[...] = 3
    del first
    second = memory.empty((10, 7), F4)
    assert second.ctypes.data != address
    second[...] = 4
    assert np.all(view == 3)
    del view
    assert memory.empty((10, 7), F4).ctypes.data == address
    assert memory.empty((7, 10), F4).shape == (7, 10)
    assert memory.empty((0, 3), F4).shape == (0, 3)


def test_every_result_is_its_callers(rng):
    """Gradients of twenty steps, all kept: none changes after it was returned."""
    model = mv.VAE(30, 3, (20,))
    kept = []
    for _ in range(20):
        x, eps = rng.random((8, 30)), rng.standard_normal((8, 3))
        grads = model.loss_and_grads(x, eps)[1]
        kept.append((grads, {name: grad.copy() for name, grad in grads.items()}))
    for grads, copies in kept:
        for name in grads:
            np.testing.assert_array_equal(grads[name], copies[name])
    addresses = {grad.ctypes.data for grads, _ in kept for grad in grads.values()}
    assert len(addresses) == 20 * len(model.params)


def test_idle_memory_is_bounded():
    for n in range(1, 40):
        memory.empty((n, 2**20), F4)
    assert memory.kept_bytes() <= memory.KEEP


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
import numpy as np
from minivae import kernels

rng = np.random.default_rng(0)
worst = 0.0
for dtype in (np.float32, np.float64):
    for m, k, n in ((7, 5, 3), (130, 70, 100), (33, 1100, 50), (250, 3, 61)):
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
        turned = np.asfortranarray(a), np.asfortranarray(b)
        for left, right in ((a, b), (turned[0], b), (a, turned[1]), (a[::-1], b[:, ::-1])):
            left64, right64 = left.astype(np.float64), right.astype(np.float64)
            bound = 2 * k * np.finfo(dtype).eps * (np.abs(left64) @ np.abs(right64))
            worst = max(worst, (np.abs(kernels.matmul(left, right) - left64 @ right64) / bound).max())
print(worst <= 1)
"""


@pytest.mark.slow
def test_the_tile_of_every_kind_of_machine(copy, tmp_path):
    """The sizes that AVX-512, older x86 and ARM would choose give right products, whatever runs them here."""
    text = (copy / "minivae" / "kernels" / "vectors.py").read_text()

    def products(vector_bytes, rows):
        edited = re.sub(r"(?m)^VECTOR_BYTES = .*$", f"VECTOR_BYTES = {vector_bytes}", text)
        edited = re.sub(r"(?m)^ROWS = .*$", f"ROWS = {rows}", edited)
        folder = tmp_path / f"{vector_bytes}x{rows}"
        shutil.copytree(copy / "minivae", folder / "minivae")
        (folder / "minivae" / "kernels" / "vectors.py").write_text(edited)
        return python(PRODUCTS, cwd=folder)

    with ThreadPoolExecutor(3) as pool:  # each spends its time in one thread, compiling
        for code, said, errors in pool.map(products, (64, 32, 16), (8, 4, 8)):
            assert (code, said) == (0, "True"), errors
