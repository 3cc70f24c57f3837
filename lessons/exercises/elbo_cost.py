"""Exercise: the negative ELBO of one sample, as a function of z."""

import numpy as np

from minivae import estimators
from minivae.estimators.samples import cost_of

from .. import judging
from ..judging import Exercise, Failed, sum_of_terms
from ..slips import elbo_cost as slips
from ..slips.elbo_cost import WRONG
from .gaussian_log_prob import reference as log_density

S, B, L = 4, 7, 3
SIZES = {"S": S, "B": B, "L": L}
BETA = 0.7


def example():
    """z (S, B, L), anywhere; mu and logvar (B, L)."""
    rng = np.random.default_rng(31)
    return rng.normal(0.3, 1.4, (S, B, L)), rng.normal(0.4, 0.9, (B, L)), rng.normal(-0.5, 0.7, (B, L))


def some_nll(shape):
    """A cost of z (S, *shape) or one sample of that shape: nll(z) = sum_l log(1 + e^(2 z_l - c_l)) + 2."""
    c = np.random.default_rng(32).normal(0.0, 1.0, shape)

    def nll(z):
        if np.shape(z)[-2:] != shape or np.ndim(z) > 3:
            inner = ", ".join(str(n) for n in shape)
            raise Failed(f"nll is called with an array of shape {np.shape(z)}: it takes z, (S, {inner})")
        return np.logaddexp(0, 2 * np.asarray(z) - c).sum(axis=-1) + 2

    return nll


def reference(nll, z, mu, logvar, beta=1.0):
    """f(z), from the standard library's density: (S, B)."""
    zero = np.zeros_like(mu)
    return nll(z) + beta * (log_density(z, mu, logvar) - log_density(z, zero, zero))


def made(its, *args):
    """The f that elbo_cost makes, called with care."""
    f = its.elbo_cost(*args)
    if not callable(f):
        kind = "None" if f is None else type(f).__name__
        raise Failed(
            f"elbo_cost returns {kind}, expected a function: define f(z) inside, return f, do not call it"
        )
    return judging.Judged({"f": f}).f


# ------------------------------------------------------------------------------ checks


def check_values(its):
    """f at z that are not drawn from q, beta left at 1."""
    z, mu, logvar = example()
    nll = some_nll((B, L))
    got = judging.array("f(z)", made(its, nll, mu, logvar)(z), (S, B), SIZES)
    terms, formula = slips.coarse_terms(nll, z, mu, logvar)
    if sum_of_terms(got.ravel(), {name: a.ravel() for name, a in terms.items()}, formula) is None:
        terms, formula = slips.fine_terms(nll, z, mu, logvar)
    judging.expect(
        "f(z)",
        got,
        reference(nll, z, mu, logvar),
        SIZES,
        wrong=slips.of_values(z, nll, mu, logvar),
        terms=terms,
        formula=formula,
        inputs={"logvar": logvar, "mu": mu, "z": z},
    )


def check_beta(its):
    """beta weighs log q - log p, both of them, and nothing else."""
    z, mu, logvar = example()
    nll = some_nll((B, L))
    got = judging.array("f(z)", made(its, nll, mu, logvar, BETA)(z), (S, B), SIZES)
    wrong = slips.listed(z, nll, mu, logvar, BETA)
    wrong.append((slips.with_beta(got, nll, z, mu, logvar, BETA), got))
    judging.expect("f(z)", got, reference(nll, z, mu, logvar, BETA), SIZES, wrong=wrong, note="beta = 0.7")
    got, wrong = made(its, nll, mu, logvar, 0.0)(z), [(slips.ZERO, reference(nll, z, mu, logvar))]
    judging.expect("f(z)", got, nll(z), SIZES, wrong=wrong, note="beta = 0")


def check_again(its):
    """One f serves any z: other numbers, another S."""
    _, mu, logvar = example()
    nll = some_nll((B, L))
    f = made(its, nll, mu, logvar, BETA)
    rng = np.random.default_rng(33)
    before = None
    for count in (S, S, 1, B):
        z = rng.normal(-0.2, 1.2, (count, B, L))
        want, wrong = reference(nll, z, mu, logvar, BETA), []
        if before is not None and count == S:
            stale, cost = reference(nll, before, mu, logvar, BETA), nll(z) - nll(before)
            wrong = [(slips.AGAIN_THE_SAME, value) for value in (stale, stale + cost, want - cost)]
        with judging.noted(f"the same f is called again, with another z of shape {z.shape}"):
            judging.expect("f(z)", f(z), want, {"S": count, "B": B, "L": L}, wrong=wrong)
        before = z


def check_mean(its):
    """The mean of f under q is the nll's mean plus the KL: Gauss-Hermite quadrature on 16 x 16 nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(16)
    first, second = np.meshgrid(nodes, nodes, indexing="ij")
    eps = np.stack([first.ravel(), second.ravel()], axis=-1)[:, None, :]  # (S, 1, 2)
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2  # (S,)
    rng = np.random.default_rng(34)
    mu, logvar = rng.normal(0.2, 0.8, (5, 2)), rng.normal(-0.6, 0.6, (5, 2))
    z = mu + np.exp(logvar / 2) * eps
    # E cos z = e^(-s^2/2) cos mu
    f = made(its, lambda z: np.cos(z).sum(axis=-1), mu, logvar)
    got = judging.array("f(z)", f(z), (256, 5), {"S": 256, "B": 5, "L": 2})
    nll = (np.exp(-np.exp(logvar) / 2) * np.cos(mu)).sum(axis=-1)
    kl = 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=-1)
    wrong = [
        ("the mean of f under q is nll - KL: the KL's sign is wrong", nll - kl),
        ("the mean of f under q is the nll's alone: the KL is missing", nll),
        ("the mean of f under q is the KL alone: the nll is missing", kl),
    ]
    mean = (weights @ got).astype(np.float32 if judging.in_single(got) else np.float64)
    judging.expect("the mean of f under q", mean, nll + kl, {"B": 5}, wrong=wrong)


def check_far(its):
    """Small variances, and z 60 standard deviations from mu: q underflows, its logarithm does not."""
    mu, logvar = np.zeros((4, 2)), np.array([[-40.0, -40.0], [-25.0, -12.0], [2.0, -1.0], [0.5, 1.0]])
    distance = np.array([[1.5, -0.5], [-2.0, 1.0], [60.0, 0.3], [1.0, 2.0]])
    z = (np.exp(logvar / 2) * distance)[None]
    want = 0.5 * (z**2 - logvar - distance**2).sum(axis=-1) + 2
    with judging.noted("nll is 2 here; logvar from -40 on, and z up to 60 standard deviations from mu"):
        got = made(its, lambda z: np.full(z.shape[:-1], 2.0), mu, logvar)(z)
        judging.finite(got, want, slips.UNDERFLOW.format("f(z)", "z", "mu"))
        judging.expect("f(z)", got, want, inputs={"logvar": logvar, "the distance (z - mu) / std": distance})


def check_ones(its):
    """Axes of size 1 stay."""
    z, mu, logvar = np.array([[[1.3]]]), np.array([[0.7]]), np.array([[-0.6]])
    nll = some_nll((1, 1))
    got = made(its, nll, mu, logvar)(z)
    judging.ones("f(z)", got, (1, 1), "z has shape (1, 1, 1)")
    judging.expect("f(z)", got, reference(nll, z, mu, logvar), note="z has shape (1, 1, 1)")


CHECKS = {
    "f at any z": check_values,
    "beta": check_beta,
    "the same f again": check_again,
    "its mean under q": check_mean,
    "where a density underflows": check_far,
    "a single latent": check_ones,
}

EXERCISE = Exercise(
    lesson=3,
    title="Make the negative ELBO a cost of one sample",
    task="""
    Write elbo_cost(nll, mu, logvar, beta): it returns a function f of z, the cost whose mean under q is the
    negative ELBO, f(z) = nll(z) + beta (log q(z) - log N(z; 0, I)).

    nll is a function as well: nll(z), with z (S, B, L), is (S, B). q is N(mu, exp(logvar)), with mu and
    logvar (B, L); f keeps them as they are, whatever z it is called with. You may write the two log-densities
    out, or `from minivae import ops` and use ops.gaussian_log_prob(z, mu, logvar), known from lesson 1.
    """,
    functions=(estimators.elbo_cost,),
    hints=(
        "Where to look: a function that is defined inside another sees the arguments of that one. So "
        "elbo_cost begins with `def f(z):`, computes inside f what depends on z, and ends with `return f`, "
        "which is not called. Nothing is averaged: one cost for each sample and datum, (S, B).",
        "The formula: the KL is the mean under q of log q(z) - log p(z), so this difference at a single z "
        "stands for it. The prior p is N(0, I): the same density with mu = 0 and logvar = 0. The two "
        "constants log 2 pi cancel: log q - log p = 1/2 sum_l (z^2 - logvar - (z - mu)^2 e^-logvar).",
        "All but the last lines:\n"
        "    def f(z):\n"
        "        # (S, B) each, both without their constant\n"
        "        log_q = -0.5 * (logvar + (z - mu) ** 2 * np.exp(-logvar)).sum(axis=-1)\n"
        "        log_p = -0.5 * (z**2).sum(axis=-1)\n"
        "        # return nll(z), and beta times their difference\n"
        "    # return f",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("elbo_slope", "monte_carlo_kl"),
    shows=(cost_of,),
)
