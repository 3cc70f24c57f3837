"""Exercise: the KL between a Gaussian posterior and the standard normal prior, and its derivative."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise
from ..slips.gaussian_kl import WRONG, estimated, sums, terms

B, L = 11, 3
SIZES = {"B": B, "L": L}


def example():
    """mu, logvar (B, L) and an upstream gradient dkl (B,)."""
    rng = np.random.default_rng(2)
    return rng.normal(0.3, 1.0, (B, L)), rng.normal(-0.4, 0.9, (B, L)), rng.normal(0.2, 1.0, B)


def reference(mu, logvar):
    """The integral of q (log q - log p), by Gauss-Hermite quadrature: (B, L) -> (B,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    total = 0
    for e, w in zip(nodes, weights / weights.sum(), strict=True):
        z = mu + np.exp(logvar / 2) * e
        total = total + w * (z * z - logvar - (z - mu) ** 2 * np.exp(-logvar)) / 2
    return total.sum(axis=-1)


def check_kl(its):
    """One number for each datum, the KL by quadrature."""
    mu, logvar, _ = example()
    got, want = its.gaussian_kl(mu, logvar), reference(mu, logvar)
    with judging.or_else(lambda: estimated(got, want)):
        judging.expect(
            "kl",
            got,
            want,
            SIZES,
            wrong=[*judging.mistaken(WRONG, "gaussian_kl", mu, logvar), *sums(mu, logvar)],
            terms={name: term.sum(axis=1) for name, term in terms(mu, logvar).items()},
            formula={"mu^2": 0.5, "e^logvar": 0.5, "logvar": -0.5, "1": -0.5},
            inputs={"mu": mu, "logvar": logvar},
        )
    judging.ones("kl", its.gaussian_kl(mu[:1], logvar[:1]), (1,), "B = 1")


def check_far(its):
    """At large and small spreads, and where q is the prior itself."""
    mu = np.array([[0.0, 2.0], [0.0, 0.0], [1.0, -3.0]])
    logvar = np.array([[0.0, 6.0], [0.0, 0.0], [-40.0, 20.0]])
    want = [200.2143967, 0.0, 0.5 * (1 + np.exp(-40) + 40 - 1 + 9 + np.exp(20) - 20 - 1)]
    judging.expect("kl", its.gaussian_kl(mu, logvar), np.array(want), inputs={"logvar": logvar})


def check_backward(its):
    """dmu and dlogvar against the complex step of the quadrature."""
    mu, logvar, dkl = example()
    wants = [
        gradcheck.complex_step(lambda a: np.sum(dkl * reference(a, logvar)), mu),
        gradcheck.complex_step(lambda a: np.sum(dkl * reference(mu, a)), logvar),
    ]
    names = ("dmu", "dlogvar")
    results = judging.values("gaussian_kl_backward", its.gaussian_kl_backward(dkl, mu, logvar), names)
    bare = terms(mu, logvar)
    times = {f"dkl {name}".replace("dkl 1", "dkl"): dkl[:, None] * term for name, term in bare.items()}
    judging.expect_all(
        names,
        results,
        wants,
        SIZES,
        wrong=judging.mistaken(WRONG, "gaussian_kl_backward", dkl, mu, logvar),
        terms=times | {name: bare[name] for name in ("mu", "e^logvar", "1")},
        formulas=[{"dkl mu": 1.0}, {"dkl e^logvar": 0.5, "dkl": -0.5}],
    )


CHECKS = {
    "the KL of each datum": check_kl,
    "far from the prior": check_far,
    "the derivatives": check_backward,
}

EXERCISE = Exercise(
    lesson=2,
    title="Measure how far the posterior is from the prior",
    task="""
    Write KL( N(mu, exp(logvar)) || N(0, I) ) in closed form, one number for each datum, and how a derivative
    dkl that arrives from the loss goes on to mu and logvar. Lesson 2 derives the first; differentiate it for
    the second.
    """,
    functions=(ops.gaussian_kl, ops.gaussian_kl_backward),
    hints=(
        "Where to look: lesson 2, in closed form. The latents are independent, so their divergences add: "
        "compute an array (B, L) first and sum it over its last axis. Backward is elementwise; dkl is (B,), "
        "and dkl[:, None] lets it meet (B, L).",
        "The formula: with s^2 = e^logvar, each latent adds 1/2 (mu^2 + s^2 - log s^2 - 1). "
        "Its derivatives: by mu it is mu; by logvar, 1/2 (e^logvar - 1).",
        "All but the last line:\n"
        "    from_mean = mu * mu                        # (B, L)\n"
        "    from_spread = np.exp(logvar) - logvar - 1  # (B, L)\n"
        "and backward:\n"
        "    dmu = dkl[:, None] * mu                    # (B, L)\n"
        "    dlogvar = dkl[:, None] * 0.5 * (np.exp(logvar) - 1)",
    ),
    checks=CHECKS,
    wrong=WRONG,
)
