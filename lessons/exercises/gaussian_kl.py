"""Exercise: the KL between a Gaussian posterior and the standard normal prior, and its derivatives."""

import numpy as np

from minivae import ops

from . import Exercise, Part


def draw(rng, n):
    """mu, logvar (B, L)."""
    return {"mu": rng.normal(0.3, 1.0, (n.B, n.L)), "logvar": rng.normal(-0.4, 0.9, (n.B, n.L))}


def draw_backward(rng, n):
    """dkl (B,) as well."""
    return {"dkl": rng.normal(0.2, 1.0, n.B)} | draw(rng, n)


def far():
    """Large and small variances, and the prior itself, where the KL is 0."""
    mu = np.array([[0.0, 2.0], [0.0, 0.0], [1.0, -3.0], [60.0, 0.0]])
    logvar = np.array([[0.0, 6.0], [0.0, 0.0], [-40.0, 20.0], [25.0, -25.0]])
    yield "with logvar from -40 to 25", {"mu": mu, "logvar": logvar}


def far_backward():
    """The same."""
    for note, args in far():
        yield note, {"dkl": np.array([1.3, -0.4, 0.7, 2.0])} | args


FORWARD = Part(
    ops.gaussian_kl,
    returns="kl",
    walk="""
        from_mean = mu**2  # (B, L)
        from_spread = exp(logvar) - logvar - 1  # (B, L)
        kl = 0.5 * (from_mean + from_spread).sum(axis=-1)
    """,
    slips="""
    kl = 0.5 * (from_mean + from_spread).mean(axis=-1)
        # kl is averaged over the L latents: independent latents add
    kl = 0.5 * (mu**2 + exp(logvar) - logvar).sum(axis=-1) - 0.5
        # the -1 is outside the sum: each latent has its own
    kl = 0.5 * (from_mean.sum(axis=-1) + exp(logvar.sum(axis=-1)) - logvar.sum(axis=-1) - L)
        # exp belongs before the sum
    kl = full(B, 0.5 * (from_mean + from_spread).sum(axis=-1).mean())
        # kl is averaged over the batch: return one per row
    from_spread = exp(2 * logvar) - 2 * logvar - 1
        # logvar is read as log std: e^logvar is the variance itself
    from_mean = mu**2 * exp(-logvar); from_spread = exp(-logvar) + logvar - 1
        # this is KL(p || q): swap the two
    from_mean = mu**2 * exp(-logvar)  # mu^2 is divided by the variance of q: the prior's variance is 1
    """,
    cases={"the KL of each row": draw},
    far={"far from the prior": far},
)

BACKWARD = Part(
    ops.gaussian_kl_backward,
    returns="dmu dlogvar",
    walk="""
        dmu = dkl[:, None] * mu  # (B, L)
        dlogvar = dkl[:, None] * 0.5 * (exp(logvar) - 1)  # (B, L)
    """,
    slips="""
    kl = 0.5 * (mu**2 + exp(logvar) - logvar - 1).sum(axis=1)[:, None]; dmu = kl * mu; \
    dlogvar = kl * 0.5 * (exp(logvar) - 1)  # kl is used where dkl belongs
    dlogvar = dkl[:, None] * (exp(0.5 * logvar) - exp(-0.5 * logvar))
        # this is the derivative with respect to std, not logvar
    dlogvar = dkl[:, None] * 0.5 * (1 - exp(-logvar))
        # this is the derivative with respect to the variance, not logvar
    dlogvar = dkl[:, None] * (exp(2 * logvar) - 1)
        # logvar is read as log std: e^logvar is the variance itself
    dmu = dkl[:, None] * mu * exp(-logvar)  # dmu is divided by the variance of q: the prior's variance is 1
    dmu = dkl.sum() * mu; dlogvar = dkl.sum() * 0.5 * (exp(logvar) - 1)
        # dkl is summed over the batch: each row has its own
    dmu = dkl[:, None] * mu / B; dlogvar = dkl[:, None] * 0.5 * (exp(logvar) - 1) / B
        # divided by B: dkl has the 1/B in it
    dmu = dkl * mu; dlogvar = dkl * 0.5 * (exp(logvar) - 1)
        # dkl meets the wrong axis: dkl[:, None] is (B, 1)
    """,
    cases={"the derivatives": draw_backward},
    far={"the derivatives far from the prior": far_backward},
)

EXERCISE = Exercise(
    lesson=2,
    title="Measure how far the posterior is from the prior",
    task="""
    Write KL( N(mu, exp(logvar)) || N(0, I) ) in closed form, one number for each row of the batch, and its
    derivatives with respect to mu and logvar, given dkl, the derivative of the loss with respect to each kl.
    Lesson 2 derives the first; differentiate it for the second.
    """,
    parts=(FORWARD, BACKWARD),
    hints=(
        "Where to look: lesson 2, the closed form. The latents are independent, so their divergences add: "
        "compute an array (B, L) first and sum it over its last axis. Backward is elementwise; dkl is (B,), "
        "and dkl[:, None] lets it meet (B, L).",
        "The formula: with s^2 = e^logvar, each latent adds 1/2 (mu^2 + s^2 - log s^2 - 1). Its derivatives: "
        "mu with respect to mu; 1/2 (e^logvar - 1) with respect to logvar.",
        "All but the last line:\n"
        "    from_mean = mu * mu                        # (B, L)\n"
        "    from_spread = np.exp(logvar) - logvar - 1  # (B, L)\n"
        "and backward:\n"
        "    dmu = dkl[:, None] * mu                    # (B, L)\n"
        "    dlogvar = dkl[:, None] * 0.5 * (np.exp(logvar) - 1)",
    ),
)
