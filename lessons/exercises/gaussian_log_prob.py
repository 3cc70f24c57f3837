"""Exercise: the log-density of a Gaussian with its own mean and variance for every latent."""

import math
from statistics import NormalDist

import numpy as np

from minivae import ops

from .. import judging
from ..judging import Exercise, Failed, Wrong, over_samples, reductions

S, B, L = 5, 11, 3
SIZES = {"S": S, "B": B, "L": L}
LOG_2PI = math.log(2 * math.pi)


def example():
    """z (S, B, L), mu and logvar (B, L)."""
    rng = np.random.default_rng(11)
    mu, logvar = rng.normal(0.4, 1.0, (B, L)), rng.normal(-0.3, 0.8, (B, L))
    return rng.normal(0.2, 1.5, (S, B, L)), mu, logvar


def reference(z, mu, logvar):
    """One number at a time, from the normal density of the standard library: like z without its last axis."""
    total = np.zeros(z.shape[:-1])
    for index in np.ndindex(z.shape):
        at = index[-2:]
        density = NormalDist(mu[at], math.sqrt(math.exp(logvar[at]))).pdf(z[index])
        total[index[:-1]] += math.log(density)
    return total


def terms(d, logvar, name="(z-mu)"):
    """What the log-density may be the sum of, entry by entry: d is what is squared, called `name`."""
    return {
        "log 2 pi": np.full(d.shape, LOG_2PI),
        "logvar": np.broadcast_to(logvar, d.shape),
        f"{name}^2 e^-logvar": d**2 * np.exp(-logvar),
        f"{name}^2": d**2,
        f"{name}^2 e^logvar": d**2 * np.exp(logvar),
        f"{name}^2 e^(-logvar/2)": d**2 * np.exp(-logvar / 2),
        f"{name}^2 e^(logvar/2)": d**2 * np.exp(logvar / 2),
        f"{name}^2 e^(-2 logvar)": d**2 * np.exp(-2 * logvar),
        f"{name}^2 / logvar": d**2 / logvar,
        f"{name} e^-logvar": d * np.exp(-logvar),
        f"{name} e^(-logvar/2)": d * np.exp(-logvar / 2),
        f"|{name}| e^(-logvar/2)": np.abs(d) * np.exp(-logvar / 2),
        "e^logvar": np.broadcast_to(np.exp(logvar), d.shape),
        "e^(logvar/2)": np.broadcast_to(np.exp(logvar / 2), d.shape),
    }


def slips(z, mu, logvar, name="log_prob", letters=("z", "mu"), sign=-0.5, what="latents"):
    """Pairs (sentence, value) of what may stand in sign * sum(log 2 pi + logvar + (z - mu)^2 e^-logvar).

    Other constants and logarithms, a small number beside the variance, other squares, other ways to add up.
    """
    a, b = letters
    d, logvar = z - mu, np.broadcast_to(logvar, z.shape)
    square, count, pairs = d**2 * np.exp(-logvar), z.shape[-1], []
    plain = (logvar + square).sum(axis=-1)

    constants = {
        "2 pi": 2 * math.pi,
        "log pi": math.log(math.pi),
        "log 2": math.log(2),
        "pi": math.pi,
        "sqrt(2 pi)": math.sqrt(2 * math.pi),
        "log10(2 pi)": math.log10(2 * math.pi),
        "log2(2 pi)": math.log2(2 * math.pi),
    }
    for words, value in constants.items():
        pairs.append((f"{name} has {words} where log 2 pi belongs", sign * (plain + count * value)))
    for words, factor in (("2, in bits", 1 / math.log(2)), ("10", 1 / math.log(10))):
        natural = f"a logarithm to base {words}: nats ask for the natural one, np.log"
        pairs.append((f"{name} is {natural}", sign * factor * (plain + count * LOG_2PI)))

    for power in range(2, 17):
        small = 10.0**-power
        for spread, of in (
            (np.exp(logvar) + small, "variance"),
            ((np.exp(logvar / 2) + small) ** 2, "standard deviation"),
        ):
            words = f"{name} has about 1e-{power} added to the {of}, which is never 0: small ones are changed"
            for log in (np.log(spread), logvar):
                pairs.append((words, sign * (LOG_2PI + log + d**2 / spread).sum(axis=-1)))

    right = f"({a}-{b})^2 e^-logvar"
    squares = {
        f"({a}+{b})^2 e^-logvar": (z + mu) ** 2 * np.exp(-logvar),
        f"({a}-{b}^2) e^-logvar": (z - mu**2) * np.exp(-logvar),
        f"({a}^2-{b}^2) e^-logvar": (z**2 - mu**2) * np.exp(-logvar),
        f"({a}/std-{b})^2": (z * np.exp(-logvar / 2) - mu) ** 2,
        f"({a}/var-{b})^2": (z * np.exp(-logvar) - mu) ** 2,
        f"|{a}-{b}| e^-logvar": np.abs(d) * np.exp(-logvar),
        f"|{a}-{b}| e^(-logvar/2)": np.abs(d) * np.exp(-logvar / 2),
    }
    for words, other in squares.items():
        pairs.append(
            (f"{name} has {words} where {right} belongs", sign * (LOG_2PI + logvar + other).sum(axis=-1))
        )
    ahead = count * LOG_2PI + logvar.sum(axis=-1)
    summed = (d * np.exp(-logvar / 2)).sum(axis=-1)
    pairs += [
        (f"the {what} are added before they are squared: square first, then add", sign * (ahead + summed**2)),
        (
            f"a root is taken of the sum of squares (np.linalg.norm): {right} has none",
            sign * (ahead + np.sqrt(square.sum(axis=-1))),
        ),
        (
            "logvar is summed over the batch as well: sum over the last axis only",
            sign * (count * LOG_2PI + logvar.sum() + square.sum(axis=-1)),
        ),
        (
            "the squares are summed over the batch as well: sum over the last axis only",
            sign * (ahead + square.sum()),
        ),
        (
            f"the densities of the {what} are added: those of independent {what} multiply",
            -2 * sign * np.log(np.exp(-(LOG_2PI + logvar + square) / 2).sum(axis=-1)),
        ),
    ]
    with np.errstate(all="ignore"):
        for log in (np.log(logvar), np.log(np.abs(logvar))):
            for other in (square, d**2 / logvar, d**2 / np.abs(logvar)):
                pairs.append((LOG_OF_LOG, sign * (LOG_2PI + log + other).sum(axis=-1)))
    with np.errstate(all="ignore"):  # z may be the same in every row
        freed = d**2 / z.var(axis=0) + np.log(z.var(axis=0))
    for words, other in (
        (f"e^-logvar is squared and ({a}-{b}) is not", logvar + d * np.exp(-2 * logvar)),
        ("log(1 + e^logvar) stands where logvar belongs", np.log1p(np.exp(logvar)) + square),
        (
            "the variance is log(1 + e^logvar): it is e^logvar",
            np.log(np.log1p(np.exp(logvar))) + d**2 / np.log1p(np.exp(logvar)),
        ),
        (f"the variance is taken from {a} itself: it is e^logvar", freed),
    ):
        pairs.append((words, sign * (LOG_2PI + other).sum(axis=-1)))
    pairs.append(
        (
            f"the variances of the {what} are added before the logarithm: the logarithms are added",
            sign * (count * LOG_2PI + np.log(np.exp(logvar).sum(axis=-1)) + square.sum(axis=-1)),
        )
    )
    exchanged = sign * (LOG_2PI + mu + (z - logvar) ** 2 * np.exp(-mu)).sum(axis=-1)
    pairs.append((f"{b} and logvar are exchanged", exchanged))
    return pairs + reductions(name, sign * (LOG_2PI + logvar + square), what)


LOG_OF_LOG = "the log of logvar is taken: logvar is the logarithm of the variance already"


def check_one(its):
    """z (B, L): one number for each datum."""
    samples, mu, logvar = example()
    _values(its, samples[1], mu, logvar)


def check_samples(its):
    """z (S, B, L): one number for each sample and datum."""
    with judging.noted(f"z has shape (S, B, L) = {(S, B, L)}, mu and logvar {(B, L)}"):
        _values(its, *example())


def _values(its, z, mu, logvar):
    sums = {name: term.sum(axis=-1) for name, term in (terms(z - mu, logvar) | _of_z(z, mu, logvar)).items()}
    mixed = over_samples("log_prob", lambda *args: _right(*args).sum(axis=-1), (z,), (mu, logvar))
    judging.expect(
        "log_prob",
        its.gaussian_log_prob(z, mu, logvar),
        reference(z, mu, logvar),
        SIZES,
        wrong=[*judging.mistaken(WRONG, "gaussian_log_prob", z, mu, logvar), *slips(z, mu, logvar), *mixed],
        terms=sums,
        formula={"log 2 pi": -0.5, "logvar": -0.5, "(z-mu)^2 e^-logvar": -0.5},
        inputs={"logvar": logvar, "mu": mu, "z": z},
    )


def _of_z(z, mu, logvar):
    return {"z^2": z**2, "z^2 e^-logvar": z**2 * np.exp(-logvar), "mu^2": np.broadcast_to(mu**2, z.shape)}


def check_spreads(its):
    """Small and large variances, with z a few standard deviations away.

    Where logvar = -40 the variance is 4e-18: whatever is added to it for safety changes it, and a clipped
    logvar shows.
    """
    logvar = np.array([-40.0, -25.0, -12.0, -6.0, 6.0, 12.0, 25.0, 40.0])[:, None] * np.array([1.0, 0.98])
    std = np.exp(logvar / 2)
    mu, z = 0.5 * std, std * np.linspace(-1.5, 2.5, 16).reshape(8, 2)
    squares = (np.linspace(-1.5, 2.5, 16).reshape(8, 2) - 0.5) ** 2
    want = -0.5 * (LOG_2PI + logvar + squares).sum(axis=-1)
    fixed = (f"log 2 pi is counted {L} times, and L is 2 here: take L from a shape", want - 0.5 * LOG_2PI)
    judging.expect(
        "log_prob",
        its.gaussian_log_prob(z, mu, logvar),
        want,
        {"B": 8, "L": 2},
        wrong=[*judging.mistaken(WRONG, "gaussian_log_prob", z, mu, logvar), *slips(z, mu, logvar), fixed],
        inputs={"logvar": logvar},
        note="with logvar from -40 to 40",
    )


def check_far(its):
    """z 60 standard deviations from mu: the density is 0 in double precision, its logarithm is -1800."""
    mu, logvar = (
        np.array([[1.0, -0.5], [0.3, 0.2], [-1.0, 2.0]]),
        np.array([[0.4, -1], [-0.7, 0.5], [0.2, -0.3]]),
    )
    distance = np.array([[60.0, 0.5], [-1.5, -20.0], [1.0, 2.0]])  # in standard deviations
    z = mu + np.exp(logvar / 2) * distance
    got = its.gaussian_log_prob(z, mu, logvar)
    want = -0.5 * (LOG_2PI + logvar + distance**2).sum(axis=1)
    if np.shape(got) == want.shape and not np.isfinite(np.asarray(got, np.float64)).all():
        raise Failed(UNDERFLOW, [f"got {np.asarray(got).tolist()}, want {want.tolist()}"])
    wrong = judging.mistaken(WRONG, "gaussian_log_prob", z, mu, logvar)
    judging.expect("log_prob", got, want, wrong=wrong, inputs={"the distance (z - mu) / std": distance})


def check_ones(its):
    """Axes of size 1 stay."""
    mu, logvar = np.array([[0.7]]), np.array([[-0.6]])
    for z in (np.array([[1.3]]), np.array([[[1.3]]])):
        got = its.gaussian_log_prob(z, mu, logvar)
        judging.ones("log_prob", got, z.shape[:-1], f"z has shape {z.shape}")
        judging.expect("log_prob", got, reference(z, mu, logvar), note=f"z has shape {z.shape}")


CHECKS = {
    "one z for each datum": check_one,
    "S samples of z": check_samples,
    "small and large variances": check_spreads,
    "far from the mean": check_far,
    "a single latent": check_ones,
}
ONE, SAMPLES, SPREADS, FAR, ONES = CHECKS

UNDERFLOW = (
    "log_prob is not finite where z is 60 standard deviations from mu: the density is computed first, and it "
    "underflows to 0. Its logarithm, about -1800, is harmless: add logarithms, never take that of a density"
)


# ------------------------------------------------------------------------------ wrong answers


def _with(inner):
    """The sum over latents of what `inner(z, mu, logvar)` gives for each."""
    return {"gaussian_log_prob": lambda z, mu, logvar: inner(z, mu, logvar).sum(axis=-1)}


def _right(z, mu, logvar):
    return -0.5 * (LOG_2PI + logvar + (z - mu) ** 2 * np.exp(-logvar))


def _density(z, mu, logvar):
    return np.exp(_right(z, mu, logvar)).prod(axis=-1)


def _row_for_sample(z, mu, logvar):
    """A loop over the first axis of z that takes the same row of mu."""
    return np.array([_right(z[i], mu[i], logvar[i]).sum(axis=-1) for i in range(len(z))])


WRONG = (
    Wrong(
        {"gaussian_log_prob": lambda z, mu, logvar: _right(z, mu, logvar).sum(axis=-1, keepdims=True)},
        ONE,
        "a kept axis will broadcast",
    ),
    Wrong(
        {"gaussian_log_prob": lambda z, mu, logvar: _right(z, mu, logvar).mean(axis=-1)},
        ONE,
        "log_prob is averaged over the L latents: densities of independent latents multiply, logarithms add",
    ),
    Wrong(
        _with(lambda z, mu, logvar: 2 * _right(z, mu, logvar)),
        ONE,
        "log_prob is exactly twice what it should be: the 1/2 in front of the whole sum is missing",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -0.5 * (LOG_2PI + logvar) - (z - mu) ** 2 * np.exp(-logvar)),
        ONE,
        "the 1/2 of the exponent is missing: the square counts half, like the two other terms",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -0.5 * (logvar + (z - mu) ** 2 * np.exp(-logvar))),
        ONE,
        "the constant log 2 pi is missing: this density integrates to (2 pi)^(L/2) and not to 1",
    ),
    Wrong(
        _with(lambda z, mu, logvar: _right(z, mu, logvar) + 0.5 * LOG_2PI * (1 - 1 / z.shape[-1])),
        ONE,
        "log 2 pi is counted once and stands outside the sum: every latent has its own",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -0.5 * (LOG_2PI + 2 * logvar + (z - mu) ** 2 * np.exp(-logvar))),
        ONE,
        "logvar counts twice: the density is divided by std, and log std = logvar / 2",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -0.5 * (LOG_2PI + 2 * logvar + (z - mu) ** 2 * np.exp(-2 * logvar))),
        ONE,
        "logvar is taken for the log of the standard deviation: e^logvar is the variance itself",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -0.5 * (LOG_2PI + logvar + (z - mu) ** 2 * np.exp(-0.5 * logvar))),
        ONE,
        "the square is divided by the standard deviation: (z - mu)^2 belongs to the variance, e^logvar",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -_right(z, mu, logvar)),
        ONE,
        "log_prob has the opposite sign: this is -log q, which falls as z comes near to mu",
    ),
    Wrong(
        {"gaussian_log_prob": _density},
        ONE,
        "this is the density itself: what is asked is its logarithm, of either sign and safe from underflow",
    ),
    Wrong(
        _with(lambda z, mu, logvar: -0.5 * (LOG_2PI + logvar + (z - mu) * np.exp(-logvar))),
        ONE,
        "z - mu is not squared: the density must fall on both sides of mu",
    ),
    Wrong(
        {"gaussian_log_prob": _row_for_sample},
        SAMPLES,
        "sample s is held against row s of mu and logvar: all S samples of a datum share its row",
    ),
    Wrong(
        {"gaussian_log_prob": lambda z, mu, logvar: np.log(_density(z, mu, logvar))},
        FAR,
        UNDERFLOW,
    ),
)


EXERCISE = Exercise(
    lesson=1,
    title="Say how likely a z is under q, as a logarithm",
    task="""
    Write the log-density of N(mu, exp(logvar)) at z: one number for each datum, the latents added up. z may
    hold S samples of every datum in a leading axis, which stays: (S, B, L) -> (S, B). mu and logvar have
    none, all samples of a datum share its row. Mind what logvar is: the logarithm of the variance.
    """,
    functions=(ops.gaussian_log_prob,),
    hints=(
        "Where to look: write down the density of one normal number and take its logarithm on paper, where "
        "the product of three factors becomes a sum of three terms. Latents are independent: their log-"
        "densities add. Written with the last axis, -1, the same line serves (B, L) and (S, B, L).",
        "The formula: N(z; mu, s^2) = exp(-(z - mu)^2 / (2 s^2)) / sqrt(2 pi s^2), with s^2 = e^logvar. So "
        "the logarithm is -1/2 log 2 pi - 1/2 logvar - 1/2 (z - mu)^2 e^-logvar, for each latent.",
        "All but the last line:\n"
        "    squared = (z - mu) ** 2 * np.exp(-logvar)                   # like z\n"
        "    each = -0.5 * (np.log(2 * np.pi) + logvar + squared)        # like z",
    ),
    checks=CHECKS,
    wrong=WRONG,
    borrowed=("log_prob",),
)
