"""What one process of the benchmark measures: a step, a product, a stream of memory, the parts of a step.

Each of these functions prepares one and returns `facts, turn`: what there is to say about it, and a function
`turn(n, ...)` that does the work n times and returns the seconds of one time. Every turn begins with a tenth
of it unclocked, since a process that has just been woken finds its caches full of somebody else's data.
"""

import itertools
import re
import time

import numpy as np

from ..backends import namespace
from ..optimizers import Adam
from . import opponents
from .opponents import Setting

CURVE = 50  # losses that are compared between contenders
# name, m, k, n, how a and b are stored ("T": as a transposed view), type
PRODUCTS = [
    (name, *shape, dtype)
    for dtype in ("float32", "float64")
    for name, *shape in (
        ("x @ W, encoder", 128, 784, 400, "NN"),
        ("h @ W, decoder", 128, 400, 784, "NN"),
        ("x.T @ dy, encoder", 784, 128, 400, "TN"),
        ("h.T @ dy, decoder", 400, 128, 784, "TN"),
        ("dy @ W.T, decoder", 128, 784, 400, "NT"),
        *((f"cube {n}", n, n, n, "NN") for n in (256, 1024, 2048)),
    )
]


def step(who, setting, file):
    """Training steps of one contender, and the first losses of its run."""
    setting = Setting(*setting)
    params, batches = load(file)
    advance, batches = opponents.prepare(who, setting, params, batches)
    ring = itertools.cycle(batches)
    losses = [float(advance(*next(ring))) for _ in range(CURVE)]

    def turn(n):
        return {"seconds": _clock(lambda: advance(*next(ring)), n)}

    return {"losses": losses}, turn


def matmul(who):
    """a @ b by our kernel or by NumPy's BLAS, into an array that is there already."""
    if who == "numba":
        from ..kernels import matmul as product
    else:
        product = np.matmul
    operands = {}

    def turn(n, m, k, n_out, layout, dtype):
        case = (m, k, n_out, layout, dtype)
        if case not in operands:
            operands[case] = _operands(*case)
        a, b, out = operands[case]
        return {"seconds": _clock(lambda: product(a, b, out=out), n)}

    return {}, turn


def _operands(m, k, n, layout, dtype):
    """a (m, k), b (k, n) and room for a @ b; "TN" stores a transposed, "NT" stores b transposed."""
    rng = np.random.default_rng(0)

    def stored(shape, letter):
        array = rng.standard_normal(shape[::-1] if letter == "T" else shape).astype(dtype)
        return array.T if letter == "T" else array

    return stored((m, k), layout[0]), stored((k, n), layout[1]), np.empty((m, n), dtype)


def bandwidth():
    """Bytes through memory: NumPy's copy on one thread, and SGD's update on all, the kernels' own triad.

    v = momentum v + g; p = p - lr v reads three arrays and writes two.
    """
    from ..kernels import sgd_update

    arrays = {}

    def turn(n, how, size):
        count = 3 if how == "update" else 2
        if (how, size) not in arrays:
            arrays[how, size] = [np.full(size // (4 * count), 1e-3, np.float32) for _ in range(count)]
        data = arrays[how, size]
        if how == "copy":
            return {"seconds": _clock(lambda: np.copyto(data[0], data[1]), n), "bytes": 8 * data[0].size}
        return {"seconds": _clock(lambda: sgd_update(*data, 1e-6, 0.9), n), "bytes": 20 * data[0].size}

    return {}, turn


def parts(who, setting, file):
    """The parts of a training step, clocked while the step runs."""
    setting = Setting(*setting)
    params, batches = load(file)
    watch = Watch(namespace(who))
    model, adam = opponents.model_of(setting, watch), Adam(opponents.LR, backend=who)
    for name, param in params.items():
        model.params[name][...] = param
    watch.know(model.params)
    ring = itertools.cycle(batches)

    def advance():
        _, grads = model.loss_and_grads(*next(ring))
        with watch.part("optimizer"):
            adam.step(model.params, grads)

    def turn(n):
        for _ in range(1 + n // 10):
            advance()
        watch.seconds.clear()
        start = time.perf_counter()
        for _ in range(n):
            advance()
        total = time.perf_counter() - start
        seconds = {part: value / n for part, value in watch.seconds.items()}
        return {"seconds": total / n, "parts": seconds | {"around them": total / n - sum(seconds.values())}}

    return {}, turn


class Watch:
    """A backend that looks at the clock around every call: a VAE takes any namespace with ops' functions."""

    def __init__(self, ops):
        self.ops = ops
        self.__name__ = ops.__name__
        self.seconds = {}
        self._layers = {}

    def know(self, params):
        """Remember where each layer's weights lie, to tell from its arguments which layer a call is for."""
        self._layers = {_address(p): name.split(".")[0] for name, p in params.items() if name.endswith(".W")}

    def part(self, name):
        """A `with` block whose time counts for the part called `name`."""
        return _Lap(self.seconds, name)

    def __getattr__(self, name):
        function = getattr(self.ops, name)
        if not callable(function):
            return function

        def clocked(*args, **kwargs):
            with self.part(self._part_of(name, (*args, *kwargs.values()))):
                return function(*args, **kwargs)

        return clocked

    def _part_of(self, name, args):
        layers = (self._layers.get(_address(array)) for array in _arrays(args))
        layer = next(filter(None, layers), None)
        if layer:
            what = re.sub(r"\d+$", "", layer)
            what = {"mu": "heads", "logvar": "heads", "output": "decoder"}.get(what, what)
        else:
            what = next((w for key, w in PART_OF.items() if key in name), None)
            if what is None:
                return name
        way = "backward" if "backward" in name else "forward" if layer else ""
        return f"{what} {way}".strip()


PART_OF = {"nll": "loss", "kl": "loss", "sample": "sample"}


class _Lap:
    def __init__(self, seconds, name):
        self.seconds, self.name = seconds, name

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.perf_counter() - self.start


def _arrays(args):
    for arg in args:
        if isinstance(arg, np.ndarray):
            yield arg
        elif isinstance(arg, tuple | list):
            yield from _arrays(arg)


def _address(array):
    return array.__array_interface__["data"][0]


def _clock(work, n):
    """Seconds for one `work()`, the mean of n; whatever the last one promised has arrived by then."""
    for _ in range(1 + n // 10):
        last = work()
    _arrived(last)
    start = time.perf_counter()
    for _ in range(n):
        last = work()
    _arrived(last)
    return (time.perf_counter() - start) / n


def _arrived(value):
    if value is not None and not isinstance(value, np.ndarray):
        float(value)  # jax returns before its work is done


def save(file, params, batches):
    """Write what all contenders start from: parameters, and a ring of minibatches x (B, D), eps (B, L)."""
    x, eps = zip(*batches, strict=True)
    np.savez(file, x=np.stack(x), eps=np.stack(eps), **{f"params/{name}": p for name, p in params.items()})


def load(file):
    """-> params, batches as `save` took them."""
    with np.load(file) as stored:
        params = {n.removeprefix("params/"): stored[n] for n in stored.files if n.startswith("params/")}
        return params, list(zip(stored["x"], stored["eps"], strict=True))
