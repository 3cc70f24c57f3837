"""What the benchmark times, each in a process of its own: training steps, matrix products, parts of a step.

All contenders of a step start from the same parameters, minibatches and noise, compute the same loss and use
the same Adam. Whatever can be prepared (layout, conversion, compilation) is prepared before the clock starts.
"""

import functools
import itertools
import multiprocessing
import re
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minivae import VAE, Adam, data
from minivae.backends import namespace

ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
RING = 16  # minibatches used in turn, so that a step never finds its data in the nearest cache
CURVE = 50  # losses that are compared between contenders


class Setting(NamedTuple):
    """A network and its minibatch: one race."""

    hidden: tuple
    latent: int
    activation: str
    batch: int

    @property
    def title(self):
        """Widths, activation and minibatch."""
        return f"784-{'-'.join(map(str, (*self.hidden, self.latent)))} {self.activation}, B = {self.batch}"

    def model(self, backend):
        """The VAE, on a backend by name or any namespace with the functions of `ops`."""
        return VAE(784, self.latent, self.hidden, self.activation, backend=backend)

    def batches(self):
        """Minibatches x (B, D) with noise eps (B, L), in float32, the same for every contender."""
        rng, images = np.random.default_rng(0), data.load_mnist().x_train
        for _ in range(RING):
            x = data.minibatch(images[rng.integers(0, len(images), self.batch)], "dynamic", rng)
            yield x, rng.standard_normal((self.batch, self.latent), dtype=np.float32)


# ------------------------------------------------------------------------------ the process


class Contender:
    """work = make(*args) in a process of its own; `first` is what it computes first, or text if it cannot."""

    def __init__(self, make, *args):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, make, args), daemon=True).start()
        theirs.close()  # the process holds the only other end, so that each notices the other's death
        try:
            self.first = self.pipe.recv()
        except EOFError:
            self.first = "its process died"

    def __call__(self, n, *given):
        """n calls work(*given) -> {"seconds": their mean, "parts": {name: per call}, "peak_mb": so far}."""
        try:
            self.pipe.send((n, given))
            return self.pipe.recv()
        except (EOFError, OSError):
            raise ValueError("a process of the benchmark died: is the memory full?") from None


def _serve(pipe, make, args):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    with suppress(EOFError, OSError):  # the parent has finished
        try:
            work = make(*args)
            first = [float(work()) for _ in range(CURVE)] if make is step else []
        except ModuleNotFoundError as error:
            first = f"{error.name} is not installed"
        except Exception as error:  # a library that is broken here ends its own row only
            first = f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"
        pipe.send(first)
        while True:
            n, given = pipe.recv()
            seconds = clock(functools.partial(work, *given), n)
            parts = {name: sums / n for name, sums in getattr(work, "parts", {}).items()}
            getattr(work, "parts", {}).clear()
            pipe.send({"seconds": seconds, "parts": parts, "peak_mb": peak_memory()})


def clock(work, n):
    """Seconds for one `work()`, the mean of n."""
    start = time.perf_counter()
    for _ in range(n):
        last = work()
    if last is not None and not isinstance(last, np.ndarray):
        float(last)  # jax returns before its work is done
    return (time.perf_counter() - start) / n


def peak_memory():
    """The most memory that this process has held, in MB; None where the system does not say."""
    status = Path("/proc/self/status")
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else None


# ------------------------------------------------------------------------------ products and memory


def product(who):
    """work(m, k, n, layout, dtype): a @ b by our kernel or by BLAS; "TN" stores a as a transposed view."""
    multiply = namespace("numba").matmul if who == "numba" else np.matmul

    @functools.cache
    def arrays(m, k, n, layout, dtype):
        rng, shapes = np.random.default_rng(0), ((m, k), (k, n))
        a, b = (
            rng.standard_normal(shape[::-1]).astype(dtype).T if letter == "T"
            else rng.standard_normal(shape).astype(dtype)
            for shape, letter in zip(shapes, layout, strict=True)
        )  # fmt: skip
        return a, b, np.empty((m, n), dtype)

    return lambda *shape: multiply(*arrays(*shape))


def stream(who):
    """work(size): SGD's update on arrays of `size` bytes together: it reads three and writes two."""
    arrays = functools.cache(lambda size: [np.full(size // 12, 1e-3, np.float32) for _ in range(3)])
    return lambda size: namespace(who).sgd_update(*arrays(size), 1e-6, 0.9)


# ------------------------------------------------------------------------------ training steps


def step(who, setting):
    """work() of one contender's training step -> loss. ModuleNotFoundError if its library is missing."""
    params = setting.model("numpy").params
    kind = "minivae" if who in ("numba", "numpy") else re.split("[ .]", who)[0]
    one, convert = {"minivae": _minivae, "torch": _torch, "jax": _jax}[kind](setting, params, who)
    ring = itertools.cycle([tuple(map(convert, batch)) for batch in setting.batches()])
    return lambda: one(*next(ring))


def _minivae(setting, params, who):
    model, adam = setting.model(who), Adam(**ADAM, backend=who)

    def step(x, eps):
        terms, grads = model.loss_and_grads(x, eps)
        adam.step(model.params, grads)
        return terms.loss

    return step, np.asarray


def _walk(setting, inputs, dense, act, exp):
    """x, eps -> mu, logvar, logits: the forward pass that torch and jax share."""
    h, eps = inputs
    for i in range(len(setting.hidden)):
        h = act(dense(h, f"encoder{i + 1}"))
    mu, logvar = dense(h, "mu"), dense(h, "logvar")
    h = mu + exp(0.5 * logvar) * eps
    for i in range(len(setting.hidden)):
        h = act(dense(h, f"decoder{i + 1}"))
    return mu, logvar, dense(h, "output")


def _torch(setting, params, who):
    """Weights as nn.Linear stores them, fused Adam, and subnormal numbers flushed to zero."""
    import torch
    from torch.nn import functional

    torch.set_flush_denormal(True)
    params = {k: torch.from_numpy(np.ascontiguousarray(p.T)).requires_grad_() for k, p in params.items()}
    betas = ADAM["beta1"], ADAM["beta2"]
    adam = torch.optim.Adam(params.values(), lr=ADAM["lr"], betas=betas, eps=ADAM["eps"], fused=True)

    def dense(h, layer):
        return functional.linear(h, params[f"{layer}.W"], params[f"{layer}.b"])

    def loss_of(x, eps):
        mu, logvar, logits = _walk(setting, (x, eps), dense, getattr(torch, setting.activation), torch.exp)
        nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (nll + 0.5 * (mu * mu + torch.expm1(logvar) - logvar).sum()) / len(x)

    loss_of = torch.compile(loss_of) if who == "torch.compile" else loss_of

    def step(x, eps):
        adam.zero_grad(set_to_none=True)
        loss = loss_of(x, eps)
        loss.backward()
        adam.step()
        return loss.detach()

    return step, torch.from_numpy


def _jax(setting, params, who):
    """The whole step, Adam included, as one program that updates its donated state in place."""
    import jax
    import jax.numpy as jnp

    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[setting.activation]
    lr, b1, b2, tiny = ADAM.values()

    def loss_of(params, x, eps):
        def dense(h, layer):
            return h @ params[f"{layer}.W"] + params[f"{layer}.b"]

        mu, logvar, logits = _walk(setting, (x, eps), dense, act, jnp.exp)
        nll = (jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))).sum()
        return (nll + 0.5 * (mu * mu + jnp.expm1(logvar) - logvar).sum()) / len(x)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, x, eps):
        params, m, v, t = state
        loss, grads = jax.value_and_grad(loss_of)(params, x, eps)
        t = t + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
        c1, c2 = 1 / (1 - b1**t), 1 / (1 - b2**t)
        params = jax.tree.map(lambda p, m, v: p - lr * (m * c1) / (jnp.sqrt(v * c2) + tiny), params, m, v)
        return (params, m, v, t), loss

    zeros = [{name: jnp.zeros_like(p) for name, p in params.items()} for _ in range(2)]
    state = ({name: jnp.array(p) for name, p in params.items()}, *zeros, jnp.float32(0))

    def step(x, eps):
        nonlocal state
        state, loss = update(state, x, eps)
        return loss

    return step, jnp.asarray


class Watched:
    """work() of a training step whose backend times every call: a VAE accepts any namespace like `ops`."""

    def __init__(self, who, setting):
        self.ops, self.parts = namespace(who), {}
        self.model, self.adam = setting.model(self), Adam(**ADAM, backend=who)
        self.layers = {id(p): re.sub(r"\d*\.W", "", name) for name, p in self.model.params.items()}
        self.ring = itertools.cycle(list(setting.batches()))

    def __call__(self):
        """A training step."""
        _, grads = self.model.loss_and_grads(*next(self.ring))
        self.timed("optimizer", self.adam.step)(self.model.params, grads)

    def __getattr__(self, name):
        return self.timed(name, getattr(self.ops, name))

    def timed(self, name, function):
        """The function, with its seconds, flops and bytes added to its part of the step."""

        def call(*args, **settings):
            start = time.perf_counter()
            result = function(*args, **settings)
            seconds = time.perf_counter() - start
            way = " backward" if "backward" in name else ""
            moved, flops = sum({id(a): a.nbytes for a in _arrays((args, result))}.values()), 0
            if name == "optimizer":
                part, moved = (
                    name,
                    moved // 2 * 7,
                )  # reads params, grads and two moments, writes all but grads
            elif name.startswith("dense"):
                x, W = args[1][:2] if way else args[:2]
                flops = 2 * len(x) * W.size * (2 if way and result[0] is not None else 1)
                layer = self.layers[id(W)]
                part = {"mu": "heads", "logvar": "heads", "output": "decoder"}.get(layer, layer)
                part += way or " forward"
            else:
                part = ("sample" if "sample" in name else "loss") + way
            self.parts[part] = np.add(self.parts.get(part, 0), (seconds, flops, moved))
            return result

        return call if callable(function) else function


def _arrays(value):
    """Every array in nested tuples and dictionaries."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _arrays(each)
