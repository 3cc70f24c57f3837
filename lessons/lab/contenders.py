"""The code that the benchmark times, in separate processes: training steps and matrix products.

A contender is one implementation. All contenders of a training step use the same initial parameters,
minibatches, noise, loss and Adam. Layout, conversion and compilation are done before timing starts.
"""

import functools
import itertools
import math
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
RING = 16  # minibatches, used cyclically so that the data of a step is not in the nearest cache
CURVE = 20  # losses compared between contenders: later ones differ, as training amplifies rounding


class Setting(NamedTuple):
    """The network and minibatch size of one comparison."""

    hidden: tuple
    latent: int
    activation: str
    batch: int
    samples: int = 1  # above 1 the loss is the importance-weighted bound

    @property
    def title(self):
        """Layer widths, activation, minibatch size and samples."""
        widths, more = "-".join(map(str, (*self.hidden, self.latent))), f", k = {self.samples}"
        return f"784-{widths} {self.activation}, B = {self.batch}{more if self.samples > 1 else ''}"

    def model(self, backend):
        """The VAE on `backend`: a name, or any namespace with the functions of `ops`."""
        return VAE(784, self.latent, self.hidden, self.activation, backend=backend)

    def batches(self):
        """Yield float32 minibatches x (B, D) and noise eps (B, L) or (S, B, L), the same for everyone."""
        rng, images = np.random.default_rng(0), data.load_mnist().x_train
        for _ in range(RING):
            x = data.minibatch(images[rng.integers(0, len(images), self.batch)], "dynamic", rng)
            shape = (self.samples, self.batch, self.latent)[self.samples == 1 :]
            yield x, rng.standard_normal(shape, dtype=np.float32)


# ------------------------------------------------------------------------------ processes


class Contender:
    """Run work = make(*args) in a process; `first` is the first losses of a step, or an error message."""

    def __init__(self, make, *args):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs, make, args), daemon=True).start()
        theirs.close()  # only the child has this end open: each side gets an error when the other exits
        try:
            self.first = self.pipe.recv()
        except EOFError:
            self.first = "its process died"

    def __call__(self, n, *given):
        """Call work(*given) n times -> {"seconds": mean, "parts": {name: mean}, "peak_mb": so far}."""
        try:
            self.pipe.send((n, given))
            return self.pipe.recv()
        except (EOFError, OSError):
            raise ValueError("a benchmark process ended early, perhaps out of memory") from None


def _serve(pipe, make, args):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the parent handles Ctrl-C
    with suppress(EOFError, OSError):  # if the parent has exited
        try:
            work = make(*args)
            first = [float(work()) for _ in range(CURVE)] if make is step else []
        except ModuleNotFoundError as error:
            first = f"{error.name} is not installed"
        except Exception as error:  # a broken library affects only its own row
            first = f"{type(error).__name__}: {' '.join(str(error).split())[:60]}"
        pipe.send(first)
        while True:
            n, given = pipe.recv()
            seconds = clock(functools.partial(work, *given), n)
            parts = {name: sums / n for name, sums in getattr(work, "parts", {}).items()}
            getattr(work, "parts", {}).clear()
            pipe.send({"seconds": seconds, "parts": parts, "peak_mb": peak_memory()})


def clock(work, n):
    """Mean seconds of one `work()` over n calls."""
    start = time.perf_counter()
    for _ in range(n):
        last = work()
    if last is not None and not isinstance(last, np.ndarray):
        float(last)  # wait for jax, which runs asynchronously
    return (time.perf_counter() - start) / n


def peak_memory():
    """Peak memory of this process in MB; None if the system does not report it."""
    status = Path("/proc/self/status")
    return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else None


# ------------------------------------------------------------------------------ products and memory


def product(library):
    """Return work(m, k, n, layout, dtype): a @ b with our kernel or BLAS; in "TN", a is a transposed view."""
    multiply = namespace("numba").matmul if library == "numba" else np.matmul

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


def stream(library):
    """Return work(size): an SGD update that reads three arrays, `size` bytes in total, and writes two."""
    arrays = functools.cache(lambda size: [np.full(size // 12, 1e-3, np.float32) for _ in range(3)])
    return lambda size: namespace(library).sgd_update(*arrays(size), 1e-6, 0.9)


# ------------------------------------------------------------------------------ training steps


def step(library, setting):
    """Return work(), one training step -> loss. ModuleNotFoundError if the library is missing."""
    params = setting.model("numpy").params
    kind = "minivae" if library in ("numba", "numpy") else re.split("[ .]", library)[0]
    one, convert = {"minivae": _minivae, "torch": _torch, "jax": _jax}[kind](setting, params, library)
    ring = itertools.cycle([tuple(map(convert, batch)) for batch in setting.batches()])
    return lambda: one(*next(ring))


def _minivae(setting, params, library):
    model, adam = setting.model(library), Adam(**ADAM, backend=library)
    bound = "elbo" if setting.samples == 1 else "iwae"

    def step(x, eps):
        terms, grads = model.loss_and_grads(x, eps, bound=bound)
        adam.step(model.params, grads)
        return terms.loss

    return step, np.asarray


def _walk(setting, inputs, dense, act, exp):
    """x, eps -> mu, logvar, z, logits: the forward pass shared by torch and jax."""
    h, eps = inputs
    for i in range(len(setting.hidden)):
        h = act(dense(h, f"encoder{i + 1}"))
    mu, logvar = dense(h, "mu"), dense(h, "logvar")
    z = h = mu + exp(0.5 * logvar) * eps
    for i in range(len(setting.hidden)):
        h = act(dense(h, f"decoder{i + 1}"))
    return mu, logvar, z, dense(h, "output")


def _torch(setting, params, library):
    """Weights in the layout of nn.Linear, fused Adam, subnormal numbers flushed to zero."""
    import torch
    from torch.nn import functional

    torch.set_flush_denormal(True)
    params = {k: torch.from_numpy(np.ascontiguousarray(p.T)).requires_grad_() for k, p in params.items()}
    betas = ADAM["beta1"], ADAM["beta2"]
    adam = torch.optim.Adam(params.values(), lr=ADAM["lr"], betas=betas, eps=ADAM["eps"], fused=True)

    def dense(h, layer):
        return functional.linear(h, params[f"{layer}.W"], params[f"{layer}.b"])

    def loss_of(x, eps):
        act = getattr(torch, setting.activation)
        mu, logvar, z, logits = _walk(setting, (x, eps), dense, act, torch.exp)
        if setting.samples == 1:
            nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            return (nll + 0.5 * (mu * mu + torch.expm1(logvar) - logvar).sum()) / len(x)
        nll = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        log_w = -nll.sum(-1) - 0.5 * (z * z - eps * eps - logvar).sum(-1)  # (S, B)
        return math.log(setting.samples) - torch.logsumexp(log_w, 0).mean()

    loss_of = torch.compile(loss_of) if library == "torch.compile" else loss_of

    def step(x, eps):
        adam.zero_grad(set_to_none=True)
        loss = loss_of(x, eps)
        loss.backward()
        adam.step()
        return loss.detach()

    return step, torch.from_numpy


def _jax(setting, params, library):
    """The whole step, including Adam, as one jitted function; the donated state is updated in place."""
    import jax
    import jax.numpy as jnp

    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[setting.activation]
    lr, b1, b2, tiny = ADAM.values()

    def loss_of(params, x, eps):
        def dense(h, layer):
            return h @ params[f"{layer}.W"] + params[f"{layer}.b"]

        mu, logvar, z, logits = _walk(setting, (x, eps), dense, act, jnp.exp)
        nll = jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))
        if setting.samples == 1:
            return (nll.sum() + 0.5 * (mu * mu + jnp.expm1(logvar) - logvar).sum()) / len(x)
        log_w = -nll.sum(-1) - 0.5 * (z * z - eps * eps - logvar).sum(-1)  # (S, B)
        return math.log(setting.samples) - jax.nn.logsumexp(log_w, 0).mean()

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
