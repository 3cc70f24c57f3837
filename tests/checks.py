"""The checks by name. Each takes the implementation as an argument and says what is wrong with it.

`test_planted_bugs.py` proves that each catches what it is there for; the other tests apply them to minivae.
"""

import numpy as np
import oracles

FALSE_ALARM = 5.0  # standard errors: one honest run in 1.7 million exceeds this


def agree(name, got, want, tolerance):
    """Shapes equal, and the worst entry within `tolerance` of the largest one wanted."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{name}: shape {got.shape}, expected {want.shape}"
    if not want.size:
        return
    scale = np.max(np.abs(want)) or 1.0
    error = np.abs(got - want)
    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), want.shape)
    assert error[worst] <= tolerance * scale, (
        f"{name}: worst at {tuple(int(i) for i in worst)}: got {got[worst]!r}, want {want[worst]!r}, "
        f"{error[worst] / scale:.1e} of the largest entry, allowed {tolerance:.0e}"
    )


def check_pair(forward, backward, inputs, rng, reference=oracles.complex_gradient, tolerance=1e-13, fixed=()):
    """An operation against its backward: every input, under a random upstream gradient.

    `inputs` maps names to float64 arrays; `backward(dy, **inputs)` returns their derivatives in order, and
    those named in `fixed` have none. `forward(**inputs)` returns y.
    """
    y = forward(**inputs)
    dy = rng.standard_normal(np.shape(y))
    grads = backward(dy, **inputs)
    names = [name for name in inputs if name not in fixed]
    for name, grad in zip(names, grads, strict=True):

        def loss(value, name=name):
            return (dy * forward(**{**inputs, name: value})).sum()

        agree(f"d{name}", grad, reference(loss, inputs[name]), tolerance)


def check_gradient(model, x, eps, beta=0.7, tolerance=1e-8):
    """Every parameter of a float64 model against central differences of its own loss."""
    grads = model.loss_and_grads(x, eps, beta)[1]
    assert list(grads) == list(model.params)
    for name, param in model.params.items():

        def loss(value, name=name):
            before = model.params[name]
            model.params[name] = value
            try:
                return model.loss(x, eps, beta).loss
            finally:
                model.params[name] = before

        agree(f"d{name}", grads[name], oracles.central_gradient(loss, param), tolerance)


def check_sampler(ops, rng, n=400_000):
    """z = mu + std * eps has the mean mu and the variance e^logvar.

    Each latent's sample mean and variance within 5 standard errors (8 comparisons: false alarm 5e-6); a
    variance that is wrong by 2 % is 9 standard errors away.
    """
    mu = np.array([[0.0, 1.0, -2.0, 0.5]])
    logvar = np.array([[0.0, -2.0, 1.0, 2.0]])
    z = ops.gaussian_sample(mu, logvar, rng.standard_normal((n, 1, 4)))[:, 0]
    variance = np.exp(logvar[0])
    z_mean = (z.mean(axis=0) - mu[0]) / np.sqrt(variance / n)
    z_variance = (z.var(axis=0) - variance) / (variance * np.sqrt(2 / n))
    assert np.all(np.abs(z_mean) < FALSE_ALARM), f"sampler mean is off by {z_mean} standard errors"
    assert np.all(np.abs(z_variance) < FALSE_ALARM), (
        f"sampler variance is off by {z_variance} standard errors"
    )


def check_kl(ops, rng, n=200_000):
    """The closed-form KL against the average of log q(z) - log p(z) over z ~ q, drawn without `ops`.

    Within 5 standard errors for 6 pairs (false alarm 3e-6); a KL without its 1/2 is hundreds away.
    """
    mu = np.array([[0.0, 2.0], [1.0, -0.5], [0.3, 0.0]])
    logvar = np.array([[1.0, 0.0], [-2.0, 0.7], [0.1, -1.0]])
    std = np.sqrt(np.exp(logvar))
    z = mu + std * rng.standard_normal((n, 3, 2))
    draws = oracles.normal_log_density(z, mu, std) - oracles.normal_log_density(z, 0.0, 1.0)
    draws = draws.sum(axis=-1)  # (n, 3)
    error = draws.std(axis=0) / np.sqrt(n)
    off = (ops.gaussian_kl(mu, logvar) - draws.mean(axis=0)) / error
    assert np.all(np.abs(off) < FALSE_ALARM), f"kl is off its Monte Carlo estimate by {off} standard errors"


def check_elbo_identity(model, x, tolerance=1e-9):
    """log p(x) = ELBO + KL(q || posterior), both sides by quadrature over the one latent.

    All densities but the model's own two terms come from the oracles, so a wrong KL or nll breaks it.
    """
    nodes, weights = oracles.gauss_hermite(128)
    mu, logvar = model.encode(x)  # (B, 1)
    z = mu + np.sqrt(np.exp(logvar)) * nodes  # (B, n)
    probability = 1 / (1 + np.exp(-model.decode(z.reshape(-1, 1)))).reshape(*z.shape, -1)  # (B, n, D)
    log_likelihood = np.log(np.where(x[:, None] > 0.5, probability, 1 - probability)).sum(axis=-1)
    log_prior = oracles.normal_log_density(z, 0.0, 1.0)
    log_q = oracles.normal_log_density(z, mu, np.sqrt(np.exp(logvar)))
    log_joint_over_q = log_likelihood + log_prior - log_q
    log_p = oracles.log_mean_exp(log_joint_over_q, weights)  # (B,)
    gap = (weights * (log_p[:, None] - log_joint_over_q)).sum(axis=-1)  # KL(q || posterior)
    # the model's own terms, averaged over q by the same nodes
    elbo = np.empty(len(x))
    for i in range(len(x)):
        losses = [model.loss(x[i : i + 1], np.array([[node]])).loss for node in nodes]
        elbo[i] = -(weights * losses).sum()
    agree("log p(x) - ELBO against KL(q, posterior)", log_p - elbo, gap, tolerance)


def check_batch_scaling(model, x, eps):
    """Twice the batch, the same loss and the same gradient."""
    once, grads = model.loss_and_grads(x, eps)
    twice, grads2 = model.loss_and_grads(np.concatenate([x, x]), np.concatenate([eps, eps]))
    agree("loss of a doubled batch", twice.loss, once.loss, 1e-12)
    for name in grads:
        agree(f"d{name} of a doubled batch", grads2[name], grads[name], 1e-12)


def check_pixel_scaling(nll, rng):
    """Twice the pixels, twice the nll: it is summed over pixels."""
    outputs, x = rng.standard_normal((3, 5)), (rng.random((3, 5)) < 0.5).astype(float)
    twice = nll(np.concatenate([outputs, outputs], axis=1), np.concatenate([x, x], axis=1))
    agree("nll of doubled pixels", twice, 2 * nll(outputs, x), 1e-12)


def check_shapes(ops, rng):
    """nll and kl are (B,): a kept axis would broadcast (B, 1) + (B,) into an outer sum."""
    B, D, L = 3, 5, 2
    mu, logvar = rng.standard_normal((2, B, L))
    logits, x = rng.standard_normal((B, D)), rng.random((B, D))
    for name, value in (
        ("gaussian_kl", ops.gaussian_kl(mu, logvar)),
        ("gaussian_log_prob", ops.gaussian_log_prob(mu, mu, logvar)),
        ("bernoulli_nll", ops.bernoulli_nll(logits, x)),
        ("gaussian_nll", ops.gaussian_nll(logits, np.zeros(1), x)),
    ):
        assert value.shape == (B,), (
            f"{name} has shape {value.shape}, expected {(B,)}: a kept axis will broadcast"
        )


def check_extreme_logits(ops):
    """At logits of +-40 a wrong pixel costs 40 nats and a right one nothing; at +-1000 it is still so."""
    for size in (40.0, 1000.0):
        logits = np.array([[size, -size, size, -size]])
        x = np.array([[0.0, 1.0, 1.0, 0.0]])
        want = np.array([2 * size + 4 * np.log1p(np.exp(-size))])
        agree(f"nll at logits of +-{size:g}", ops.bernoulli_nll(logits, x), want, 1e-15)


# ------------------------------------------------------------------------------ estimators of a gradient


def check_surrogate(estimate, surrogate, f, df, mu, logvar, eps, rng, tolerance=1e-12):
    """Frozen noise: every sample's gradient against the complex step of what it is the derivative of.

    estimate(f, df, mu, logvar, eps) -> dmu, dlogvar (S, B, L); surrogate(mu, logvar) -> (S, B), under a
    random weight for each sample and datum.
    """
    w = rng.standard_normal(eps.shape[:2])
    dmu, dlogvar = ((w[..., None] * d).sum(axis=0) for d in estimate(f, df, mu, logvar, eps))
    by_mu = oracles.complex_gradient(lambda v: (w * surrogate(v, logvar)).sum(), mu)
    by_logvar = oracles.complex_gradient(lambda v: (w * surrogate(mu, v)).sum(), logvar)
    agree("dmu", dmu, by_mu, tolerance)
    agree("dlogvar", dlogvar, by_logvar, tolerance)


def check_moments(draws, weights, want, tolerance=1e-9):
    """No luck involved: at the nodes of a quadrature the moments of the draws are the exact ones.

    draws: dmu (n,), dlogvar (n,) at n nodes of these weights; want: for each its mean, variance and fourth
    central moment.
    """
    for part, values, exact in zip(("dmu", "dlogvar"), draws, want, strict=True):
        mean = (weights * values).sum()
        variance, fourth = ((weights * (values - mean) ** n).sum() for n in (2, 4))
        agree(f"mean of {part}", mean, exact.mean, tolerance)
        agree(f"1 + variance of {part}", 1 + variance, 1 + exact.variance, tolerance)
        agree(f"1 + fourth moment of {part}", 1 + fourth, 1 + exact.fourth, tolerance)


def check_draws(draws, want):
    """n independent draws dmu (n,), dlogvar (n,): mean and variance within 5 standard errors of the exact.

    The standard errors are exact too: sqrt(v / n), and sqrt((m4 - v^2) / n) for the variance.
    """
    for part, values, exact in zip(("dmu", "dlogvar"), draws, want, strict=True):
        if exact.variance < 1e-18 * exact.mean**2:
            agree(f"{part}, which does not scatter", values, np.full(values.shape, exact.mean), 1e-12)
            continue
        off, spread = values - exact.mean, np.sqrt(exact.fourth - exact.variance**2)
        z_mean = off.mean() / np.sqrt(exact.variance / len(values))
        z_variance = ((off**2).mean() - exact.variance) / (spread / np.sqrt(len(values)))
        assert abs(z_mean) < FALSE_ALARM, f"mean of {part} is off by {z_mean:.1f} standard errors"
        assert abs(z_variance) < FALSE_ALARM, f"variance of {part} is off by {z_variance:.1f} standard errors"
