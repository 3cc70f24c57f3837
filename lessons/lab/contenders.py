"""What the benchmark times: the training step of every contender, matrix products, memory, parts of a step.

All contenders of a step start from the same parameters, minibatches and noise, compute the same loss and use
the same Adam. Whatever can be prepared (layout, conversion, compilation) is prepared before the clock starts.
"""

import functools
import itertools
import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minivae import VAE, Adam, data
from minivae.backends import namespace

ADAM = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
RING = 16  # minibatches used in turn, so that a step never finds its data in the nearest cache


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


def clock(work, n):
    """Seconds for one `work()`, the mean of n."""
    start = time.perf_counter()
    for _ in range(n):
        last = work()
    if last is not None and not isinstance(last, np.ndarray):
        float(last)  # jax returns before its work is done
    return (time.perf_counter() - start) / n


def product(who, m, k, n, layout, dtype):
    """work() of a @ b by our kernel or NumPy's BLAS; layout "TN" stores a as a transposed view, "NT" b."""
    rng, multiply = np.random.default_rng(0), namespace("numba").matmul if who == "numba" else np.matmul
    a, b = (
        rng.standard_normal(shape[::-1] if letter == "T" else shape).astype(dtype)
        for shape, letter in zip(((m, k), (k, n)), layout, strict=True)
    )
    a, b, out = a.T if layout[0] == "T" else a, b.T if layout[1] == "T" else b, np.empty((m, n), dtype)
    return lambda: multiply(a, b, out=out)


def stream(size):
    """work() of SGD's update on arrays of `size` bytes together: it reads three and writes two."""
    arrays = [np.full(size // 12, 1e-3, np.float32) for _ in range(3)]
    return lambda: namespace("numba").sgd_update(*arrays, 1e-6, 0.9)


# ------------------------------------------------------------------------------ training steps


def steps(who, setting):
    """work() of one contender's training step -> loss. ModuleNotFoundError if its library is missing."""
    params = setting.model("numpy").params
    kind = "minivae" if who in ("numba", "numpy") else re.split("[ .]", who)[0]
    step, convert = {"minivae": _minivae, "torch": _torch, "jax": _jax}[kind](setting, params, who)
    ring = itertools.cycle([tuple(map(convert, batch)) for batch in setting.batches()])
    return lambda: step(*next(ring))


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


# ------------------------------------------------------------------------------ the parts of a step


class Watch:
    """A backend that times every call: a VAE accepts any namespace with the functions of `ops`."""

    def __init__(self, who, setting):
        self.ops, self.seconds = namespace(who), {}
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
        """The function, with its seconds added to its part of the step."""

        def call(*args, **settings):
            start = time.perf_counter()
            result = function(*args, **settings)
            part = self._part(name, args)
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - start
            return result

        return call if callable(function) else function

    def _part(self, name, args):
        way = " backward" if "backward" in name else ""
        if name.startswith("dense"):
            layer = self.layers.get(id(args[1][1] if way else args[1]), "dense")
            return {"mu": "heads", "logvar": "heads", "output": "decoder"}.get(layer, layer) + (
                way or " forward"
            )
        known = {"nll": "loss", "kl": "loss", "sample": "sample"}
        return next((what + way for key, what in known.items() if key in name), name)


# ------------------------------------------------------------------------------ the machine


def describe():
    """Processor, cores, system, versions, and the share of the cores' time that others use."""
    cpu, busy = platform.processor() or platform.machine(), None
    if Path("/proc/stat").exists():
        names = [
            l.split(":")[1].strip()
            for l in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in l
        ]
        cpu, before = [*names, cpu][0], _ticks()
        time.sleep(0.5)
        idle, total = np.subtract(_ticks(), before)
        busy = float(1 - idle / total) if total else None
    versions = {"python": platform.python_version()}
    for name in ("numpy", "numba", "torch", "jax"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {"cpu": cpu, "cores": cores(), "system": platform.platform(), "busy": busy, "versions": versions}


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ticks():
    """idle, total clock ticks of all cores since the start."""
    ticks = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def work_of_parts(setting):
    """{part: (flops, bytes)} of a step in float32: products 2 m k n; operands read and written once."""
    B, D, L = setting.batch, 784, setting.latent
    stacks = {
        "encoder": list(itertools.pairwise((D, *setting.hidden))),
        "heads": [(setting.hidden[-1], L)] * 2,
        "decoder": list(itertools.pairwise((L, *setting.hidden[::-1], D))),
    }
    work, weights = {}, 0
    for name, shapes in stacks.items():
        size = sum(i * o + o for i, o in shapes)
        once = size + sum(B * (i + o) for i, o in shapes)  # x, W, b -> y
        inputs = shapes[1:] if name == "encoder" else shapes  # the first layer needs no dx
        flops, of_dx = (sum(2 * B * i * o for i, o in which) for which in (shapes, inputs))
        weights += size
        work[f"{name} forward"] = flops, once
        again = sum(B * o for _, o in shapes) + sum(i * o + B * i for i, o in inputs)  # y; W -> dx
        work[f"{name} backward"] = flops + of_dx, once + again
    work |= {"sample": (0, 4 * B * L), "sample backward": (0, 5 * B * L), "optimizer": (0, 7 * weights)}
    work |= {"loss": (0, 2 * B * (D + L)), "loss backward": (0, B * (3 * D + 4 * L))}
    return {name: (flops, 4 * numbers) for name, (flops, numbers) in work.items()}


def floors(setting, limits):
    """{part: seconds that it takes at least} at the measured limits; {} without them."""
    speed = limits.get("bytes_per_second", {}).get(setting.title)
    parts = work_of_parts(setting).items() if speed else ()
    return {name: max(flops / limits["flops"], moved / speed) for name, (flops, moved) in parts}
