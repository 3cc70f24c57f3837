"""Exercise: the reparameterization, a draw of z with a derivative by mu and logvar, and that derivative."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed, Wrong

S, B, L = 4, 11, 3
SIZES = {"S": S, "B": B, "L": L}
DRAWS = 10_000


def example(*samples):
    """mu, logvar (B, L), eps and an upstream gradient dz, both (*samples, B, L)."""
    rng = np.random.default_rng(6)
    mu, logvar = rng.normal(0.4, 1.0, (B, L)), rng.normal(-0.5, 0.9, (B, L))
    return mu, logvar, rng.standard_normal((*samples, B, L)), rng.normal(0.2, 1.0, (*samples, B, L))


def far():
    """logvar from -60 to 60 in (B, L), and a noise of ordinary size."""
    rng = np.random.default_rng(7)
    logvar = rng.permutation(np.linspace(-60, 59, B * L)).reshape(B, L)
    return logvar, rng.uniform(0.5, 2.0, (B, L)) * rng.choice([-1, 1], (B, L))


def reference(mu, logvar, eps):
    """z ~ N(mu, exp(logvar)) by the square root of the variance."""
    return mu + np.sqrt(np.exp(logvar)) * eps


def forward_terms(mu, logvar, eps):
    """What z may be the sum of."""
    std = np.exp(logvar / 2)
    return {
        "mu": mu,
        "std eps": std * eps,
        "e^logvar eps": std**2 * eps,
        "e^(logvar/4) eps": np.sqrt(std) * eps,
        "e^-logvar eps": eps / std**2,
        "eps / std": eps / std,
        "eps": eps,
        "logvar eps": logvar * eps,
        "logvar": logvar,
        "std": std,
        "mu eps": mu * eps,
        "mu std": mu * std,
        "mu std eps": mu * std * eps,
        "std eps^2": std * eps**2,
        "std |eps|": std * np.abs(eps),
        "1": np.ones_like(eps),
    }


def backward_terms(mu, logvar, eps, dz):
    """What dmu and dlogvar may be the sum of, each (B, L), added up over the samples of z."""
    std = np.exp(logvar / 2)
    parts = {
        "dz": dz,
        "dz std eps": dz * std * eps,
        "dz eps": dz * eps,
        "dz std": dz * std,
        "dz e^logvar eps": dz * std**2 * eps,
        "dz e^logvar": dz * std**2,
        "dz eps / std": dz * eps / std,
        "dz logvar eps": dz * logvar * eps,
        "dz std eps^2": dz * std * eps**2,
        "dz e^logvar eps^2": dz * (std * eps) ** 2,
        "dz mu": dz * mu,
        "dz^2 std eps": dz**2 * std * eps,
        "std eps": std * eps,
        "eps": eps,
        "dz logvar std eps": dz * logvar * std * eps,
        "mu": mu + 0 * dz,
        "e^logvar": std**2 + 0 * dz,
        "1": np.ones_like(dz),
    }
    return {name: part.reshape(-1, B, L).sum(axis=0) for name, part in parts.items()}


def check_spread(its):
    """The mean is mu and the variance e^logvar, in 10,000 draws of 4 latents.

    5 standard errors of 8 numbers: a false alarm once in 200,000 seeds, and the seed is fixed. A variance
    that is wrong by 12 %, or a mean by 9 % of a standard deviation, is found with 99.9 %. The values mostly
    say what is wrong with the spread, and where they know no name for it, the statistic may.
    """
    verdict = gradcheck.check_sampler(its.gaussian_sample, np.random.default_rng(8), DRAWS)
    if not verdict.ok:
        apart = [f"{verdict.z:.3g} standard errors apart"] * bool(np.isfinite(verdict.z))
        judging.rather(check_values, its, Failed(verdict.sentence, apart))


def check_values(its):
    """z for one noise of each datum, and for S."""
    for samples, note in ((), ""), ((S,), "eps of shape (S, B, L)"):
        mu, logvar, eps, _ = example(*samples)
        got = its.gaussian_sample(mu, logvar, eps)
        try:
            judging.expect(
                "z",
                got,
                reference(mu, logvar, eps),
                SIZES,
                wrong=judging.mistaken(WRONG, "gaussian_sample", mu, logvar, eps),
                terms=forward_terms(mu, logvar, eps),
                formula={"mu": 1.0, "std eps": 1.0},
                inputs={"logvar": logvar, "mu": mu, "eps": eps},
                note=note,
            )
        except Failed as failed:
            same = np.array_equal(got, its.gaussian_sample(mu, logvar, np.cos(3 * eps)))
            if not failed.known and same:
                raise Failed(NOT_THIS_NOISE.format("z"), failed.details) from None
            if not failed.known and judging.mixes(its.gaussian_sample, (mu, logvar, eps), got):
                raise Failed(judging.MIXED.format("gaussian_sample"), failed.details) from None
            raise


def check_far(its):
    """z / std at mu = 0 is eps, for every spread."""
    logvar, eps = far()
    z = judging.array("z", its.gaussian_sample(np.zeros((B, L)), logvar, eps), (B, L), SIZES)
    judging.expect(
        "z / std",
        _divided(z, np.exp(logvar / 2)),
        eps,
        SIZES,
        inputs={"logvar": logvar},
        note="mu = 0, logvar from -60 to 59",
    )


def check_backward(its):
    """dmu and dlogvar for one noise of each datum."""
    _backward(its)


def check_samples(its):
    """The samples share mu and logvar: their contributions add."""
    _backward(its, S)


def _backward(its, *samples):
    mu, logvar, eps, dz = example(*samples)
    names = ("dmu", "dlogvar")
    its.gaussian_sample(mu, logvar, -eps)  # a backward that remembers this noise is found out
    results = _results(its, dz, mu, logvar, eps)
    wants = [
        gradcheck.complex_step(lambda a: np.sum(dz * reference(a, logvar, eps)), mu),
        gradcheck.complex_step(lambda a: np.sum(dz * reference(mu, a, eps)), logvar),
    ]
    try:
        judging.expect_all(
            names,
            results,
            wants,
            SIZES,
            wrong=judging.mistaken(WRONG, "gaussian_sample_backward", dz, mu, logvar, eps),
            terms=backward_terms(mu, logvar, eps, dz),
            formulas=[{"dz": 1.0}, {"dz std eps": 0.5}],
            inputs={"logvar": logvar, "mu": mu},
            note="eps of shape (S, B, L)" if samples else "",
        )
    except Failed as failed:
        other = _results(its, dz, mu, logvar, np.cos(3 * eps))
        if not failed.known and np.array_equal(results[1], other[1]):
            raise Failed(NOT_THIS_NOISE.format("dlogvar"), failed.details) from None
        raise


def _results(its, dz, mu, logvar, eps):
    try:
        got = its.gaussian_sample_backward(dz, mu, logvar, eps)
    except Failed as failed:
        if "called again with the same arguments" in failed.sentence:
            raise Failed(REDRAWN) from failed
        raise
    return judging.values("gaussian_sample_backward", got, ("dmu", "dlogvar"))


def _divided(got, scale):
    """got / scale, in the precision of got."""
    return (got / scale).astype(got.dtype if got.dtype.kind == "f" else float)


def check_far_backward(its):
    """dlogvar / std is 1/2 dz eps, for every spread."""
    logvar, eps = far()
    dz = example()[3]
    dmu, dlogvar = _results(its, dz, np.zeros((B, L)), logvar, eps)
    where, note = {"logvar": logvar}, "mu = 0, logvar from -60 to 59"
    judging.expect("dmu", dmu, dz, SIZES, inputs=where, note=note)
    dlogvar = judging.array("dlogvar", dlogvar, (B, L), SIZES)
    judging.expect(
        "dlogvar / std", _divided(dlogvar, np.exp(logvar / 2)), dz * eps / 2, SIZES, inputs=where, note=note
    )


CHECKS = {
    "the mean and the spread of z": check_spread,
    "every z": check_values,
    "z for very small and very large spreads": check_far,
    "the derivatives": check_backward,
    "the derivatives, several samples": check_samples,
    "the derivatives for very small and very large spreads": check_far_backward,
}
SPREAD, VALUES, FAR, SLOPE, SAMPLES, FAR_SLOPE = CHECKS

REDRAWN = (
    "the noise was drawn again in the backward pass: two calls with the same arguments differ. The "
    "derivative belongs to the z that was drawn, so it must use the eps that is passed in"
)
NOT_THIS_NOISE = (
    "{} does not change when eps changes: the noise in it is not the one passed in, but drawn again with a "
    "fixed seed, or kept from another call"
)


# ------------------------------------------------------------------------------ wrong answers


def _z(formula):
    """A forward function of mu, logvar, eps."""
    return {"gaussian_sample": formula}


def _slope(by_logvar, by_mu=lambda dz, mu, logvar, eps: dz, over=lambda d: d.sum(axis=0)):
    """A backward function, elementwise in each part; the samples are put together by `over`."""

    def backward(dz, mu, logvar, eps):
        parts = by_mu(dz, mu, logvar, eps), by_logvar(dz, mu, logvar, eps)
        return tuple(over(d) if eps.ndim == 3 else d for d in parts)

    return {"gaussian_sample_backward": backward}


def _half(dz, mu, logvar, eps):
    return 0.5 * dz * np.exp(0.5 * logvar) * eps


_again = np.random.default_rng(9)

WRONG = (
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.exp(logvar) * eps),
        SPREAD,
        "the sampler's variance is e^(2 logvar), not e^logvar: is exp(logvar) used as the standard "
        "deviation?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + logvar * eps),
        SPREAD,
        "the sampler's variance is logvar^2, not e^logvar: is logvar itself used as the standard deviation?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.sqrt(logvar) * eps),
        SPREAD,
        "z is not finite: nan at [0, 0]; look for a log or a root of a negative number",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.sqrt(np.abs(logvar)) * eps),
        SPREAD,
        "the sampler's variance is |logvar|, not e^logvar: is logvar used as the variance?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.exp(-0.5 * logvar) * eps),
        SPREAD,
        "the sampler's variance is e^-logvar, not e^logvar: has the exponent lost its sign?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.log1p(np.exp(logvar)) * eps),
        SPREAD,
        "the standard deviation is softplus(logvar): some networks mean their output so, but the log of "
        "the variance gives std = exp(0.5 * logvar)",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: logvar + np.exp(0.5 * mu) * eps),
        SPREAD,
        "mu and logvar are exchanged: z has the mean logvar and the variance e^mu",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.exp(logvar // 2) * eps),
        SPREAD,
        "logvar // 2 is rounded down to a whole number: write 0.5 * logvar",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + eps),
        SPREAD,
        "the sampler's variance is 1, not e^logvar: is logvar not used at all?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + 0 * eps),
        SPREAD,
        "the sampler's variance is 0, not e^logvar: is z = mu, without the noise?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: np.exp(0.5 * logvar) * eps),
        SPREAD,
        "the sampler's mean is 0, not mu: is mu not added?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: np.exp(0.5 * logvar) * (mu + eps)),
        SPREAD,
        "the sampler's mean is mu std, not mu: is mu multiplied by the standard deviation as well?",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.exp(0.5 * logvar) * _again.standard_normal(eps.shape)),
        SPREAD,
        "gives another answer when it is called again with the same arguments: it draws noise",
    ),
    Wrong(
        _z(
            lambda mu, logvar, eps: (
                mu + np.exp(0.5 * logvar) * np.random.default_rng(0).standard_normal(eps.shape)
            )
        ),
        VALUES,
        "z does not change when eps changes: the noise in it is not the one passed in",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu - np.exp(0.5 * logvar) * eps),
        VALUES,
        "z has -std eps: that has the right mean and spread, but z must grow with eps",
    ),
    Wrong(
        _z(lambda mu, logvar, eps: mu + np.exp(0.5 * np.clip(logvar, -10, 10)) * eps),
        FAR,
        "z / std is wrong only where logvar is beyond about +-",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: 2 * _half(dz, mu, logvar, eps)),
        SLOPE,
        "dlogvar is exactly twice what it should be everywhere: std = exp(0.5 * logvar), and the 0.5 comes "
        "down",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: 0.5 * _half(dz, mu, logvar, eps)),
        SLOPE,
        "dlogvar is exactly half of what it should be everywhere: the 0.5 of std = exp(0.5 * logvar) comes "
        "down once, not twice",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: 0.5 * dz * np.exp(0.5 * logvar)),
        SLOPE,
        "dlogvar lacks eps: std is multiplied by eps in z, and so is its derivative",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: 0.5 * dz * eps),
        SLOPE,
        "dlogvar lacks std: the derivative of exp(0.5 * logvar) is 0.5 * exp(0.5 * logvar), the exp stays",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: dz * eps),
        SLOPE,
        "dlogvar is the derivative by std: by logvar it is std / 2 times that, as std = exp(0.5 * logvar)",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: 0.5 * dz * eps * np.exp(-0.5 * logvar)),
        SLOPE,
        "dlogvar is the derivative by the variance: by logvar it is e^logvar times that",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: dz * np.exp(logvar) * eps),
        SLOPE,
        "dlogvar is that of z = mu + exp(logvar) * eps: the standard deviation is exp(0.5 * logvar)",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: 0.5 * dz * (mu + np.exp(0.5 * logvar) * eps)),
        SLOPE,
        "dlogvar has z where std eps belongs: mu does not depend on logvar",
    ),
    Wrong(
        _slope(
            lambda dz, mu, logvar, eps: 0.5 * np.exp(0.5 * logvar) * eps,
            lambda dz, mu, logvar, eps: np.ones_like(dz),
        ),
        SLOPE,
        "dmu is not multiplied by dz: what comes back from above is a factor of every derivative",
    ),
    Wrong(
        _slope(
            lambda dz, mu, logvar, eps: 0.5 * dz * np.exp(0.5 * logvar) * _again.standard_normal(eps.shape)
        ),
        SLOPE,
        "the noise was drawn again in the backward pass",
    ),
    Wrong(
        _slope(
            lambda dz, mu, logvar, eps: (
                0.5 * dz * np.exp(0.5 * logvar) * np.random.default_rng(0).standard_normal(eps.shape)
            )
        ),
        SLOPE,
        "dlogvar does not change when eps changes: the noise in it is not the one passed in",
    ),
    Wrong(
        _slope(_half, over=lambda d: d), SAMPLES, "the axis S (4) is still there, the sum over it is missing"
    ),
    Wrong(
        _slope(_half, over=lambda d: d.mean(axis=0)),
        SAMPLES,
        "dmu is averaged over the S samples: they share mu and logvar, so their contributions add, and a "
        "mean that the loss takes is in dz already",
    ),
    Wrong(
        _slope(_half, over=lambda d: d[-1]),
        SAMPLES,
        "dmu is that of the last sample alone: is a result overwritten in a loop? The samples add",
    ),
    Wrong(
        _slope(_half, over=lambda d: d[:-1].sum(axis=0)),
        SAMPLES,
        "dmu lacks the last sample: does a loop end early?",
    ),
    Wrong(
        _slope(_half, over=lambda d: d[1:].sum(axis=0)),
        SAMPLES,
        "dmu lacks the first sample: does a loop start late?",
    ),
    Wrong(
        _slope(_half, over=lambda d: d[0]), SAMPLES, "dmu is that of the first sample alone: the samples add"
    ),
    Wrong(
        {
            "gaussian_sample_backward": lambda dz, mu, logvar, eps: (
                dz.reshape(-1, *mu.shape).sum(axis=0),
                _half(*(a.reshape(-1, *mu.shape).sum(axis=0) for a in (dz, mu, logvar, eps))),
            )
        },
        SAMPLES,
        "dlogvar is the product of two sums over the samples, that of dz and that of eps: multiply first, "
        "dz and eps of the same sample, then add",
    ),
    Wrong(
        _slope(lambda dz, mu, logvar, eps: _half(dz, mu, np.clip(logvar, -10, 10), eps)),
        FAR_SLOPE,
        "dlogvar / std is wrong only where logvar is beyond about +-",
    ),
)


EXERCISE = Exercise(
    lesson=6,
    title="Draw z so that it has a derivative",
    task="""
    Write the reparameterization: z from mu, logvar and a noise that is passed in, and how a derivative dz
    that arrives from the decoder goes on to mu and logvar. eps and dz may be (B, L), one z for each datum, or
    (S, B, L), S of them; dmu and dlogvar are (B, L) in both cases. std = exp(0.5 * logvar) is yours to write.
    """,
    functions=(ops.gaussian_sample, ops.gaussian_sample_backward),
    hints=(
        "Where to look: lesson 6, the reparameterization. z is elementwise, and (S, B, L) broadcasts "
        "against (B, L) by itself. Backward: hold eps fixed and differentiate z by mu, then by logvar, by "
        "the chain rule through std. One mu serves all S samples.",
        "The formula: z = mu + std eps. dz/dmu = 1; dz/dlogvar = dstd/dlogvar eps = 1/2 std eps. Both "
        "times dz, and summed over the samples where there are several.",
        "All but the last line:\n"
        "    std = np.exp(0.5 * logvar)                 # (B, L)\n"
        "and backward:\n"
        "    dmu = dz                                   # like eps\n"
        "    dlogvar = dz * 0.5 * std * eps             # like eps\n"
        "    if eps.ndim == 3:                          # S samples share one mu and logvar\n"
        "        dmu, dlogvar = dmu.sum(axis=0), dlogvar.sum(axis=0)",
    ),
    checks=CHECKS,
    wrong=WRONG,
)
