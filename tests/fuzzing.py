"""Wrong arrays, drawn at random, and the comparison of two backends that receive them; see test_fuzz."""

import mmap
import warnings
from inspect import signature

import numpy as np

from minivae import arguments, kernels, ops, optimizers

BYTES = 1 << 16
REFUSED = ((ValueError, TypeError), MemoryError)
OTHER_TYPES = ("f2", "i8", "c16", ">f4", ">f8", "?", "O", "U3", "M8[s]", "f4,f4", "g", "u1")
KERNELS = [name for name in kernels.__all__ if getattr(kernels, name) is not getattr(ops, name, None)]
KERNELS = sorted({*KERNELS} - {"Table", "get_threads", "set_threads"})
UPDATES = {
    "sgd_update": (0.1, 0.9),
    "rmsprop_update": (0.1, 0.9, 1e-3),
    "adam_update": (3, 0.1, 0.9, 0.99, 0.1),
}


class Case:
    """One draw of wrong inputs: pairs of equal arrays in two blocks of memory, one for each backend."""

    def __init__(self, rng, odd):
        self.rng, self.odd, self.end, self.starts = rng, odd, 64, []
        self.blocks = [rng.random(BYTES // 4).astype("f4").view("u1")] * 2
        self.blocks[1] = self.blocks[0].copy()
        self.writable = np.zeros(BYTES, bool)

    def chance(self, p=None):
        return self.rng.random() < (self.odd if p is None else p)

    def pick(self, *values):
        return values[self.rng.integers(len(values))]

    def shape(self, shape):
        """Mostly this shape."""
        shape = list(shape)
        if self.chance() and shape:
            shape[self.rng.integers(len(shape))] = int(self.rng.integers(0, 9))
        if self.chance():
            shape = self.pick(shape[::-1], shape[1:], [2, *shape], [1, *shape], [], [0], [*shape, 1])
        return tuple(shape)

    def array(self, shape, dtype):
        """An array of about this shape and type -> its two copies."""
        shape = self.shape(shape)
        dtype = np.dtype(self.pick(*OTHER_TYPES) if self.chance() else dtype)
        if self.chance(self.odd / 2) or dtype.hasobject:
            return self.stranger(shape, dtype)
        strides = np.array(np.ndarray(shape, dtype, order=self.pick("C", "C", "C", "F")).strides, int)
        strides = strides * self.pick(1, 1, 1, 1, 2, 3)
        size = int((strides * (np.array(shape) - 1)).sum()) + dtype.itemsize if 0 not in shape else 0
        start = self.pick(*self.starts) if self.starts and self.chance() else self.end
        start += self.chance()  # unaligned
        if start + size + 64 > BYTES:
            return self.stranger(shape, dtype)
        self.starts.append(start)
        self.end = max(self.end, -(-(start + size + 64) // 64) * 64)
        first = start
        if self.chance() and 0 not in shape and shape:  # backwards
            first, strides[0] = start + strides[0] * (shape[0] - 1), -strides[0]
        pair = [np.ndarray(shape, dtype, block, first, tuple(strides)) for block in self.blocks]
        pair[0][...] = self.numbers(shape, dtype)
        self.blocks[1][...] = self.blocks[0]
        if self.chance():
            for array in pair:
                array.flags.writeable = False
        else:
            np.ndarray((*shape, dtype.itemsize), bool, self.writable, first, (*strides, 1))[...] = True
        return pair

    def numbers(self, shape, dtype):
        return self.rng.random(shape).astype("u1" if dtype.kind in "VmM" else dtype)

    def stranger(self, shape, dtype):
        """Something else than a plain array."""
        number = np.asarray(self.numbers(shape, dtype))
        kind = self.pick(
            "list", "masked", "matrix", "subclass", "broadcast", "huge", "none", "number", "mapped"
        )
        if kind == "matrix" and number.ndim != 2:
            kind = "subclass"
        if kind == "mapped" and number.dtype == dtype and not dtype.hasobject and number.size:
            memory = mmap.mmap(-1, number.nbytes, prot=mmap.PROT_READ)  # writing to it ends the process
            return [np.frombuffer(memory, dtype).reshape(shape)] * 2
        make = {
            "list": lambda: number.tolist(),
            "masked": lambda: np.ma.masked_array(number.copy()),
            "matrix": lambda: number.copy().view(np.matrix),
            "subclass": lambda: number.copy().view(np.recarray),
            "broadcast": lambda: np.broadcast_to(number[:1], shape) if shape and shape[0] else number.copy(),
            "huge": lambda: (
                np.broadcast_to(np.ones(1, dtype), (1 << 50, *shape[1:]))
                if 0 < np.prod(shape[1:]) < 1000
                else None
            ),
            "none": lambda: None,
            "number": lambda: 0.5,
            "mapped": lambda: number.copy(),
        }[kind]
        return [make(), make()]

    def run(self, what, numpy, numba, *pairs):
        """Call both with one half of every pair each, and compare results, errors and memory."""
        before, results = [block.copy() for block in self.blocks], []
        for i, function in enumerate((numpy, numba)):
            results.append(outcome(function, *[half(pair, i) for pair in pairs]))
        same(what, *results)
        for block, old in zip(self.blocks, before, strict=True):
            changed = np.flatnonzero((block != old) & ~self.writable)
            assert not changed.size, f"{what}: wrote to bytes {changed} of the block"
        same(f"{what}, in place", *[[half(pair, i) for pair in pairs] for i in range(2)])
        return results[0]


def half(value, i):
    """An argument with one half of every pair in it."""
    if isinstance(value, list):
        return value[i]
    if isinstance(value, tuple):
        return tuple(half(part, i) for part in value)
    if isinstance(value, dict):
        return {name: half(part, i) for name, part in value.items()}
    return value


def outcome(function, *args):
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args)
    except Exception as error:
        return error


def same(what, want, got):
    """The same kind of error, or the same numbers to rounding."""
    if isinstance(want, Exception) or isinstance(got, Exception):
        kinds = [next((kind for kind in REFUSED if isinstance(r, kind)), type(r)) for r in (want, got)]
        assert kinds[0] is kinds[1], f"{what}: numpy {want!r}, numba {got!r}"
    elif isinstance(want, dict):
        assert want.keys() == got.keys(), what
        for name in want:
            same(f"{what}, {name}", want[name], got[name])
    elif isinstance(want, tuple | list):
        assert len(want) == len(got), what
        for one, other in zip(want, got, strict=True):
            same(what, one, other)
    elif isinstance(want, np.ndarray) and want.size < BYTES:
        assert (want.shape, want.dtype) == (got.shape, got.dtype), f"{what}: {want.dtype} {got.dtype}"
        if want.dtype.kind in "fc":
            eps = 300 * np.finfo("f4" if what.startswith("model") else want.dtype).eps
            want, got = np.asarray(want), np.asarray(got)
            np.testing.assert_allclose(
                got, want, eps, eps * (1 + np.nanmax(abs(want), initial=0)), err_msg=what
            )
        elif want.dtype.kind == "O":
            same(what, want.ravel().tolist(), got.ravel().tolist())
        elif want.dtype.kind != "V":
            np.testing.assert_array_equal(want, got, err_msg=what)
    elif isinstance(want, float | int):
        np.testing.assert_allclose(got, want, 1e-4, 1e-5, err_msg=what)


# ------------------------------------------------------------------------------ kernels


def product(a, b, out=None):
    """What `kernels.matmul` promises, in NumPy."""
    arrays = [a, b] if out is None else [a, b, out]
    for array in arrays:
        if not isinstance(array, np.ndarray):
            raise TypeError
    (m, k), (l, n) = a.shape, b.shape
    if k != l or (out is not None and (out.shape != (m, n) or not out.flags.writeable)):
        raise ValueError
    if any(array.dtype not in (np.float32, np.float64) or array.dtype != a.dtype for array in arrays):
        raise TypeError
    result = np.matmul(np.asarray(a), np.asarray(b))
    if out is None:
        return result
    out[...] = result
    return out


def update(name):
    def checked(*args):
        arguments.updatable(*args[: -len(UPDATES[name])])
        getattr(optimizers, name)(*args)

    return checked


def kernel(case):
    """One compiled kernel; the other names of `kernels` are the functions of `ops` themselves."""
    B, I, O, S = (int(n) for n in case.rng.integers(1, 20, 4))
    d, lead = case.pick("f4", "f4", "f4", "f8"), case.pick((), (), (S,))
    activation = case.pick("swish", None, 3, "") if case.chance() else case.pick(*ops.ACTIVATIONS)

    def arrays(*shapes):
        return [case.array(shape, d) for shape in shapes]

    name = case.pick(*KERNELS)
    if name == "matmul":
        return name, product, arrays((B, I), (I, O), (B, O))[: case.pick(2, 3)]
    if name in UPDATES:
        shape = case.pick((B, I), (B,))
        states = len(signature(getattr(kernels, name)).parameters) - len(UPDATES[name])
        return name, update(name), [*arrays(*[shape] * states), *UPDATES[name]]
    if name == "dense_forward":
        args = [*arrays((B, I), (I, O), (O,)), activation]
    elif name == "dense_backward":
        dy, *cached = arrays((B, O), (B, I), (I, O), (B, O))
        args = [dy, (*cached, activation), case.chance(0.5)]
    elif name == "bernoulli_nll":
        args = arrays((*lead, B, I), (B, I))
    else:
        args = arrays((*lead, B), (*lead, B, I), (B, I))
    return name, getattr(ops, name), args


# ------------------------------------------------------------------------------ optimizers
