"""Exercise: the reparameterization, a draw of z with a derivative by mu and logvar, and that derivative."""

import numpy as np

from minivae import gradcheck, ops

from .. import judging
from ..judging import Exercise, Failed
from ..slips.gaussian_sample import WRONG, backward_terms, forward_terms, spreads, sums

S, B, L = 4, 11, 3
NAMES = ("dmu", "dlogvar")
SIZES = {"S": S, "B": B, "L": L}
DRAWS = 10_000
ALL_SPREADS = "mu = 0, logvar from -60 to 59"


def example(*samples):
    """mu, logvar (B, L), eps and an upstream gradient dz, both (*samples, B, L)."""
    rng = np.random.default_rng(6)
    mu, logvar = rng.normal(0.4, 1.0, (B, L)), rng.normal(-0.5, 0.9, (B, L))
    return mu, logvar, rng.standard_normal((*samples, B, L)), rng.normal(0.2, 1.0, (*samples, B, L))


def far():
    """logvar from -60 to 59 in (B, L), and a noise of ordinary size."""
    rng = np.random.default_rng(7)
    logvar = rng.permutation(np.linspace(-60, 59, B * L)).reshape(B, L)
    return logvar, rng.uniform(0.5, 2.0, (B, L)) * rng.choice([-1, 1], (B, L))


def reference(mu, logvar, eps):
    """z ~ N(mu, exp(logvar)) by the square root of the variance."""
    return mu + np.sqrt(np.exp(logvar)) * eps


def check_spread(its):
    """The mean is mu and the variance e^logvar, in 10,000 draws of 4 latents.

    5 standard errors of 8 numbers: a false alarm once in 200,000 seeds, and the seed is fixed. A variance
    that is wrong by 12 %, or a mean by 9 % of a standard deviation, is found with 99.9 %. Where the values
    know the cause, they say it.
    """
    verdict = gradcheck.check_sampler(its.gaussian_sample, np.random.default_rng(8), DRAWS)
    if not verdict.ok:
        apart = [f"{verdict.z:.3g} standard errors apart"] * bool(np.isfinite(verdict.z))
        judging.rather(check_values, its, Failed(verdict.sentence, apart))


def check_values(its):
    """z for one noise of each datum, and for S."""
    _values(its)
    with judging.noted("eps of shape (S, B, L)"):
        _values(its, S)


def _values(its, *samples):
    mu, logvar, eps, _ = example(*samples)
    got = its.gaussian_sample(mu, logvar, eps)
    mixed = judging.MIXED.format("gaussian_sample")
    with judging.or_else(
        lambda: judging.deaf("z", lambda eps: its.gaussian_sample(mu, logvar, eps), eps),
        lambda: judging.mixes(its.gaussian_sample, (mu, logvar, eps), got) and mixed,
    ):
        judging.expect(
            "z",
            got,
            reference(mu, logvar, eps),
            SIZES,
            wrong=[*spreads(mu, logvar, eps), *judging.mistaken(WRONG, "gaussian_sample", mu, logvar, eps)],
            terms=forward_terms(mu, logvar, eps),
            formula={"mu": 1.0, "std eps": 1.0},
            inputs={"logvar": logvar, "mu": mu, "eps": eps},
        )


def check_far(its):
    """z / std at mu = 0 is eps, for every spread."""
    logvar, eps = far()
    z = judging.array("z", its.gaussian_sample(np.zeros((B, L)), logvar, eps), (B, L), SIZES)
    _far("z / std", z, eps, logvar)


def check_backward(its):
    """dmu and dlogvar for one noise of each datum."""
    _backward(its)


def check_samples(its):
    """The samples share mu and logvar: their contributions add."""
    with judging.noted("eps of shape (S, B, L)"):
        _backward(its, S)
    with judging.noted("eps of shape (S, B, L), and S = B"):
        _backward(its, B)


def _backward(its, *samples):
    mu, logvar, eps, dz = example(*samples)
    its.gaussian_sample(mu, logvar, -eps)  # a backward that remembers this noise is found out

    def answer(eps):
        return judging.values(
            "gaussian_sample_backward", its.gaussian_sample_backward(dz, mu, logvar, eps), NAMES
        )

    results = answer(eps)
    wants = [
        gradcheck.complex_step(lambda a: np.sum(dz * reference(a, logvar, eps)), mu),
        gradcheck.complex_step(lambda a: np.sum(dz * reference(mu, a, eps)), logvar),
    ]
    with judging.or_else(lambda: judging.deaf("dlogvar", lambda eps: answer(eps)[1], eps)):
        judging.expect_all(
            NAMES,
            results,
            wants,
            SIZES,
            wrong=[
                *judging.mistaken(WRONG, "gaussian_sample_backward", dz, mu, logvar, eps),
                *sums(logvar, eps, dz),
            ],
            terms=backward_terms(mu, logvar, eps, dz),
            formulas=[{"dz": 1.0}, {"dz std eps": 0.5}],
            inputs={"logvar": logvar, "mu": mu},
        )


def check_far_backward(its):
    """dlogvar / std is 1/2 dz eps, for every spread."""
    logvar, eps = far()
    dz = example()[3]
    results = its.gaussian_sample_backward(dz, np.zeros((B, L)), logvar, eps)
    dmu, dlogvar = judging.values("gaussian_sample_backward", results, NAMES)
    judging.expect("dmu", dmu, dz, SIZES, inputs={"logvar": logvar}, note=ALL_SPREADS)
    _far("dlogvar / std", judging.array("dlogvar", dlogvar, (B, L), SIZES), dz * eps / 2, logvar)


def _far(name, got, want, logvar):
    """Hold got / std to what is wanted, in the precision of got."""
    scaled = (got / np.exp(logvar / 2)).astype(got.dtype if got.dtype.kind == "f" else float)
    judging.expect(name, scaled, want, SIZES, inputs={"logvar": logvar}, note=ALL_SPREADS)


CHECKS = {
    "the mean and the spread of z": check_spread,
    "every z": check_values,
    "z for very small and very large spreads": check_far,
    "the derivatives": check_backward,
    "the derivatives, several samples": check_samples,
    "the derivatives for very small and very large spreads": check_far_backward,
}

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
