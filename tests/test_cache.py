"""The compiled kernels on disk: outside the package, and never a reason to fail."""

import os
import shutil
import time

import pytest
from runs import PACKAGE, python

SLOPE = """
import numpy as np
from minivae.kernels import bernoulli_nll_backward
one = np.ones((1, 1), np.float32)
print(bernoulli_nll_backward(one[0], 0 * one, one)[0, 0])
"""
HALF = """
from minivae.kernels.compiled import compiled

@compiled
def half(x):
    return x - 0.5

print(half(0.0))
"""


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the package whose kernels may be edited, with a cache of its own."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NUMBA_OPT", "0")  # compiles in half the time
    shutil.copytree(PACKAGE, tmp_path / "minivae", ignore=shutil.ignore_patterns("__pycache__", "mnist.npz"))
    return tmp_path


def test_the_first_run_says_that_it_compiles_and_the_next_does_not(copy):
    code, said, errors = python(HALF, cwd=copy)
    assert (code, said) == (0, "-0.5"), errors
    assert errors.count("compiling the kernels for this machine (kept on disk, so only this once)") == 1
    code, said, errors = python(HALF, cwd=copy)
    assert (code, said, errors) == (0, "-0.5", "")


def test_an_edit_is_never_answered_from_the_cache(copy):
    """Not even one in a function that the kernel only calls, in a file whose age and size are the same."""
    from_source = {"cwd": copy, "PYTHONDONTWRITEBYTECODE": "1"}  # else Python's own cache would be stale
    assert python(SLOPE, **from_source)[1] == "-0.5"
    path = copy / "minivae" / "kernels" / "bernoulli.py"
    stat, text = path.stat(), path.read_text()
    edited = text.replace("(given[j]) - target[j]", "(given[j]) + target[j]")
    assert edited != text
    path.write_text(edited)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert python(SLOPE, **from_source)[1] == "1.5"


def test_where_nothing_can_be_written_kernels_still_run(copy):
    """Every place for the cache is a file, so that no folder can be made there."""
    (copy / "cache").write_text("in the way")
    code, said, errors = python(HALF, cwd=copy)
    assert (code, said) == (0, "-0.5"), errors
    assert "no folder to keep them in is writable" in errors


def flipped(old):
    """One bit in the middle is another: among the machine code, which can still be loaded."""
    middle = len(old) // 2
    return old[:middle] + bytes([old[middle] ^ 1]) + old[middle + 1 :]


def test_a_damaged_cache_costs_a_compilation_and_not_the_run(copy):
    assert python(HALF, cwd=copy)[1] == "-0.5"
    for damage in (lambda old: b"", lambda old: old[:-100], flipped):
        files = [path for path in (copy / "cache").rglob("*") if path.is_file()]
        assert files
        for path in files:
            path.write_bytes(damage(path.read_bytes()))
        code, said, errors = python(HALF, cwd=copy)
        assert (code, said) == (0, "-0.5"), errors
        assert "compiling" in errors


def test_files_under_each_others_names_are_compiled_again(copy):
    """Each is sound, and machine code for other arguments."""
    assert python(SLOPE, cwd=copy)[1] == "-0.5"
    files = [path for path in (copy / "cache").rglob("*") if path.is_file()]
    first, *rest = [path.read_bytes() for path in files]
    assert rest
    for path, content in zip(files, [*rest, first], strict=True):
        path.write_bytes(content)
    code, said, errors = python(SLOPE, cwd=copy)
    assert (code, said) == (0, "-0.5"), errors
    assert "compiling" in errors


def test_a_full_disk_costs_the_cache_and_not_the_run(copy):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    for _ in range(2):
        code, said, errors = python(limit + HALF, cwd=copy, PYTHONDONTWRITEBYTECODE="1")
        assert (code, said) == (0, "-0.5"), errors
        assert "compiling" in errors


def test_the_cache_is_outside_the_package(copy):
    """And what nothing has used for a week is removed from it, if it is the kernels' own."""
    caches = copy / "home" / "minivae"
    old, recent, linked = (f"kernels-{16 * letter}" for letter in "abc")
    for name, days in {old: 8, recent: 6, "kernels-of-mine": 8, linked: 8}.items():
        (caches / name).mkdir(parents=True)
        (caches / name / "code").write_text("")
        os.utime(caches / name, (time.time() - days * 24 * 3600,) * 2)
    (caches / linked).rename(copy / "elsewhere")
    (caches / linked).symlink_to(copy / "elsewhere")
    assert python(HALF, cwd=copy, XDG_CACHE_HOME=str(copy / "home"), NUMBA_CACHE_DIR="")[1] == "-0.5"
    (own,) = {path.parent for path in caches.rglob("*half*")}
    os.utime(own, (0, 0))  # old too, but in use again
    assert python(HALF, cwd=copy, XDG_CACHE_HOME=str(copy / "home"), NUMBA_CACHE_DIR="") == (0, "-0.5", "")
    assert not [p for p in (copy / "minivae").rglob("*") if "cache" in p.name and p.name != "__pycache__"]
    assert {path.parent.name for path in caches.glob("*/code")} == {recent, "kernels-of-mine", linked}
