"""The report of `costs` in words and numbers, at most 120 columns wide."""

import math
import textwrap

import numpy as np

from .known_costs import K

FORMULAS = {
    "quadratic": "a z^2 + b z + c",
    "cos": "cos(k z)",
    "exp": "exp(-k z^2)",
    "kl": "log q(z) - log N(z; 0, 1)",
}
WIDTH = 118
HEADINGS = (
    f"{'':<32}{'derivative of E f':^24}  {'variance of one sample':^46}  {'time of one':>14}",
    f"{'':<32}{'exact':>9}{'mean':>9}{'z':>6}  {'exact':>10}{'measured':>10}{'+-':>9}{'z':>6}{'ratio':>9}"
    f"{'us':>8}{'x var.':>9}",
)


def lines(report):
    """What was measured; the two tables; what the columns mean; what there is to see."""
    cost = report.cost
    given = ", ".join(f"{name} = {value:g}" for name, value in cost.parameters.items())
    each = f", summed over {cost.dim} equal coordinates" if cost.dim > 1 else ""
    yield f"f(z) = {FORMULAS[cost.name]}{each}; z ~ N(mu, std^2); {given}"
    yield f"{report.rows[0].samples:,} samples of each estimator of d E f / d mu and d E f / d logvar"
    for parameter in ("mu", "logvar"):
        yield ""
        first, second = HEADINGS
        yield first.rstrip()
        yield f"by {parameter}{second[3 + len(parameter) :]}"
        for row in report.rows:
            if row.parameter == parameter:
                yield _line(report, row)
    yield ""
    notes = [_meaning(cost), *(_verdict(report, parameter) for parameter in ("mu", "logvar"))]
    for note in notes:
        yield from textwrap.wrap(note, WIDTH, break_long_words=False, break_on_hyphens=False)


def _meaning(cost):
    text = (
        "z: how many exact standard errors (+-) the measured number is off; beyond 5 something is wrong. "
        "ratio: exact variance / pathwise's. us: microseconds on one core. "
        "x var.: time x variance / pathwise's, the time to an equally good answer. "
        "A sample is one z; for antithetic ones a pair; for measure-valued ones 4 costs for each coordinate; "
        f"for leave-one-out one of {K}, its variance being {K} times that of their mean."
    )
    if cost.name == "kl":
        text += " pathwise is the total derivative; sticking-the-landing leaves out the score of log q."
    return text


def _line(report, row):
    name = f"leave-one-out, K = {K}" if row.estimator == "leave-one-out" else row.estimator
    small = 1e-12 * row.scale  # rounding
    gradient, mean = (v if abs(v) > small else 0.0 for v in (row.exact.mean, row.mean))
    exact, measured, error = (
        v if v > small**2 else 0.0 for v in (row.exact.variance, row.variance, row.variance_error)
    )
    return (
        f"{name:<32}{_number(gradient, 9)}{_number(mean, 9)}{_z(row.z_mean)}  "
        f"{_number(exact, 10)}{_number(measured, 10)}{_number(error, 9, 3)}{_z(row.z_variance)}"
        f"{_number(report.ratio(row), 9, 4)}"
        f"{_number(1e6 * row.seconds, 8, 3)}{_number(report.ratio(row, timed=True), 9, 3)}"
    )


def _verdict(report, parameter):
    """Who is the best for the time it takes, and how far behind the score function or the next one is."""
    rows = [row for row in report.rows if row.parameter == parameter]
    work = {row.estimator: row.exact.variance * row.seconds for row in rows}
    still = [row.estimator for row in rows if row.exact.variance <= 1e-14 * row.scale**2]
    moving = sorted(work.keys() - set(still), key=work.get)
    text = f"By {parameter}, "
    if still:
        text += f"no scatter at all: {', '.join(still)}"
    if moving:
        best, *others = moving
        text += f"{'; of the others, ' if still else ''}{best} is the best for its time"
        rivals = [name for name in others if name.startswith("score") and not best.startswith("score")]
        for other in (rivals or others)[:1]:
            what = "best score function" if rivals else "next"
            text += f"; the {what}, {other}, takes {work[other] / work[best]:.3g} times as long"
    return text + "."


def _number(value, width, digits=5):
    """The most digits that fit, right-aligned; - where there is no number."""
    if math.isnan(value):
        return f"{'-':>{width}}"
    texts = (f"{value:.{n}g}" for n in range(digits, 0, -1))
    return f"{next((text for text in texts if len(text) < width), '?'):>{width}}"


def _z(value):
    return f"{value:>6.1f}" if abs(value) < 1000 else f"{np.copysign(math.inf, value):>6}"
