"""The gradient with respect to the heads of q(z|x) by an estimator other than the pathwise one.

The gradients of the decoder and of a closed-form KL are exact; only the part through the sampling of z is
estimated.
"""

import numpy as np

from .. import arguments, estimators
from ..distributions import kl_backward, kl_forward


def estimated(model, estimator, dnll, dkl, trace):
    """Gradients of sum(dnll * nll) and of sum(dkl * kl), one (B, L) for each head; the prior's derivatives.

    A sampled KL is part of the cost, with the parameters of q inside it held fixed: the omitted term is the
    mean of the score, which is zero. Its pathwise gradient is then that of sticking the landing.
    """
    if trace.bound != "elbo":
        raise ValueError(f'bound "{trace.bound}" has a pathwise gradient only; leave out the estimator')
    estimator = estimator or "leave-one-out"
    cost = model.cost(trace.x, trace.condition, trace.target)
    if not trace.sampled:
        through_z = _expectation(model, estimator, cost, dnll, trace)
        return through_z, model.posterior.kl_backward(dkl, *trace.heads), {}
    if estimator == "sticking-the-landing":
        estimator = "pathwise"
    costs = (cost, dnll), (_kl_cost(model, trace.heads), dkl)
    grads = [_expectation(model, estimator, of, weights, trace) for of, weights in costs]
    return *grads, model.prior.log_prob_backward(-dkl, trace.z, model.params)[1]


def _kl_cost(model, heads):
    """f and df of log q(z) - log p(z), in the form in which `cost` returns them for the nll."""

    def f(z):
        return kl_forward(model.posterior, z, heads, model.params, sampled=True)

    def df(z):
        ones = np.ones(z.shape[:-1], z.dtype)
        return kl_backward(model.posterior, ones, z, heads, model.params, sampled=True)[0]

    return f, df


def _expectation(model, estimator, cost, weights, trace):
    """Gradient of sum(weights * E f) with respect to each head, (B, L)."""
    estimate = estimators.named(estimator, beta=trace.beta, family=model.posterior)
    if getattr(estimate, "family", model.posterior).heads != model.posterior.heads:
        raise ValueError("the estimator is for another family: make it with family=model.posterior")
    samples = trace.eps.reshape(-1, *trace.eps.shape[-2:])  # (S, B, L)
    grads = estimate(*cost, *trace.heads, samples)
    names = [f"d{name}" for name in model.posterior.heads]
    count = len(grads) if np.iterable(grads) else arguments.describe(grads)
    if count != len(names):
        raise ValueError(f"an estimator must return {' and '.join(names)}, got {count}")
    for name, grad in zip(names, grads, strict=True):
        arguments.finite(f"the estimator's {name}", grad, samples.shape, ("sample", "datum", "latent"))
    weights = weights.reshape(-1, len(trace.x), 1)  # (S, B, 1)
    return [(weights * grad).sum(axis=0).astype(model.dtype, copy=False) for grad in grads]
