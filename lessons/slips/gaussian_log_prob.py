"""What goes wrong with the logarithm of a Gaussian density: log q(z) here, minus log p(x) in gaussian_nll."""

import math

import numpy as np

from ..judging import Wrong, mistaken, over_samples, reductions, small_numbers

ONE, SAMPLES, FAR = "one z for each datum", "S samples of z", "far from the mean"
LOG_2PI = math.log(2 * math.pi)

UNDERFLOW = (
    "{} is not finite where {} is 60 standard deviations from {}: a density is computed, and it underflows "
    "to 0. Add or subtract logarithms, and never take that of a density"
)
LOG_OF_LOG = "the log of logvar is taken: logvar is the logarithm of the variance already"
SOFTPLUS = "the variance is log(1 + e^logvar): it is e^logvar"


def latents(z, mu, logvar):
    """The log-density of every latent."""
    return -0.5 * (LOG_2PI + logvar + (z - mu) ** 2 * np.exp(-logvar))


def log_normal(z, mu, logvar):
    """Their sum."""
    return latents(z, mu, logvar).sum(axis=-1)


def terms(z, mu, logvar, letters=("z", "mu")):
    """What the log-density may be the sum of; letters: what z and mu are called."""
    a, b = letters
    d, std = z - mu, np.exp(np.broadcast_to(logvar, z.shape) / 2)
    each = {
        "log 2 pi": np.full(d.shape, LOG_2PI),
        "logvar": np.broadcast_to(logvar, d.shape),
        f"({a}-{b})^2 e^-logvar": d**2 / std**2,
        f"({a}-{b})^2": d**2,
        f"({a}-{b})^2 e^logvar": d**2 * std**2,
        f"({a}-{b})^2 e^(-logvar/2)": d**2 / std,
        f"({a}-{b})^2 e^(logvar/2)": d**2 * std,
        f"({a}-{b})^2 e^(-2 logvar)": d**2 / std**4,
        f"({a}-{b}) e^-logvar": d / std**2,
        f"({a}-{b}) e^(-logvar/2)": d / std,
        f"|{a}-{b}| e^(-logvar/2)": np.abs(d) / std,
        f"({a}+{b})^2 e^-logvar": (z + mu) ** 2 / std**2,
        f"({a}^2-{b}^2) e^-logvar": (z**2 - mu**2) / std**2,
        f"{a} {b} e^-logvar": z * mu / std**2,
        f"({a}/std-{b})^2": (z / std - mu) ** 2,
        f"{a}^2 e^-logvar": z**2 / std**2,
        f"{a}^2": z**2,
        f"{b}^2": np.broadcast_to(mu**2, d.shape),
        "e^logvar": std**2,
    }
    return {name: term.sum(axis=-1) for name, term in each.items()}


def safe(z, mu, logvar, name, sign=-0.5):
    """Pairs (sentence, value) of a small number added to the variance or its root, or of a clipped logvar."""
    pairs, words = [], f"{name} has about {{}} added to the %s, which is never 0: small ones are changed"
    for of, power in (("variance", 2), ("standard deviation", 1)):
        for log in (np.log, lambda spread: logvar):

            def value(small, power=power, log=log):
                spread = (np.exp(logvar * power / 2) + small) ** (2 / power)
                return sign * (LOG_2PI + log(spread) + (z - mu) ** 2 / spread).sum(axis=-1)

            pairs += small_numbers(words % of, value)
    clipped = [
        (f"logvar is clipped at +-{c}: it may be any number", np.clip(logvar, -c, c)) for c in range(1, 40)
    ]
    return pairs + [(words, -2 * sign * log_normal(z, mu, other)) for words, other in clipped]


def slips(z, mu, logvar, name="log_prob", letters=("z", "mu"), sign=-0.5, what="latents"):
    """Pairs (sentence, value) of what may stand in sign * sum(log 2 pi + logvar + (z - mu)^2 e^-logvar)."""
    (a, b), logvar, count = letters, np.broadcast_to(logvar, z.shape), z.shape[-1]
    d, square = z - mu, (z - mu) ** 2 * np.exp(-logvar)
    const, ahead, squares = count * LOG_2PI, (LOG_2PI + logvar).sum(axis=-1), square.sum(axis=-1)
    last = "summed over the batch as well: sum over the last axis only"
    added = f"the {what} are added before they are squared: square first, then add"
    norm = f"a root is taken of the sum of squares (np.linalg.norm): ({a}-{b})^2 e^-logvar has none"
    mixture = f"the densities of the {what} are added: those of independent {what} multiply"
    trace = f"the variances of the {what} are added before the logarithm: the logarithms are added"
    constants = {"2 pi": 2 * math.pi, "pi": math.pi, "log pi": math.log(math.pi), "log 2": math.log(2)}
    constants |= {"sqrt(2 pi)": math.sqrt(2 * math.pi), "log2(2 pi)": math.log2(2 * math.pi)}
    sums = [
        (f"{name} has {k} where log 2 pi belongs", ahead + squares + count * v - const)
        for k, v in constants.items()
    ]
    base = f"{name} is a logarithm to base {{}}: nats ask for the natural one, np.log"
    sums += [(base.format(n), (ahead + squares) / math.log(n)) for n in (2, 10)]
    sums += [
        (added, ahead + (d * np.exp(-logvar / 2)).sum(axis=-1) ** 2),
        (norm, ahead + np.sqrt(squares)),
        (mixture, -2 * np.log(np.exp(-(LOG_2PI + logvar + square) / 2).sum(axis=-1))),
        (trace, const + np.log(np.exp(logvar).sum(axis=-1)) + squares),
        (f"logvar is {last}", const + logvar.sum() + squares),
        (f"the squares are {last}", ahead + square.sum()),
        (f"{b} and logvar are exchanged", (LOG_2PI + mu + (z - logvar) ** 2 * np.exp(-mu)).sum(axis=-1)),
    ]
    with np.errstate(all="ignore"):
        for words, variance in ((LOG_OF_LOG, logvar), (SOFTPLUS, np.log1p(np.exp(logvar)))):
            log = LOG_2PI + np.log(variance)
            sums += [(words, (log + other).sum(axis=-1)) for other in (square, d**2 / variance)]
    pairs = [(words, sign * value) for words, value in sums] + safe(z, mu, logvar, name, sign)
    return pairs + reductions(name, sign * (LOG_2PI + logvar + square), what)


def of_log_prob(z, mu, logvar):
    """Pairs (sentence, log_prob): all that is known to go wrong, mixed up samples included."""
    listed = mistaken(WRONG, "gaussian_log_prob", z, mu, logvar)
    return listed + slips(z, mu, logvar) + over_samples("log_prob", log_normal, (z,), (mu, logvar))


# ------------------------------------------------------------------------------ wrong answers


def _each(inner, says, check=ONE):
    """The sum over latents of inner(z - mu, logvar)."""
    return _whole(lambda z, mu, logvar: inner(z - mu, logvar).sum(axis=-1), says, check)


def _whole(function, says, check=ONE):
    return Wrong({"gaussian_log_prob": function}, check, says)


def _density(z, mu, logvar):
    return np.exp(latents(z, mu, logvar)).prod(axis=-1)


def _row_for_sample(z, mu, logvar):
    """A loop over the first axis of z that takes the same row of mu."""
    return np.array([log_normal(z[i], mu[i], logvar[i]) for i in range(len(z))])


def _constant_once(z, mu, logvar):
    return log_normal(z, mu, logvar) + 0.5 * LOG_2PI * (z.shape[-1] - 1)


AVERAGED = "log_prob is averaged over the L latents: independent densities multiply, logarithms add"
TWICE = "log_prob is exactly twice what it should be: the 1/2 in front of the whole sum is missing"
NO_HALF = "the 1/2 of the exponent is missing: the square counts half, like the two other terms"
NO_CONSTANT = "the constant log 2 pi is missing: this density integrates to (2 pi)^(L/2) and not to 1"
ONCE = "log 2 pi is counted once and stands outside the sum: every latent has its own"
LOGVAR_TWICE = "logvar counts twice: the density is divided by std, and log std = logvar / 2"
LOG_STD = "logvar is taken for the log of the standard deviation: e^logvar is the variance itself"
BY_STD = "the square is divided by the standard deviation: (z - mu)^2 belongs to the variance, e^logvar"
SIGN = "log_prob has the opposite sign: this is -log q, which falls as z comes near to mu"
DENSITY = "this is the density itself: what is asked is its logarithm, of either sign and safe from underflow"
NO_SQUARE = "z - mu is not squared: the density must fall on both sides of mu"
SAMPLE_ROW = "sample s is held against row s of mu and logvar: all S samples of a datum share its row"

WRONG = (
    _whole(lambda *args: latents(*args).sum(axis=-1, keepdims=True), "a kept axis will broadcast"),
    _whole(lambda *args: latents(*args).mean(axis=-1), AVERAGED),
    _each(lambda d, logvar: -(LOG_2PI + logvar + d**2 * np.exp(-logvar)), TWICE),
    _each(lambda d, logvar: -0.5 * (LOG_2PI + logvar) - d**2 * np.exp(-logvar), NO_HALF),
    _each(lambda d, logvar: -0.5 * (logvar + d**2 * np.exp(-logvar)), NO_CONSTANT),
    _whole(_constant_once, ONCE),
    _each(lambda d, logvar: -0.5 * (LOG_2PI + 2 * logvar + d**2 * np.exp(-logvar)), LOGVAR_TWICE),
    _each(lambda d, logvar: -0.5 * (LOG_2PI + 2 * logvar + d**2 * np.exp(-2 * logvar)), LOG_STD),
    _each(lambda d, logvar: -0.5 * (LOG_2PI + logvar + d**2 * np.exp(-0.5 * logvar)), BY_STD),
    _whole(lambda *args: -log_normal(*args), SIGN),
    _whole(_density, DENSITY),
    _each(lambda d, logvar: -0.5 * (LOG_2PI + logvar + d * np.exp(-logvar)), NO_SQUARE),
    _whole(_row_for_sample, SAMPLE_ROW, SAMPLES),
    _whole(lambda *args: np.log(_density(*args)), UNDERFLOW.format("log_prob", "z", "mu"), FAR),
)
