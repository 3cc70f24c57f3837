"""Exercise: the negative ELBO of one sample, as a function of z."""

import numpy as np

from minivae import estimators
from minivae.estimators.samples import cost_of

from .. import judging
from ..judging import Exercise, Failed, Wrong, over_samples, sum_of_terms
from ..slips.gaussian_log_prob import LOG_2PI
from .gaussian_log_prob import reference as log_density

S, B, L = 4, 7, 3
SIZES = {"S": S, "B": B, "L": L}
BETA = 0.7
BETAS = {
    "": 1.0,
    "beta": BETA,
    "(1 - beta)": 1 - BETA,
    "(1 + beta)": 1 + BETA,
    "beta^2": BETA**2,
    "1/beta": 1 / BETA,
    "beta/2": BETA / 2,
    "2 beta": 2 * BETA,
    "1/(1 + beta)": 1 / (1 + BETA),
    "beta/(1 + beta)": BETA / (1 + BETA),
}


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


def parts(nll, z, mu, logvar):
    """nll(z), log q(z) and log N(z; 0, I), each (S, B)."""
    zero = np.zeros_like(mu)
    return nll(z), log_density(z, mu, logvar), log_density(z, zero, zero)


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
    costs, log_q, log_p = parts(nll, z, mu, logvar)
    kl = 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=-1)
    coarse = {
        "nll(z)": costs,
        "log q(z)": log_q,
        "log N(z; 0, I)": log_p,
        "KL(q || p) in closed form": np.broadcast_to(kl, (S, B)),
        "nll(mu)": np.broadcast_to(nll(mu), (S, B)),
    }
    formula = {"nll(z)": 1.0, "log q(z)": 1.0, "log N(z; 0, I)": -1.0}
    if sum_of_terms(got.ravel(), {name: a.ravel() for name, a in coarse.items()}, formula) is None:
        coarse, formula = _fine(costs, z, mu, logvar)
    want = costs + log_q - log_p
    mixed = over_samples(
        "f(z)",
        lambda z, mu, logvar: nll(z) + _log_normal(z, mu, logvar) - _log_normal(z, 0 * mu, 0 * mu),
        (z,),
        (mu, logvar),
    )
    wrong = [*_mistaken(z, nll, mu, logvar), *_slips(nll, z, mu, logvar), *mixed]
    inputs = {"logvar": logvar, "mu": mu, "z": z}
    judging.expect("f(z)", got, want, SIZES, wrong=wrong, terms=coarse, formula=formula, inputs=inputs)


def _fine(costs, z, mu, logvar):
    """f(z) as a sum of the terms of its log-densities, and the right factors."""
    d = z - mu
    each = {
        "(z-mu)^2 e^-logvar": d**2 * np.exp(-logvar),
        "z^2": z**2,
        "logvar": logvar,
        "log 2 pi": np.full(L, LOG_2PI),
        "(z-mu)^2": d**2,
        "(z-mu)^2 e^logvar": d**2 * np.exp(logvar),
        "(z-mu)^2 e^(-logvar/2)": d**2 * np.exp(-logvar / 2),
        "(z-mu)^2 e^(-2 logvar)": d**2 * np.exp(-2 * logvar),
        "(z-mu) e^-logvar": d * np.exp(-logvar),
        "z^2 e^-logvar": z**2 * np.exp(-logvar),
        "mu^2": mu**2,
        "e^logvar": np.exp(logvar),
        "z": z,
    }
    terms = {"nll(z)": costs}
    terms |= {name: np.broadcast_to(a, (S, B, L)).sum(axis=-1) for name, a in each.items()}
    return terms, {"nll(z)": 1.0, "z^2": 0.5, "logvar": -0.5, "(z-mu)^2 e^-logvar": -0.5}


def _mistaken(z, *args):
    """Pairs (sentence, f(z)) of the listed wrong answers."""
    found = []
    for sentence, f in judging.mistaken(WRONG, "elbo_cost", *args):
        try:
            found.append((sentence, f(z.copy())))
        except Exception:  # a wrong answer may fail in any way, and then explains nothing
            continue
    return found


def _slips(nll, z, mu, logvar, beta=1.0):
    """Pairs (sentence, f(z)): other arguments, densities for logarithms, means where each has its own."""
    costs, log_q, log_p = parts(nll, z, mu, logvar)
    kl, std = log_q - log_p, np.exp(logvar / 2)
    again = parts(nll, mu + std * z, mu, logvar)
    own = "f gives every sample and datum its own, the caller averages"

    def spread(a, axis=None):
        return np.broadcast_to(a.mean(axis=axis, keepdims=True), a.shape)

    each = 0.5 * (z**2 - logvar - (z - mu) ** 2 * np.exp(-logvar))  # (S, B, L)

    def around_z(other):
        return costs + beta * (_log_normal(other, mu, logvar) - log_p)

    def around(mean, variance):
        return costs + beta * (_log_normal(z, mean, np.log(variance)) - log_p)

    pairs = [
        (
            "f takes z for eps and makes mu + std z of it: z is the sample itself",
            again[0] + again[1] - again[2],
        ),
        (
            "nll is taken at the mean of the samples: every sample has its own",
            nll(z.mean(axis=0)) + beta * kl,
        ),
        ("nll is taken at the first sample: every sample has its own", nll(z[0]) + beta * kl),
        ("nll is taken at (z - mu) / std: it wants z itself", nll((z - mu) / std) + beta * kl),
        ("nll is taken at z - mu: it wants z itself", nll(z - mu) + beta * kl),
        (FITTED, around(z.mean(axis=0), np.exp(logvar))),
        (FITTED, around(mu, z.var(axis=0))),
        ("densities are subtracted, not their logarithms", costs + beta * (np.exp(log_q) - np.exp(log_p))),
        ("the logarithms are divided: log(q/p) = log q - log p", costs + beta * log_q / log_p),
        ("q/p is added without its logarithm", costs + beta * np.exp(kl)),
        ("nll(z) is multiplied with log q - log p: add them", costs * beta * kl),
        ("nll(z) is multiplied with log q: add log q - log p", costs * log_q),
        (
            "log q - log p is weighted with q(z): z is drawn from q already, and each sample counts the same",
            costs + beta * np.exp(log_q) * kl,
        ),
        ("log q - log p is made positive (abs): it may be negative", costs + beta * abs(kl)),
        ("log q - log p is made positive (maximum): it may be negative", costs + beta * np.maximum(kl, 0)),
        (f"log q - log p is summed over all: {own}", costs + beta * kl.sum()),
        (f"nll(z) is summed over all: {own}", costs.sum() + beta * kl),
        ("log q - log p is squared: it counts as it is", costs + beta * kl**2),
        ("log q - log p is squared: it counts as it is", costs + beta * kl**2 / 2),
        (
            "the logarithm of nll(z) is taken: nll is minus a log-likelihood already",
            np.log(costs) + beta * kl,
        ),
        ("nll(z) is put into an exponential: it is added as it is", np.exp(-costs) + beta * kl),
        ("nll(z) is taken of the samples in reverse order", nll(z[::-1]) + beta * kl),
        ("q is taken at (z - mu) / std: it wants z itself", around_z((z - mu) / std)),
        ("log q - log p counts only the first latent: sum over L", costs + beta * each[..., 0]),
        ("log q - log p counts only the last latent: sum over L", costs + beta * each[..., -1]),
        ("log q - log p leaves out the last latent", costs + beta * each[..., :-1].sum(axis=-1)),
        ("log q - log p leaves out the first latent", costs + beta * each[..., 1:].sum(axis=-1)),
    ]
    for axis, over in ((0, "the samples"), (1, "the batch"), (None, "all")):
        pairs.append((f"log q - log p is averaged over {over}: {own}", costs + beta * spread(kl, axis)))
        pairs.append((f"nll(z) is averaged over {over}: {own}", spread(costs, axis) + beta * kl))
    for power in range(2, 17):
        safe = np.log(np.exp(log_q) + 10.0**-power) - np.log(np.exp(log_p) + 10.0**-power)
        words = f"about 1e-{power} is added inside the logarithms: log q and log p need none, they are sums"
        pairs.append((words, costs + beta * safe))
    return pairs


def check_beta(its):
    """beta weighs log q - log p, both of them, and nothing else."""
    z, mu, logvar = example()
    nll = some_nll((B, L))
    got = judging.array("f(z)", made(its, nll, mu, logvar, BETA)(z), (S, B), SIZES)
    terms = parts(nll, z, mu, logvar)
    want = terms[0] + BETA * (terms[1] - terms[2])
    wrong = [*_mistaken(z, nll, mu, logvar, BETA), (_as_found(got, terms), got)]
    judging.expect("f(z)", got, want, SIZES, wrong=wrong, note="beta = 0.7")


def _as_found(got, terms):
    """What f is a sum of, with its factors by their names where they have one."""
    matrix = np.stack([*(term.ravel() for term in terms), np.ones(got.size)], axis=1)
    factors = np.linalg.lstsq(matrix, got.ravel(), rcond=None)[0]
    if not np.allclose(matrix @ factors, got.ravel(), rtol=1e-8, atol=1e-8):
        return "f(z) is right at beta = 1 alone: beta multiplies log q - log p, and nothing else"
    words = ""
    for factor, term in zip(factors, ("nll(z)", "log q(z)", "log p(z)", ""), strict=True):
        if abs(factor) < 1e-6:
            continue
        size = [name for name, value in BETAS.items() if abs(abs(factor) - value) < 1e-6]
        size = f"{size[0] if size else f'{abs(factor):.4g}'} "
        words += (" - " if factor < 0 else " + " if words else "") + (
            f"{size}{term}".strip() if term else size.strip() or "1"
        )
    return f"f(z) is {words}: beta multiplies log q(z) - log p(z), both of them, and nothing else"


def check_again(its):
    """One f serves any z: other numbers, another S."""
    _, mu, logvar = example()
    nll = some_nll((B, L))
    f = made(its, nll, mu, logvar, BETA)
    rng = np.random.default_rng(33)
    first = None
    for count in (S, S, 1, B):
        z = rng.normal(-0.2, 1.2, (count, B, L))
        costs, log_q, log_p = parts(nll, z, mu, logvar)
        with judging.noted(f"the same f is called again, with another z of shape {z.shape}"):
            got, want = f(z), costs + BETA * (log_q - log_p)
            wrong = []
            if first is not None and count == S:
                wrong += [(AGAIN_THE_SAME, first[0] + BETA * (first[1] - first[2]))]
                wrong += [(AGAIN_THE_SAME, first[0] + BETA * (log_q - log_p))]
                wrong += [(AGAIN_THE_SAME, costs + BETA * (first[1] - first[2]))]
            judging.expect("f(z)", got, want, {"S": count, "B": B, "L": L}, wrong=wrong)
            first = first or (costs, log_q, log_p)


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
        if np.shape(got) == want.shape and not np.isfinite(np.asarray(got, np.float64)).all():
            raise Failed(UNDERFLOW, [f"got {np.asarray(got).tolist()}, want {want.tolist()}"])
        judging.expect("f(z)", got, want, inputs={"logvar": logvar, "the distance (z - mu) / std": distance})


def check_ones(its):
    """Axes of size 1 stay."""
    z, mu, logvar = np.array([[[1.3]]]), np.array([[0.7]]), np.array([[-0.6]])
    nll = some_nll((1, 1))
    got = made(its, nll, mu, logvar)(z)
    judging.ones("f(z)", got, (1, 1), "z has shape (1, 1, 1)")
    costs, log_q, log_p = parts(nll, z, mu, logvar)
    judging.expect("f(z)", got, costs + log_q - log_p, note="z has shape (1, 1, 1)")


CHECKS = {
    "f at any z": check_values,
    "beta": check_beta,
    "the same f again": check_again,
    "its mean under q": check_mean,
    "where a density underflows": check_far,
    "a single latent": check_ones,
}
VALUES, WEIGHT, AGAIN, MEAN, FAR, ONES = CHECKS

AGAIN_THE_SAME = (
    "f uses again what its first call computed: all that depends on z is computed inside f, at every call"
)
FITTED = "q's mean and variance are taken from the samples z: they are held at mu and e^logvar"
UNDERFLOW = (
    "f(z) is not finite where z is 60 standard deviations from mu: a density is computed, and underflows "
    "to 0. Subtract logarithms, and never take the logarithm of a density or of q/p"
)


# ------------------------------------------------------------------------------ wrong answers


def _log_normal(z, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (z - mu) ** 2 * np.exp(-logvar)).sum(axis=-1)


def _with(combine):
    """f(z) = combine(nll, log q, log p, beta, z, mu, logvar), where nll is the function."""

    def elbo_cost(nll, mu, logvar, beta=1.0):
        def f(z):
            log_q, log_p = _log_normal(z, mu, logvar), _log_normal(z, 0 * mu, 0 * mu)
            return combine(nll, log_q, log_p, beta, z, mu, logvar)

        return f

    return {"elbo_cost": elbo_cost}


def _closed(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - logvar - 1).sum(axis=-1)


def _fitted(nll, log_q, log_p, beta, z, mu, logvar):
    """q taken from the samples themselves."""
    mean, variance = z.mean(axis=0), z.var(axis=0)
    return nll(z) + beta * (_log_normal(z, mean, np.log(variance)) - log_p)


def _first_z(nll, mu, logvar, beta=1.0):
    """An f that keeps its first answer."""
    kept = []

    def f(z):
        if not kept:
            kept.append(nll(z) + beta * (_log_normal(z, mu, logvar) - _log_normal(z, 0 * mu, 0 * mu)))
        return kept[0].copy()

    return f


def _from_density(nll, log_q, log_p, beta, z, mu, logvar):
    return nll(z) + beta * np.log(np.exp(log_q) / np.exp(log_p))


WRONG = (
    Wrong(
        {"elbo_cost": lambda nll, mu, logvar, beta=1.0: nll(mu) + beta * _closed(mu, logvar)},
        VALUES,
        "elbo_cost returns ndarray, expected a function",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(z)),
        VALUES,
        "f(z) is nll(z) alone: log q(z) - log p(z), whose mean is the KL, is missing",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: beta * (log_q - log_p)),
        VALUES,
        "f(z) lacks nll(z): it is a sum of the misfit and of the KL's sample",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(z) + beta * (log_p - log_q)),
        VALUES,
        "log p - log q has the wrong sign: its mean under q is minus the KL, and f is to be minimized",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: -nll(z) - beta * (log_q - log_p)),
        VALUES,
        "f(z) has the opposite sign: this is the ELBO, a gain, and its negative is the cost that is asked",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(z) - beta * log_p),
        VALUES,
        "log q(z) is missing: without it, minimizing f shrinks q to a point, its entropy counts for nothing",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(z) + beta * _closed(mu, logvar)),
        VALUES,
        "the KL stands in closed form, the same at every z: its mean is right, but f has log q(z) - log p(z)",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(mu) + beta * (log_q - log_p)),
        VALUES,
        "nll is taken at mu and not at z: f(mu) is no mean of f, and no sample of it",
    ),
    Wrong(
        _with(_fitted),
        VALUES,
        FITTED,
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(z) + (log_q - log_p)),
        WEIGHT,
        "f(z) does not change with beta: it multiplies log q - log p",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: beta * nll(z) + (log_q - log_p)),
        WEIGHT,
        "beta multiplies nll(z): it is the weight of the KL's two terms, log q - log p",
    ),
    Wrong(
        _with(lambda nll, log_q, log_p, beta, z, mu, logvar: nll(z) + beta * log_q - log_p),
        WEIGHT,
        "beta multiplies log q alone: put log q - log p into brackets",
    ),
    Wrong(
        {"elbo_cost": _first_z},
        AGAIN,
        AGAIN_THE_SAME,
    ),
    Wrong(_with(_from_density), FAR, UNDERFLOW),
)


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
