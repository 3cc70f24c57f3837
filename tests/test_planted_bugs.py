"""The nine classical VAE bugs, each planted in a copy of the right code and caught by its own check.

Every one of them has stood in public code or in somebody's question. A check that does not fail here is a
check that checks nothing.
"""

from types import SimpleNamespace

import checks
import numpy as np
import pytest

import minivae as mv
from minivae import ops


def planted(**functions):
    """A copy of `ops` with some functions replaced."""
    return SimpleNamespace(**{**vars(ops), **functions})


def model(backend):
    """A small model in float64 that computes with `backend`, away from zero weights."""
    model = mv.VAE(6, 2, (5,), "tanh", backend=backend, dtype=np.float64, seed=2)
    rng = np.random.default_rng(4)
    for param in model.params.values():
        param += 0.3 * rng.standard_normal(param.shape)
    return model


def data(rng):
    return (rng.random((3, 6)) < 0.5).astype(float), rng.standard_normal((3, 2))


def test_spread_is_exp_logvar(rng):
    """1. z = mu + e^logvar eps: rightly differentiated, wrongly sampled (ddbourgin/numpy-ml)."""
    bug = planted(gaussian_sample=lambda mu, logvar, eps: mu + np.exp(logvar) * eps)
    with pytest.raises(AssertionError, match="sampler variance is off"):
        checks.check_sampler(bug, rng)
    checks.check_sampler(ops, rng)


def test_kl_without_its_half(rng):
    """2. Twice the KL: against Monte Carlo, and against log p(x) - ELBO by quadrature."""
    bug = planted(
        gaussian_kl=lambda mu, logvar: 2 * ops.gaussian_kl(mu, logvar),
        gaussian_kl_backward=lambda dkl, mu, logvar: ops.gaussian_kl_backward(2 * dkl, mu, logvar),
    )
    with pytest.raises(AssertionError, match="kl is off its Monte Carlo estimate"):
        checks.check_kl(bug, rng)
    one = mv.VAE(6, 1, (5,), "tanh", backend=bug, dtype=np.float64, seed=2)
    with pytest.raises(AssertionError, match="against KL"):
        checks.check_elbo_identity(one, data(rng)[0])
    checks.check_gradient(model(bug), *data(rng))  # which a gradient check cannot see


def test_nll_averaged_over_pixels(rng):
    """3. The mean over pixels makes the KL 784 times too heavy."""
    bug = planted(bernoulli_nll=lambda logits, x: ops.bernoulli_nll(logits, x) / x.shape[1])
    with pytest.raises(AssertionError, match="nll of doubled pixels"):
        checks.check_pixel_scaling(bug.bernoulli_nll, rng)


def test_loss_summed_over_the_batch(rng):
    """4. The sum over the batch makes the step grow with the batch."""

    class Summed(mv.VAE):
        def loss_and_grads(self, x, eps, beta=1.0):
            terms, grads = super().loss_and_grads(x, eps, beta)
            return terms._replace(loss=terms.loss * len(x)), {k: g * len(x) for k, g in grads.items()}

        def loss(self, x, eps, beta=1.0):
            terms = super().loss(x, eps, beta)
            return terms._replace(loss=terms.loss * len(x))

    bug = Summed(6, 2, (5,), "tanh", backend="numpy", dtype=np.float64)
    with pytest.raises(AssertionError, match="loss of a doubled batch"):
        checks.check_batch_scaling(bug, *data(rng))
    checks.check_gradient(bug, *data(rng))  # consistent with itself, and wrong


def test_kl_keeps_an_axis(rng):
    """5. kl of shape (B, 1): nll + kl becomes a B x B outer sum."""
    bug = planted(gaussian_kl=lambda mu, logvar: ops.gaussian_kl(mu, logvar)[:, None])
    with pytest.raises(AssertionError, match=r"gaussian_kl has shape \(3, 1\), expected \(3,\)"):
        checks.check_shapes(bug, rng)


def test_probabilities_are_clipped(rng):
    """6. Clipping at 0.999 forgives a wrong pixel, and takes its gradient away."""

    def clipped(logits, x):
        p = np.clip(1 / (1 + np.exp(-logits)), 0.001, 0.999)
        return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=-1)

    with np.errstate(over="ignore"), pytest.raises(AssertionError, match="nll at logits of"):
        checks.check_extreme_logits(planted(bernoulli_nll=clipped))


def test_dlogvar_lacks_its_half(rng):
    """7. The 1/2 of std = exp(logvar / 2) does not come down."""

    def bug(dz, mu, logvar, eps):
        dmu, dlogvar = ops.gaussian_sample_backward(dz, mu, logvar, eps)
        return dmu, 2 * dlogvar

    with pytest.raises(AssertionError, match=r"d(encoder|logvar)"):
        checks.check_gradient(model(planted(gaussian_sample_backward=bug)), *data(rng))
    inputs = dict(zip(("mu", "logvar", "eps"), rng.standard_normal((3, 4, 2)), strict=True))
    with pytest.raises(AssertionError, match="dlogvar"):
        checks.check_pair(ops.gaussian_sample, bug, inputs, rng, fixed=("eps",))


def test_dmu_lacks_the_kl(rng):
    """8. The mean's own way into the KL is forgotten."""

    def bug(dkl, mu, logvar):
        dmu, dlogvar = ops.gaussian_kl_backward(dkl, mu, logvar)
        return 0 * dmu, dlogvar

    with pytest.raises(AssertionError, match=r"d(encoder|mu)"):
        checks.check_gradient(model(planted(gaussian_kl_backward=bug)), *data(rng))


def test_db_is_a_mean(rng):
    """9. db averaged over the batch instead of summed."""

    def bug(dy, cache, input_gradient=True):
        dx, dW, db = ops.dense_backward(dy, cache, input_gradient)
        return dx, dW, db / len(dy)

    with pytest.raises(AssertionError, match=r"d.*\.b: worst at"):
        checks.check_gradient(model(planted(dense_backward=bug)), *data(rng))


def test_the_right_code_passes_every_check(rng):
    right = model("numpy")
    checks.check_sampler(ops, rng)
    checks.check_kl(ops, rng)
    checks.check_shapes(ops, rng)
    checks.check_extreme_logits(ops)
    checks.check_pixel_scaling(ops.bernoulli_nll, rng)
    checks.check_batch_scaling(right, *data(rng))
    checks.check_gradient(right, *data(rng))
