"""What no gradient check can see: whether the right thing is differentiated.

A sampler with the wrong spread, a KL without its 1/2, a loss averaged where it should be summed: each has
an exact derivative, and passes every gradient check. The checks below ask instead for what the mathematics
says of the values. Each takes your implementation as an argument, compares it with textbook densities (and
with nothing of minivae), and answers with a `Verdict` that says what is wrong and what it looks like.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import arguments

THRESHOLD = 5.0  # standard errors: an honest z-value exceeds it once in 1.7 million
EXACT, EXACT_FLOAT32 = 1e-9, 1e-4  # of the largest entry, where no luck is involved
LOG_2PI = math.log(2 * math.pi)


class Verdict(NamedTuple):
    """`ok`, one sentence (also `str(verdict)`), and the worst |z|: 0 or inf where no luck is involved."""

    ok: bool
    sentence: str
    z: float

    def __str__(self):
        return self.sentence


def _right(sentence, z=0.0):
    return Verdict(True, sentence, float(z))


def _wrong(sentence, z=math.inf):
    return Verdict(False, sentence, float(z))


# ------------------------------------------------------------------------------ the sampler

# what a variance or a mean may be instead, as functions of mu and logvar
VARIANCES = {
    "e^(2 logvar), not e^logvar: is exp(logvar) used as the standard deviation?": (
        lambda mu, lv: np.exp(2 * lv)
    ),
    "logvar^2, not e^logvar: is logvar itself used as the standard deviation?": lambda mu, lv: lv * lv,
    "|logvar|, not e^logvar: is logvar used as the variance?": lambda mu, lv: np.abs(lv),
    "e^(logvar / 2), not e^logvar: is the 1/2 of exp(logvar / 2) applied twice?": (
        lambda mu, lv: np.exp(lv / 2)
    ),
    "e^-logvar, not e^logvar: has the exponent lost its sign?": lambda mu, lv: np.exp(-lv),
    "1, not e^logvar: is logvar not used at all?": lambda mu, lv: np.ones_like(lv),
    "0, not e^logvar: is z = mu, without the noise?": lambda mu, lv: np.zeros_like(lv),
}
MEANS = {
    "0, not mu: is mu not added?": lambda mu, lv: np.zeros_like(mu),
    "-mu, not mu": lambda mu, lv: -mu,
    "mu std, not mu: is mu multiplied by the standard deviation as well?": lambda mu, lv: mu * np.exp(lv / 2),
}


def check_sampler(sample, rng, n=100_000):
    """z = sample(mu, logvar, eps) has the mean mu and the variance e^logvar -> Verdict.

    sample takes arrays (n, 4) and returns z (n, 4); eps ~ N(0, 1) is drawn here. The mean and the variance of
    4 latents with other mu and logvar are held to 5 standard errors, std / sqrt(n) and variance sqrt(2 / n).

    False alarm: 8 comparisons at 5.7e-7, at most 5e-6. Power at n = 100,000: a variance that is wrong by 4 %
    in one latent, or a mean by 3 % of a standard deviation, is rejected with at least 99.99 %.
    """
    arguments.generator("rng", rng)
    n = arguments.integer("n", n, at_least=100)
    mu = np.array([0.0, 1.0, -2.0, 0.5])
    logvar = np.array([0.0, -2.0, 1.0, 1.5])
    inputs = np.tile(mu, (n, 1)), np.tile(logvar, (n, 1)), rng.standard_normal((n, 4))
    z = np.asarray(sample(*inputs))
    if z.shape != (n, 4):
        return _wrong(
            f"the sampler returns shape {z.shape} for a noise of shape {(n, 4)}: z must be like eps"
        )
    if not np.isfinite(z).all():
        return _wrong("the sampler returns entries that are not finite: is a root or a log taken of logvar?")
    if not np.array_equal(z, sample(*inputs)):
        return _wrong("the sampler returns another z for the same eps: it draws noise of its own")
    return _sampler_verdict(mu, logvar, z.mean(axis=0), z.var(axis=0), n)


def _sampler_verdict(mu, logvar, mean, variance, n):
    """From the sample mean and variance of each latent, (4,) each."""
    want = np.exp(logvar)
    z_mean = _worst((mean - mu) / np.sqrt(want / n))
    z_variance = _worst((variance - want) / (want * math.sqrt(2 / n)))
    if z_variance > THRESHOLD:
        near = 6 * math.sqrt(2 / n)
        likeness = _likeness(VARIANCES, variance, near, mu, logvar)
        return _wrong(f"the sampler's variance is {likeness or _far(variance, want, 'e^logvar')}", z_variance)
    if z_mean > THRESHOLD:
        near = 6 * math.sqrt(want.max() / n)
        return _wrong(
            f"the sampler's mean is {_likeness(MEANS, mean, near, mu, logvar) or _far(mean, mu, 'mu')}",
            z_mean,
        )
    return _right(
        f"the sampler's mean is mu and its variance e^logvar, in {n} draws", max(z_mean, z_variance)
    )


def _likeness(forms, got, near, *inputs):
    """The first wrong form that `got` agrees with; None if it is like none of them."""
    for sentence, form in forms.items():
        if _same(got, form(*inputs), near):
            return sentence
    return None


def _far(got, want, name):
    """For what is like nothing known: the worst entry in numbers."""
    worst = np.argmax(np.abs(got - want))
    return f"{got[worst]:.4g} where {name} is {want[worst]:.4g}"


# ------------------------------------------------------------------------------ the KL

MU = np.array([[0.0, 2.0, 1.0], [1.0, -0.5, 0.2], [0.3, 0.0, -1.0], [2.0, -2.0, 2.0]])  # (4, 3)
LOGVAR = np.array([[1.0, 0.0, -0.5], [-2.0, 0.7, 0.4], [0.1, -1.0, 1.2], [0.0, 0.0, 0.0]])
ANCHORS = (  # mu, logvar, kl
    (2.0, 0.0, 2.0),
    (-2.0, 0.0, 2.0),
    (0.0, 2.0, 2.194528),
    (2.0, 6.0, 200.214397),
)
DIVERGENCES = {  # what a kl may be instead: mu, logvar (B, L) -> (B,)
    "kl is twice its Monte Carlo estimate everywhere: a lost 1/2?": (
        lambda mu, lv: (mu**2 + np.exp(lv) - lv - 1).sum(axis=1)
    ),
    "kl is half its Monte Carlo estimate everywhere: a 1/2 too many?": (
        lambda mu, lv: 0.25 * (mu**2 + np.exp(lv) - lv - 1).sum(axis=1)
    ),
    "kl has the opposite sign: -KL belongs to the ELBO, +KL to the loss": (
        lambda mu, lv: -0.5 * (mu**2 + np.exp(lv) - lv - 1).sum(axis=1)
    ),
    "kl has mu where mu^2 belongs": lambda mu, lv: 0.5 * (mu + np.exp(lv) - lv - 1).sum(axis=1),
    "kl has its arguments reversed: it is KL(p || q), and KL(q || p) is asked": (
        lambda mu, lv: 0.5 * (lv + (1 + mu**2) * np.exp(-lv) - 1).sum(axis=1)
    ),
    "kl is too large by 1/2 for each latent: a missing -1?": (
        lambda mu, lv: 0.5 * (mu**2 + np.exp(lv) - lv).sum(axis=1)
    ),
    "kl lacks mu^2": lambda mu, lv: 0.5 * (np.exp(lv) - lv - 1).sum(axis=1),
    "kl takes logvar for log std: it has e^(2 logvar) where e^logvar belongs": (
        lambda mu, lv: 0.5 * (mu**2 + np.exp(2 * lv) - 2 * lv - 1).sum(axis=1)
    ),
    "kl takes logvar for the standard deviation": (
        lambda mu, lv: 0.5 * (mu**2 + lv**2 - np.log(np.maximum(lv**2, 1e-300)) - 1).sum(axis=1)
    ),
    "kl is averaged over the L latents where it must be summed": (
        lambda mu, lv: 0.5 * (mu**2 + np.exp(lv) - lv - 1).mean(axis=1)
    ),
}


def check_kl(kl, rng, n=50_000):
    """kl(mu, logvar) -> (B,) is KL( N(mu, e^logvar) || N(0, I) ), in nats -> Verdict.

    Against the average of log q(z) - log p(z) over n draws z ~ q for 4 pairs (mu, logvar) with 3 latents,
    within 5 standard errors; then against 4 known values with 1 latent, to 6 digits.

    False alarm: 4 comparisons at 5.7e-7, at most 3e-6. Power at n = 50,000: a KL that is wrong by
    2.5 % everywhere is rejected with at least 99.99 % by the draws alone (and surely by the known values).
    """
    arguments.generator("rng", rng)
    n = arguments.integer("n", n, at_least=100)
    got = np.asarray(kl(MU, LOGVAR))
    if got.shape != (4,):
        return _wrong(_shape_sentence("kl", got.shape, (4,)))
    std = np.sqrt(np.exp(LOGVAR))
    z = MU + std * rng.standard_normal((n, 4, 3))
    draws = (_normal_log_density(z, MU, std) - _normal_log_density(z, 0.0, 1.0)).sum(axis=-1)  # (n, 4)
    want = draws.mean(axis=0)
    worst = _worst((got - want) / (draws.std(axis=0) / math.sqrt(n)))
    if worst > THRESHOLD:
        with np.errstate(all="ignore"):
            likeness = _likeness(DIVERGENCES, got, EXACT, MU, LOGVAR)
        return _wrong(likeness or f"kl is {_far(got, want, 'its Monte Carlo estimate')}", worst)
    for mu, logvar, known in ANCHORS:
        value = np.asarray(kl(np.array([[mu]]), np.array([[logvar]]))).item()
        if not abs(value - known) <= 1e-6 * known:
            return _wrong(f"kl is {value:.7g} at mu = {mu:g}, logvar = {logvar:g}, where it is {known:.7g}")
    return _right(f"kl agrees with {n} draws of log q - log p and with the known values", worst)


# ------------------------------------------------------------------------------ sums and means


def check_scaling(rng, nll=None, kl=None, loss_and_grads=None, x=None, eps=None):
    """Sums stay sums and means stay means when pixels, latents or the batch are doubled -> Verdict.

    nll(outputs, x) -> (B,)                   twice the pixels, twice the nll
    kl(mu, logvar) -> (B,)                    twice the latents, twice the kl
    loss_and_grads(x, eps, beta)              twice the batch, the same loss and the same gradients; and the
        -> (loss, nll, kl), grads             loss is nll + beta kl. x (B, D) and eps (B, L) must be given

    Give any of the three. No luck is involved (rng draws inputs only): the false-alarm rate is 0, and what
    scales wrongly is always found.
    """
    arguments.generator("rng", rng)
    if loss_and_grads is not None and (x is None or eps is None):
        raise ValueError("check_scaling needs x (B, D) and eps (B, L) to call loss_and_grads")
    for name, function in (("nll", nll), ("kl", kl)):
        if function is not None and (wrong := _features(name, function, rng)):
            return wrong
    if loss_and_grads is not None and (wrong := _batch(loss_and_grads, x, eps)):
        return wrong
    return _right("twice the pixels or latents double their term, twice the batch changes nothing")


def _features(name, function, rng):
    """nll by the pixels, kl by the latents: the term must be their sum."""
    features = {"nll": "pixels", "kl": "latents"}[name]
    a, b = rng.standard_normal((3, 5)), (rng.random((3, 5)) < 0.5).astype(float)
    once = np.sum(function(a, b))
    ratio = np.sum(function(np.tile(a, 2), np.tile(b, 2))) / once
    if abs(ratio - 2) <= EXACT:
        return None
    if abs(ratio - 1) <= EXACT:
        return _wrong(
            f"twice the {features} leave the {name} as it was: it is averaged over the {features} "
            "where it must be summed"
        )
    return _wrong(f"twice the {features} multiply the {name} by {ratio:.4g}, and by 2 if it is their sum")


def _batch(loss_and_grads, x, eps):
    """The loss by the batch: it must be a mean, and so must its gradients."""
    once, grads = loss_and_grads(x, eps, 1.0)
    rounding = _rounding(*grads.values())
    again, grads_again = loss_and_grads(x, eps, 1.0)
    if not _same(again, once, rounding):
        return _wrong("the loss differs when it is computed twice: it draws noise of its own, pass eps in")
    if name := _first_other(grads_again, grads, rounding):
        return _wrong(
            f"d{name} differs when it is computed twice: noise is drawn again on the way back, "
            "or the gradients of the last call are still there"
        )
    twice, grads_twice = loss_and_grads(np.concatenate([x, x]), np.concatenate([eps, eps]), 1.0)
    if not _same(twice[0], once[0], rounding):
        return _wrong(_batch_sentence("the loss", twice[0], once[0], rounding))
    if name := _first_other(grads_twice, grads, rounding):
        return _wrong(_batch_sentence(f"d{name}", grads_twice[name], grads[name], rounding))
    loss, nll, kl = loss_and_grads(x, eps, 0.5)[0]
    if not _same(loss, nll + 0.5 * kl, rounding):
        weighed = _same(loss, 0.5 * nll + kl, rounding)
        likeness = "0.5 nll + kl: beta weighs the wrong term" if weighed else f"{loss:.6g}"
        return _wrong(
            f"at beta = 0.5 the loss must be nll + 0.5 kl = {nll + 0.5 * kl:.6g}, and is {likeness}"
        )
    return None


def _first_other(grads, others, rounding):
    """The name of the first array that is not the same in both; None if all are."""
    return next((name for name in others if not _same(grads[name], others[name], rounding)), None)


def _batch_sentence(name, twice, once, rounding):
    if _same(twice, 2 * once, rounding):
        return f"{name} doubles with the batch: it is summed over the batch where it must be averaged"
    if _same(twice, 0.5 * once, rounding):
        return f"{name} halves when the batch doubles: it is averaged over the batch twice"
    return (
        f"{name} changes when every example stands in the batch twice: a part of it is no mean over the batch"
    )


# ------------------------------------------------------------------------------ extreme values and shapes


def check_extreme_logits(nll):
    """nll(logits, x) -> (B,) stays exact and finite where probabilities round to 0 and 1 -> Verdict.

    At logits of +-40 and +-1000 a wrong pixel costs that many nats, and a right one nothing.
    """
    x, signs = (
        np.array([[0.0, 1.0, 1.0, 0.0]]),
        np.array([[1.0, -1.0, 1.0, -1.0]]),
    )  # two pixels wrong, two right
    sizes = np.array([40.0, 1000.0])
    with np.errstate(all="ignore"):
        got = np.array([np.sum(nll(size * signs, x)) for size in sizes])
    want = 2 * sizes + 4 * np.log1p(np.exp(-sizes))
    wrong = ~(np.abs(got - want) <= 1e-12 * want)  # NaN is wrong
    if not wrong.any():
        return _right("nll is exact at logits of +-40 and +-1000")
    i = np.argmax(wrong)
    where = f"nll at logits of +-{sizes[i]:g} is {got[i]:.6g}, and two wrong pixels cost {want[i]:g} nats"
    return _wrong(f"{where}: {_extreme_cause(got, want)}")


def _extreme_cause(got, want):
    """What the two numbers look like."""
    if not np.isfinite(got).all():
        return "a log(0), the probability has rounded to 0 or 1. Compute it from the logits"
    ratio = got[0] / want[0]
    if _same(got, ratio * want):
        return f"{ratio:.4g} times as many, at any size. Is it a mean over the pixels?"
    if _same(got[1], got[0]):
        return f"probabilities are clipped at {math.exp(-got[0] / 2):.2g} and 1 - {math.exp(-got[0] / 2):.2g}"
    return "tiny is added to a probability, or digits are lost. Compute it from the logits"


def check_shapes(rng, **functions):
    """Each function of two arrays (3, 5) returns shape (3,): nats per example -> Verdict.

    check_shapes(rng, nll=nll, kl=kl). A (B, 1) would broadcast against a (B,) into a B x B outer sum.
    """
    a, b = rng.standard_normal((3, 5)), (rng.random((3, 5)) < 0.5).astype(float)
    for name, function in functions.items():
        shape = np.shape(function(a, b))
        if shape != (3,):
            return _wrong(_shape_sentence(name, shape, (3,)))
    return _right(f"{' and '.join(functions)} return one number for each example")


def _shape_sentence(name, shape, expected):
    cause = f"expected {expected}"
    if shape == (*expected, 1):
        cause += ": a kept axis will broadcast"
    elif shape == ():
        cause += ": it is already reduced over the batch"
    elif len(shape) == 2:
        cause += ": it is not summed over its last axis"
    return f"{name} has shape {shape}, {cause}"


# ------------------------------------------------------------------------------ the bound


def check_bound(model, x, density="bernoulli", nodes=128):
    """log p(x) = ELBO + KL( q(z|x) || p(z|x) ), all by quadrature over the one latent -> Verdict.

    model    with one latent, and encode(x) -> mu, logvar (B, 1); decode(z) -> outputs (N, D);
             loss(x, eps) -> the loss, or a tuple that starts with it, at batches of one
    x        (B, D), at least 2 different rows
    density  p(x|z) as the textbook has it: "bernoulli" with the outputs as logits, "gaussian" of variance 1
             with the outputs as means, or a function of outputs (B, n, D) and x (B, 1, D) -> log p (B, n)

    With z_i = mu + std e_i at the nodes e_i and their weights w_i, the loss at beta = 1 averages to
        sum_i w_i loss(x, e_i)  =  sum_i w_i (log q(z_i|x) - log p(x|z_i) - log p(z_i))
                                =  KL( q(z|x) || p(z|x) ) - log p(x)
    for every x. No luck is involved: the false-alarm rate is 0, and a loss that is off by 1e-9 of itself is
    found (1e-4 in float32).
    """
    log_density = density if callable(density) else DENSITIES[arguments.one_of("density", density, DENSITIES)]
    e, w = np.polynomial.hermite_e.hermegauss(arguments.integer("nodes", nodes, at_least=2))
    w = w / w.sum()
    mu, logvar = (np.asarray(head) for head in model.encode(x))  # (B, 1)
    if mu.shape != (len(x), 1):
        raise ValueError(f"check_bound needs a model with one latent, got mu of shape {mu.shape}")
    std = np.sqrt(np.exp(logvar))

    def nll(z):  # (B, n) -> (B, n)
        outputs = np.asarray(model.decode(z.reshape(-1, 1))).reshape(*z.shape, -1)
        return -log_density(outputs, x[:, None])

    z = mu + std * e  # (B, n)
    log_ratio = _normal_log_density(z, mu, std) - _normal_log_density(z, 0.0, 1.0)  # log q - log prior
    reconstruction, kl = nll(z) @ w, log_ratio @ w  # (B,)
    losses = [[_loss(model.loss(row[None], np.array([[node]]))) for node in e] for row in x]
    loss = np.array(losses) @ w  # (B,)
    if _same(loss, reconstruction + kl, _rounding(mu)):
        grid = np.linspace(-13, 13, 2001)  # of the prior: here q has no say
        log_p = _log_mean_exp(-nll(np.tile(grid, (len(x), 1))), _normal_weights(grid))
        numbers = f"log p(x) = {log_p.mean():.4f} is the ELBO {-loss.mean():.4f}"
        return _right(f"{numbers} plus KL( q(z|x) || p(z|x) ) {np.mean(log_p + loss):.4f}")
    others = {"z = mu is decoded, not a draw of z": nll(mu)[:, 0]}
    with np.errstate(over="ignore"):
        others["z = mu + exp(logvar) eps is decoded"] = nll(mu + std * std * e) @ w
        others["z = mu + logvar eps is decoded"] = nll(mu + logvar * e) @ w
    return _wrong(_bound_sentence(loss, reconstruction, kl, others, x.shape[1]))


def _bound_sentence(loss, nll, kl, others, pixels):
    """What the loss (B,) is instead of nll + kl."""
    start = "the loss is not KL( q(z|x) || p(z|x) ) - log p(x)"
    constant = 0.5 * pixels * LOG_2PI
    for likeness, cost in others.items():
        if _same(loss, cost + kl):
            return f"{start}: {likeness}"
    if _same(loss, 2 * (nll - constant) + kl):
        return f"{start}: the squared error stands without its 1/2, which is a Gaussian of variance 1/2"
    if _same(loss, nll / pixels + kl):
        return f"{start}: the reconstruction is averaged over the {pixels} pixels"
    for name, part, rest in (("the reconstruction", nll, kl), ("the kl", kl, nll)):
        ratio = (loss - rest) / part
        if _same(ratio, np.full_like(ratio, ratio[0])):
            return f"{start}: {name} is {ratio[0]:.4g} times what it should be"
    excess = loss - nll - kl  # (B,)
    if _same(excess, np.full_like(excess, excess[0])):
        known = ": the constant D/2 log 2 pi is left out" if _same(excess[0], -constant) else ""
        return f"{start}: it is off by {excess[0]:+.4g} nats, the same for every x{known}"
    return f"{start}: it is off by {excess.min():+.4g} to {excess.max():+.4g} nats"


def _loss(result):
    return result[0] if isinstance(result, tuple) else float(result)


# ------------------------------------------------------------------------------ the textbook's densities


def _normal_log_density(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * LOG_2PI


def _bernoulli_log_density(logits, x):
    return -(np.logaddexp(0, logits) - x * logits).sum(axis=-1)


def _unit_gaussian_log_density(mean, x):
    return _normal_log_density(x, mean, 1.0).sum(axis=-1)


def _normal_weights(grid):
    """The trapezoidal rule for N(0, 1): exact to rounding for smooth functions."""
    return (grid[1] - grid[0]) * np.exp(_normal_log_density(grid, 0.0, 1.0))


def _log_mean_exp(values, weights):
    largest = values.max(axis=-1, keepdims=True)
    return np.log(np.exp(values - largest) @ weights) + largest[:, 0]


DENSITIES = {"bernoulli": _bernoulli_log_density, "gaussian": _unit_gaussian_log_density}


# ------------------------------------------------------------------------------ comparing


def _worst(z):
    """The largest |z|, NaN counted as infinite."""
    z = np.abs(z)
    return float(np.where(np.isnan(z), np.inf, z).max())


def _rounding(*arrays):
    """What may differ by rounding alone, of the largest entry."""
    return EXACT if np.result_type(*arrays).itemsize >= 8 else EXACT_FLOAT32


def _same(got, want, tolerance=EXACT):
    """Shapes equal, and every entry within `tolerance` of the largest one wanted."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or not np.isfinite(got).all():
        return False
    return bool(np.max(np.abs(got - want)) <= tolerance * (np.max(np.abs(want)) or 1.0))
