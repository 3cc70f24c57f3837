"""Expectation maximization: a bound that never falls, and where it is not exact, how far it stays below.

    log p(x) = bound(q) + KL(q(z) || p(z|x))     bound(q) = E_q[log p(x, z) - log q(z)], the ELBO

The E-step raises the bound by choosing q, the M-step by choosing the parameters. With q = p(z|x) the bound is
log p(x) itself, which therefore never falls (Dempster, Laird and Rubin 1977). With a restricted q it need not
reach log p(x): variational EM (Neal and Hinton 1998). A VAE amortizes the E-step in an encoder; `refine` in
`bridges` takes the E-step for each x by itself, and tells what the encoder loses.
"""

from typing import NamedTuple

import numpy as np

from .. import arguments

ROUNDING = 1e-9  # relative fall of the bound that is rounding and not a wrong step


class Fit(NamedTuple):
    """What `fit` saw: the bound, nats per x, after every half-step, E and M in turn."""

    bounds: np.ndarray  # (2 steps + 1,): E, M, E, ..., E
    steps: int  # M-steps
    converged: bool  # whether the last step gained less than the tolerance


def fit(model, x, steps=1000, tolerance=1e-8, progress=lambda step, bound: None):
    """Alternate E- and M-steps until a step gains at most `tolerance` nats per x -> Fit.

    model  e_step(x) -> q, m_step(x, q), bound(x, q) -> nats per x; the M-step changes the model in place
    Raises ValueError if the bound falls by more than rounding, or is not finite: such a step is wrong.
    """
    arguments.integer("steps", steps)
    tolerance = arguments.number("tolerance", tolerance, at_least=0)
    q = model.e_step(x)
    bounds = [_checked(model.bound(x, q), [], "E", 0)]
    for step in range(1, steps + 1):
        model.m_step(x, q)
        bounds.append(_checked(model.bound(x, q), bounds, "M", step))
        q = model.e_step(x)
        bounds.append(_checked(model.bound(x, q), bounds, "E", step))
        progress(step, bounds[-1])
        if bounds[-1] - bounds[-3] <= tolerance:
            return Fit(np.array(bounds), step, True)
    return Fit(np.array(bounds), steps, False)


def _checked(bound, before, half, step):
    bound = float(bound)
    if not np.isfinite(bound):
        raise ValueError(f"the bound is {bound} after {half}-step {step}")
    if before and bound < before[-1] - ROUNDING * max(1.0, abs(before[-1])):
        raise ValueError(f"the bound fell from {before[-1]:.9g} to {bound:.9g} in {half}-step {step}")
    return bound


# ------------------------------------------------------------------------------ variational EM of a VAE


def elbo(vae, x, heads, eps):
    """The ELBO of each x (N, D) with these heads of q, by samples eps (S, N, L) -> (N,), nats."""
    posterior, (f, _) = vae.posterior, vae.cost(x)
    return -f(posterior.sample(*heads, eps)).mean(axis=0, dtype=float) - posterior.kl(*heads)


def slopes_of(vae, x, heads, eps):
    """d(-ELBO)/dheads, one (N, L) for each head: every x has its own, and none is averaged over x."""
    posterior, (_, df) = vae.posterior, vae.cost(x)
    dz = df(posterior.sample(*heads, eps)) / vae.dtype.type(len(eps))
    through_z = posterior.sample_backward(dz, *heads, eps)
    through_kl = posterior.kl_backward(np.ones(len(x), vae.dtype), *heads)
    return [a + b for a, b in zip(through_z, through_kl, strict=True)]


class Variational:
    """A VAE without its encoder: q(z|x) has heads of its own for every x (N, D), raised by gradient steps.

    The noise is drawn once, so that the bound is a function of the heads and of the parameters alone. A step
    that would lower the bound is halved, at most 20 times, and otherwise not taken: the bound never falls.
    """

    def __init__(self, vae, x, rng, samples=16, steps=5, rate=0.1):
        self.vae, self.steps = vae, arguments.integer("steps", steps)
        self.rates = {"E": arguments.number("rate", rate, above=0), "M": rate}
        shape = (arguments.integer("samples", samples), len(x), vae.latent_dim)
        self.eps = vae.posterior.noise(rng, shape, vae.dtype)
        self.heads = vae.encode(x)  # where the encoder is; the E-step goes on from there

    def bound(self, x, q):
        """The ELBO of x (N, D) with these heads, at the frozen noise -> nats per x."""
        return elbo(self.vae, x, q, self.eps).mean()

    def e_step(self, x):
        """Gradient steps on the heads of every x by itself -> the heads."""
        for _ in range(self.steps):
            slopes, start = slopes_of(self.vae, x, self.heads, self.eps), self.heads

            def move(rate, start=start, slopes=slopes):
                self.heads = tuple(head - rate * slope for head, slope in zip(start, slopes, strict=True))

            self._descend("E", x, move)
        return self.heads

    def m_step(self, x, q):
        """Gradient steps on the decoder's parameters."""
        names = [name for name in self.vae.params if name.startswith(("decoder", "output"))]
        for _ in range(self.steps):
            slopes = self._decoder_slopes(x, q)
            start = {name: self.vae.params[name].copy() for name in names}

            def move(rate, start=start, slopes=slopes):
                for name in names:
                    self.vae.params[name][...] = start[name] - rate * slopes[name]

            self._descend("M", x, move)

    def log_prob(self, x):
        """The ELBO of each x (N,), all that is known here; see `evaluation` for log p(x)."""
        return elbo(self.vae, x, self.heads, self.eps)

    def _decoder_slopes(self, x, q):
        """d(-bound)/dparams by the model's own backward pass, from heads that are not the encoder's."""
        replaced = dict(zip(self.vae.posterior.heads, q, strict=True))
        _, trace = self.vae.forward(x, self.eps, at=lambda name, value: replaced.get(name, value))
        return self.vae.backward(trace)

    def _descend(self, half, x, move):
        """Take the longest of the halved steps that does not lower the bound; none if there is none."""
        before, rate = self.bound(x, self.heads), 2 * self.rates[half]
        for _ in range(20):
            move(rate)
            after = self.bound(x, self.heads)
            if np.isfinite(after) and after >= before:
                self.rates[half] = rate
                return
            rate /= 2
        move(0.0)
        self.rates[half] = rate
