"""Known costs: does each estimator have the mean and the variance that the mathematics says?

Every estimator draws many gradients of E[f(z)]. Their mean is compared with the exact gradient by the exact
standard error, their variance with the exact one by the standard error that the exact fourth moment gives.
Variance and time are those of one sample; of leave-one-out, K times the variance of its mean over K samples.
"""

import math
import time
from functools import partial

import numpy as np

from minivae import estimators as es

from ..story import wrapped
from .moments import COSTS, baselines
from .show import Report, canvas, count, number, over, style, table

K = 8  # samples in one estimate of leave-one-out
SAMPLES, LEAST = 100_000, 2 * K
PARAMETERS = ("mu", "logvar")
TINY = np.finfo(float).tiny
FLOOR = 1e-12  # of the scale: whatever is smaller is rounding
# what the figure sweeps: the parameter's name, the grid of the exact lines, the points that are measured
SWEEPS = {
    "quadratic": ("mu", np.linspace(-3, 3, 31), np.linspace(-3, 3, 7)),
    "cos": ("k", np.linspace(0.1, 3, 31), np.linspace(0.3, 2.7, 7)),
    "exp": ("k", np.geomspace(0.05, 10, 31), np.geomspace(0.08, 7, 7)),
    "kl": ("mu", np.linspace(0, 2, 31), np.linspace(0.05, 1.95, 7)),
}
DIMS = ("dim", np.unique(np.geomspace(1, 100, 15).round().astype(int)), (1, 3, 10, 30, 100))
POINT_SAMPLES, POINT_NUMBERS = 20_000, 30_000_000  # of one measured point, at most; but at least 200 samples


def in_groups(f, df, mu, logvar, eps):
    """The mean of leave-one-out over groups of K noises: eps (n * K, B, L) -> dmu, dlogvar (n, B, L).

    The samples of a group depend on each other, the groups do not; the estimator sees groups as more data.
    """
    B, L = mu.shape
    n = len(eps) // K
    sets = np.tile(mu, (n, 1)), np.tile(logvar, (n, 1)), eps.reshape(K, n * B, L)  # data: (n * B, L)
    grads = es.leave_one_out(lambda z: f(z.reshape(K * n, B, L)).reshape(K, n * B), *sets)
    return [grad.mean(axis=0).reshape(n, B, L) for grad in grads]


def exact(cost, estimator):
    """Exact moments for one sample -> dmu, dlogvar; for leave-one-out those of K, times K."""
    n = together(estimator)
    parts = cost.moments(estimator, n)
    return [part._replace(variance=n * part.variance, fourth=n * n * part.fourth) for part in parts]


def together(estimator):
    """How many samples of z make one estimate."""
    return K if estimator == "leave-one-out" else 1


def sampler(cost, estimator):
    """draw(rng, n) -> (n, 2): n independent estimates for the first coordinate's mu and logvar."""
    each, df, plain, constant = cost.pieces(estimator)
    constants = baselines(each, cost.mu, cost.std, plain, cost.dim)
    mu, logvar, *baseline = (
        np.full((1, cost.dim), value) for value in (cost.mu, 2 * math.log(cost.std), *constants)
    )

    def f(z):
        return np.broadcast_to(each(z), z.shape).sum(axis=-1)

    def draw(rng, n):
        if plain.startswith("measure-valued"):
            grads = es.measure_valued(f, mu, logvar, rng, plain == "measure-valued", n)
        else:
            q = mu, logvar, rng.standard_normal((n * together(plain), 1, cost.dim))
            if plain == "leave-one-out":
                grads = in_groups(f, df, *q)
            elif plain.endswith("baseline"):
                grads = es.score_function(f, *q, baseline)
            else:
                grads = es.named(plain)(f, df, *q)
        return np.stack([grad[:, 0, 0] for grad in grads], axis=1) + np.array([0, constant])

    return draw


def measure(cost, samples=None, seed=0, progress=lambda items: items):
    """Every estimator of the gradient of one Cost, measured beside its exact moments -> Report.

    samples: of each estimator, at least 16, 100,000 by default. progress(items) may draw a progress bar.
    """
    count("dim", cost.checked().dim, most=10_000)
    samples = count("samples", SAMPLES if samples is None else samples, LEAST)
    seed = count("seed", seed, 0)
    jobs = [({"kind": "cost"}, cost, estimator, samples) for estimator in cost.estimators]
    for swept, _, points in (SWEEPS[cost.name], DIMS):
        for point in points:
            at = cost._replace(**{swept: point if swept == "dim" else float(point)})
            for estimator in cost.estimators:
                numbers = at.dim * (4 * at.dim if estimator.startswith("measure") else 1)
                few = max(200, min(samples, POINT_SAMPLES, POINT_NUMBERS // numbers))
                jobs.append(({"kind": "cost sweep", "swept": swept}, at, estimator, few))
    for _, at, estimator, _ in jobs:
        exact(at, estimator)  # an overflow ends here, before anything is drawn
    records = []
    noises = np.random.SeedSequence(seed).spawn(len(jobs))
    for (kind, *job), noise in progress([*zip(jobs, noises, strict=True)]):
        records += [kind | record | {"seed": seed} for record in records_of(*job, noise)]
    for record in records[: 2 * len(cost.estimators)]:  # pathwise is the first: mu, logvar
        base = records[PARAMETERS.index(record["parameter"])]
        record["ratio"], times = (over(record[k], base[k]) for k in ("exact_variance", "microseconds"))
        record["variance_time_ratio"] = record["ratio"] * times
    return Report(lines_of(cost, records), records, partial(figure_of, cost, records))


def records_of(cost, estimator, samples, noise):
    """Draw `samples` gradients -> a record for mu and a record for logvar, in both measured beside exact."""
    group = together(estimator)
    draw = partial(sampler(cost, estimator), np.random.default_rng(noise))
    n, most = samples // group, max(1, 100_000 // (cost.dim * group))  # draws in all, and at once
    started = time.perf_counter()
    draws = np.concatenate([draw(min(most, n - i)) for i in range(0, n, most)])  # (n, 2)
    microseconds = 1e6 * (time.perf_counter() - started) / (n * group)
    both = zip(PARAMETERS, draws.T, exact(cost, estimator), exact(cost, "score-function"), strict=True)
    for parameter, drawn, known, plain in both:
        mean, variance = drawn.mean(), drawn.var(ddof=1) * group
        scale = abs(plain.mean) + math.sqrt(plain.variance)
        mean_error, error = math.sqrt(known.variance / (n * group)), known.variance_error(n)
        yield {
            "cost": cost.name, **cost.parameters, "dim": cost.dim, "samples": n * group,
            "estimator": estimator, "parameter": parameter, "exact_gradient": known.mean, "mean": float(mean),
            "z_mean": float(mean - known.mean) / max(mean_error, FLOOR * scale, TINY),
            "exact_variance": known.variance, "variance": float(variance), "variance_error": error,
            "z_variance": float(variance - known.variance) / max(error, FLOOR * scale**2, TINY),
            "microseconds": microseconds,
        }  # fmt: skip


HEADS = ("gradient\nexact", "\nmean", "\nz", "variance\nexact", "\nmeasured", "\n+-", "\nz", "ratio", "us")
NOTE = f"""z: how many exact standard errors (+-) the measured number is off; beyond 5 something is wrong.
Variance and time are those of one sample: one z, a pair for the antithetic estimators, 4 costs for each
coordinate for the measure-valued ones, one of {K} for leave-one-out. ratio: to pathwise's variance."""


def lines_of(cost, records):
    """The two tables and what there is to see, at most 120 columns wide."""
    given = ", ".join(f"{name} = {value:g}" for name, value in cost.parameters.items())
    each = f", summed over {cost.dim} equal coordinates" if cost.dim > 1 else ""
    lines = [f"f(z) = {COSTS[cost.name][0]}{each}; z ~ N(mu, std^2); {given}"]
    lines += [f"{records[0]['samples']:,} samples of each estimator of d E f / d mu and d E f / d logvar", ""]
    notes = [NOTE]
    for part, parameter in enumerate(PARAMETERS):
        rows = records[part : 2 * len(cost.estimators) : 2]
        lines += [*table([f"with respect to {parameter}", *HEADS, "ratio\nx time"], map(_cells, rows)), ""]
        work = {r["estimator"]: r["exact_variance"] * r["microseconds"] for r in rows}
        zero = [name for name in work if work[name] <= 1e-14 * max(work.values())]
        ranked = sorted(work.keys() - set(zero), key=work.get)
        note = [f"no variance at all: {', '.join(zero)}"] * bool(zero)
        if len(ranked) > 1:
            other = next((n for n in ranked[1:] if n.startswith("score")), ranked[1])
            times = f"{work[other] / work[ranked[0]]:.3g} times as long"
            note.append(f"{ranked[0]} is the best for its time, {other} takes {times}")
        notes.append(f"With respect to {parameter}: {'; '.join(note)}.")
    return lines + [line for note in notes for line in wrapped(note).splitlines()]


def _cells(r):
    name = f"leave-one-out, K = {K}" if r["estimator"] == "leave-one-out" else r["estimator"]
    small = FLOOR * math.sqrt(r["exact_variance"]), (FLOOR * r["exact_gradient"]) ** 2  # rounding
    gradient, mean = (0.0 if abs(r[k]) < small[0] else r[k] for k in ("exact_gradient", "mean"))
    exact, measured, error = (
        0.0 if r[k] < small[1] else r[k] for k in ("exact_variance", "variance", "variance_error")
    )
    last = r["ratio"], number(r["microseconds"], 3), number(r["variance_time_ratio"], 3)
    z_mean, z_variance = (f"{r[k]:.1f}" for k in ("z_mean", "z_variance"))
    return [name, gradient, mean, z_mean, exact, measured, number(error, 3), z_variance, *last]


def figure_of(cost, records):
    """Exact lines and measured points: variance against a parameter of the cost, and against dimension."""
    figure, panels = canvas(2, 2, (11, 9), sharex="row")
    for row, (swept, grid, _) in zip(panels, (SWEEPS[cost.name], DIMS), strict=True):
        costs = [cost._replace(**{swept: type(getattr(cost, swept))(value)}) for value in grid]
        variances = {n: np.array([exact(c, n) for c in costs])[..., 1] for n in cost.estimators}  # (grid, 2)
        for part, axes in enumerate(row):
            points = [r for r in records if (r.get("swept"), r["parameter"]) == (swept, PARAMETERS[part])]
            _panel(axes, swept, grid, {name: both[:, part] for name, both in variances.items()}, points)
            fixed = {**cost.parameters, "D": cost.dim}
            given = ", ".join(f"{n} = {v:g}" for n, v in fixed.items() if n not in (swept, swept[0].upper()))
            axes.set_title(f"with respect to {PARAMETERS[part]}, at\n{given}", fontsize="medium")
            if swept == "dim" or cost.name == "exp":
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter("{x:g}")
    handles = [axes.plot([], [], label=name, **style(name))[0] for name in cost.estimators]
    title = "lines: exact.  points: measured, with 2 standard errors.  rings: pathwise = score function"
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"Variance of each gradient estimator for E f(z), f(z) = {COSTS[cost.name][0]}")
    return figure


def _panel(axes, swept, grid, lines, points):
    """Lines (grid,) by estimator, measured points, and rings where pathwise meets the score function."""
    top = max(line.max() for line in lines.values()) or 1.0
    seen = {name: line for name, line in lines.items() if line.max() > FLOOR * top}
    for name, line in seen.items():
        look = style(name)
        axes.plot(grid, np.where(line > FLOOR * top, line, np.nan), look["linestyle"], color=look["color"])
        own = [r for r in points if r["estimator"] == name and r["exact_variance"] > FLOOR * top]
        y, error = (np.array([r[k] for r in own]) for k in ("variance", "variance_error"))
        bar = [np.minimum(2 * error, 0.999 * y), 2 * error]
        axes.errorbar([r[swept] for r in own], y, bar, **look | {"linestyle": ""}, capsize=2)
    if zero := [name for name in lines if name not in seen]:
        text = f"zero: {', '.join(zero) if seen else 'all'}"
        axes.text(0.98, 0.95, text, transform=axes.transAxes, ha="right", fontsize="small")
    if not seen:
        return
    low = min(line[line > FLOOR * top].min() for line in seen.values())
    axes.set_yscale("log")
    axes.set_ylim(max(low / 2, top * 1e-6), 3 * top)
    label = {"dim": "D, number of coordinates", "mu": "mu of z", "k": "k of the cost"}[swept]
    axes.set(xlabel=label, ylabel="variance of one sample")
    lead = np.log(np.maximum(lines["score-function"], TINY) / np.maximum(lines["pathwise"], TINY))
    for i in np.flatnonzero(lead[:-1] * lead[1:] < 0):
        x = grid[i] + lead[i] / (lead[i] - lead[i + 1]) * (grid[i + 1] - grid[i])
        y = math.exp(np.interp(x, grid, np.log(lines["pathwise"])))
        axes.plot(x, y, "o", color="#333333", markersize=13, fillstyle="none", zorder=9)
        text = {"textcoords": "offset points", "weight": "bold", "zorder": 10}
        axes.annotate(f"{swept} = {x:.2f}", (x, y), (9, -14), **text)
