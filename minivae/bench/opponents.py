"""The same training step as other libraries do it: torch eager, torch.compile and jax.jit at their best.

A race is fair if everybody runs the same course: parameters, minibatches and noise come from one file, the
loss is the same formula, Adam has the same constants, and the losses of the first steps are compared. What a
contender can prepare (layout, conversion, compilation) it prepares before the clock runs. Every `..._step`
here returns `step(x, eps) -> loss`, which trains one step further; the loss may still be on its way when it
returns, `float(loss)` waits for it.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..data import load_mnist, minibatch
from ..models import VAE
from ..optimizers import Adam

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
STEPS = ("numba", "numpy", "torch eager", "torch.compile", "jax.jit")


class Setting(NamedTuple):
    """A network and its minibatch: one race."""

    hidden: tuple
    latent: int
    activation: str
    batch: int
    data: int = 784

    @property
    def title(self):
        """Widths, activation and minibatch in one short line."""
        widths = "-".join(map(str, (self.data, *self.hidden, self.latent)))
        return f"{widths} {self.activation}, B = {self.batch}"


def prepare(who, setting, params, batches):
    """`step(x, eps)` of one contender, and the batches in the arrays that it likes best."""
    if who in ("numba", "numpy"):
        return minivae_step(setting, params, who), batches
    if who == "jax.jit":
        import jax.numpy as jnp

        return jax_step(setting, params), [(jnp.asarray(x), jnp.asarray(eps)) for x, eps in batches]
    import torch

    step = torch_step(setting, params, compiled=who == "torch.compile")
    return step, [(torch.from_numpy(x), torch.from_numpy(eps)) for x, eps in batches]


def start(setting, count):
    """What all contenders start from: parameters, and `count` minibatches x (B, D), eps (B, L) in float32."""
    rng = np.random.default_rng(0)
    images = load_mnist().x_train
    batches = []
    for _ in range(count):
        x = minibatch(images[rng.integers(0, len(images), setting.batch)], "dynamic", rng)
        batches.append((x, rng.standard_normal((setting.batch, setting.latent), dtype=np.float32)))
    return model_of(setting, "numpy").params, batches


def minivae_step(setting, params, backend):
    """Our own, on either backend."""
    model, adam = model_of(setting, backend), Adam(LR, BETA1, BETA2, EPS, backend)
    for name, param in params.items():
        model.params[name][...] = param

    def step(x, eps):
        terms, grads = model.loss_and_grads(x, eps)
        adam.step(model.params, grads)
        return terms.loss

    return step


def model_of(setting, backend):
    """The VAE of a setting, on either backend or any other namespace with the functions of `ops`."""
    return VAE(setting.data, setting.latent, setting.hidden, setting.activation, backend=backend)


def torch_step(setting, params, compiled):
    """Torch with weights as nn.Linear holds them, fused Adam, and subnormal numbers flushed to zero.

    It takes its number of threads from OMP_NUM_THREADS.
    """
    import torch
    from torch.nn import functional

    torch.set_flush_denormal(True)
    act = getattr(torch, setting.activation)
    params = {k: torch.from_numpy(np.ascontiguousarray(p.T)).requires_grad_() for k, p in params.items()}
    adam = torch.optim.Adam(params.values(), lr=LR, betas=(BETA1, BETA2), eps=EPS, fused=True)

    def dense(h, layer):
        return functional.linear(h, params[f"{layer}.W"], params[f"{layer}.b"])

    def loss_of(x, eps):
        mu, logvar, logits = _walk(setting, x, eps, dense, act, torch.exp)
        nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (mu * mu + torch.expm1(logvar) - logvar).sum()
        return (nll + kl) / len(x)

    if compiled:
        loss_of = torch.compile(loss_of)  # forward, loss and backward; the fused Adam is one kernel already

    def step(x, eps):
        adam.zero_grad(set_to_none=True)
        loss = loss_of(x, eps)
        loss.backward()
        adam.step()
        return loss.detach()

    return step


def jax_step(setting, params):
    """The whole step, Adam included, as one program that updates its donated state in place."""
    import jax
    import jax.numpy as jnp

    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[setting.activation]

    def loss_of(params, x, eps):
        def dense(h, layer):
            return h @ params[f"{layer}.W"] + params[f"{layer}.b"]

        mu, logvar, logits = _walk(setting, x, eps, dense, act, jnp.exp)
        nll = (jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-jnp.abs(logits)))).sum()
        kl = 0.5 * (mu * mu + jnp.expm1(logvar) - logvar).sum()
        return (nll + kl) / len(x)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, x, eps):
        params, m, v, t = state
        loss, grads = jax.value_and_grad(loss_of)(params, x, eps)
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)
        unbias1, unbias2 = 1 / (1 - BETA1**t), 1 / (1 - BETA2**t)
        params = jax.tree.map(
            lambda p, m, v: p - LR * (m * unbias1) / (jnp.sqrt(v * unbias2) + EPS), params, m, v
        )
        return (params, m, v, t), loss

    def zeros():
        return {name: jnp.zeros_like(param) for name, param in params.items()}

    state = ({name: jnp.array(param) for name, param in params.items()}, zeros(), zeros(), jnp.float32(0))

    def step(x, eps):
        nonlocal state
        state, loss = update(state, x, eps)
        return loss

    return step


def _walk(setting, x, eps, dense, act, exp):
    """x, eps -> mu, logvar, logits: the forward walk that torch and jax share."""
    depth = range(1, len(setting.hidden) + 1)
    h = x
    for i in depth:
        h = act(dense(h, f"encoder{i}"))
    mu, logvar = dense(h, "mu"), dense(h, "logvar")
    h = mu + exp(0.5 * logvar) * eps
    for i in depth:
        h = act(dense(h, f"decoder{i}"))
    return mu, logvar, dense(h, "output")
