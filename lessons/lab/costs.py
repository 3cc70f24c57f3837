"""Known costs: does each estimator have the mean and the variance that the mathematics says?

Every estimator draws many gradients of E[f(z)]. Their mean is compared with the exact gradient by the exact
standard error, their variance with the exact one by the standard error that the exact fourth moment gives.
Variance and time are those of one sample; of leave-one-out, K times the variance of its mean over K samples.
"""

import math
import time
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from minivae import arguments
from minivae import estimators as es

from . import moments as m
from .show import Report, canvas, number, over, style, table, wrapped

FORMULAS = {
    "quadratic": "a z^2 + b z + c",
    "cos": "cos(k z)",
    "exp": "exp(-k z^2)",
    "kl": "log q(z) - log N(z; 0, 1)",
}
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


class Cost(NamedTuple):
    """f(z) = sum_i f(z_i) over `dim` equal coordinates z_i ~ N(mu, std^2)."""

    name: str
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    k: float = 1.0
    mu: float = 2.0
    std: float = 1.0
    dim: int = 1

    @property
    def parameters(self):
        """Those that this cost has, and those of the Gaussian -> {name: value}."""
        own = {"quadratic": ("a", "b", "c"), "kl": ()}.get(self.name, ("k",))
        return {name: getattr(self, name) for name in (*own, "mu", "std")}

    @property
    def estimators(self):
        """The names of the estimators for this cost."""
        return m.KL_NAMES if self.name == "kl" else m.NAMES

    def pieces(self, estimator):
        """f and df of one coordinate, a plain estimator, and what to add to dlogvar."""
        if self.name == "kl":
            return m.own_kl(self.mu, self.std, estimator, self.dim)
        builder = {"quadratic": m.quadratic, "cos": m.cosine, "exp": m.bump}[self.name]
        return *builder(*list(self.parameters.values())[:-2]), estimator, 0.0

    @lru_cache(maxsize=4096)  # noqa: B019, a cost is a few numbers
    def moments(self, estimator):
        """Exact moments for one sample -> GradientMoments; for leave-one-out those of K, times K."""
        count = K if estimator == "leave-one-out" else 1
        try:
            with np.errstate(all="ignore"):
                f, df, plain, constant = self.pieces(estimator)
                exact = m.moments(f, df, self.mu, self.std, plain, self.dim, count)
        except (OverflowError, ZeroDivisionError):
            exact = math.nan
        if not np.isfinite(exact).all():
            given = ", ".join(f"{name} = {value:g}" for name, value in self.parameters.items())
            raise ValueError(f"the exact moments of the {self.name} cost overflow at {given}")
        scaled = (x._replace(variance=count * x.variance, fourth=count**2 * x.fourth) for x in exact)
        dmu, dlogvar = scaled
        return m.GradientMoments(dmu, dlogvar._replace(mean=dlogvar.mean + constant))

    def sampler(self, estimator):
        """draw(rng, n) -> (n, 2): n independent estimates for the first coordinate's mu and logvar."""
        mu, logvar = np.full((1, self.dim), self.mu), np.full((1, self.dim), 2 * math.log(self.std))
        each, df, plain, constant = self.pieces(estimator)
        constants = m.baselines(each, self.mu, self.std, plain, self.dim)
        baseline = tuple(np.full((1, self.dim), t) for t in constants)

        def f(z):
            return np.broadcast_to(each(z), z.shape).sum(axis=-1)

        def estimate(rng, n):
            if plain.startswith("measure-valued"):
                return es.measure_valued(f, mu, logvar, rng, plain == "measure-valued", n)
            if plain == "leave-one-out":  # n sets of K samples, side by side as n data
                sets = [np.broadcast_to(v, (n, self.dim)) for v in (mu, logvar)]
                grads = es.leave_one_out(f, *sets, rng.standard_normal((K, n, self.dim)))
                return [d.mean(axis=0)[:, None] for d in grads]
            eps = rng.standard_normal((n, 1, self.dim))
            if plain in ("pathwise", "pathwise-antithetic", "score-function-antithetic"):
                return es.named(plain)(f, df, mu, logvar, eps)
            return es.score_function(f, mu, logvar, eps, baseline)

        return lambda rng, n: (
            np.stack([d[:, 0, 0] for d in estimate(rng, n)], axis=1) + np.array([0, constant])
        )


def measure(cost, samples=None, seed=0, progress=lambda items: items):
    """Every estimator of the gradient of one Cost, measured beside its exact moments -> Report.

    samples: of each estimator, at least 16, 100,000 by default. progress(items) may draw a progress bar.
    """
    for name in ("a", "b", "c", "mu"):
        arguments.number(name, getattr(cost, name))
    arguments.number("k", cost.k, at_least=0 if cost.name == "exp" else None)
    arguments.number("std", cost.std, above=0)
    arguments.integer("dim", cost.dim)
    samples = arguments.integer("samples", SAMPLES if samples is None else samples, at_least=LEAST)
    seed = arguments.integer("seed", seed, at_least=0)
    jobs = [({"kind": "cost"}, cost, estimator, samples) for estimator in cost.estimators]
    for swept, _, points in (SWEEPS[cost.name], DIMS):
        for point in points:
            at = cost._replace(**{swept: point if swept == "dim" else float(point)})
            for estimator in cost.estimators:
                numbers = at.dim * (4 * at.dim if estimator.startswith("measure") else 1)
                few = max(200, min(samples, POINT_SAMPLES, POINT_NUMBERS // numbers))
                jobs.append(({"kind": "cost sweep", "swept": swept}, at, estimator, few))
    for _, at, estimator, _ in jobs:
        at.moments(estimator)  # an overflow ends here, before anything is drawn
    records = []
    for (kind, *job), noise in progress(
        [*zip(jobs, np.random.SeedSequence(seed).spawn(len(jobs)), strict=True)]
    ):
        records += [kind | record | {"seed": seed} for record in records_of(*job, noise)]
    for record in records[: 2 * len(cost.estimators)]:  # pathwise is the first: mu, logvar
        base = records[PARAMETERS.index(record["parameter"])]
        record["ratio"], time = (over(record[k], base[k]) for k in ("exact_variance", "microseconds"))
        record["variance_time_ratio"] = record["ratio"] * time
    return Report(lines_of(cost, records), records, partial(figure_of, cost, records))


def records_of(cost, estimator, samples, noise):
    """Draw `samples` gradients -> a record for mu and a record for logvar, in both measured beside exact."""
    together = K if estimator == "leave-one-out" else 1
    draw = partial(cost.sampler(estimator), np.random.default_rng(noise))
    n, most = samples // together, max(1, 100_000 // (cost.dim * together))  # draws in all, and at once
    started = time.perf_counter()
    draws = np.concatenate([draw(min(most, n - i)) for i in range(0, n, most)])  # (n, 2)
    microseconds = 1e6 * (time.perf_counter() - started) / (n * together)
    for part, parameter in enumerate(PARAMETERS):
        mean, variance = draws[:, part].mean(), draws[:, part].var(ddof=1)
        exact, plain = cost.moments(estimator)[part], cost.moments("score-function")[part]
        scale = abs(plain.mean) + math.sqrt(plain.variance)
        variance, error = variance * together, exact.variance_error(n)
        mean_error = math.sqrt(exact.variance / (n * together))
        yield {
            "cost": cost.name, **cost.parameters, "dim": cost.dim, "samples": n * together,
            "estimator": estimator, "parameter": parameter, "exact_gradient": exact.mean, "mean": float(mean),
            "z_mean": float(mean - exact.mean) / max(mean_error, FLOOR * scale, TINY),
            "exact_variance": exact.variance, "variance": float(variance), "variance_error": error,
            "z_variance": float(variance - exact.variance) / max(error, FLOOR * scale**2, TINY),
            "microseconds": microseconds,
        }  # fmt: skip


def lines_of(cost, records):
    """The two tables and what there is to see, at most 120 columns wide."""
    given = ", ".join(f"{name} = {value:g}" for name, value in cost.parameters.items())
    each = f", summed over {cost.dim} equal coordinates" if cost.dim > 1 else ""
    lines = [f"f(z) = {FORMULAS[cost.name]}{each}; z ~ N(mu, std^2); {given}"]
    lines += [f"{records[0]['samples']:,} samples of each estimator of d E f / d mu and d E f / d logvar", ""]
    notes = [
        "z: how many exact standard errors (+-) the measured number is off; beyond 5 something is wrong. "
        "Variance and time are those of one sample: one z, a pair for the antithetic estimators, 4 costs for "
        f"each coordinate for the measure-valued ones, one of {K} for leave-one-out. "
        "ratio: to pathwise's variance."
    ]
    for part, parameter in enumerate(PARAMETERS):
        rows = records[part : 2 * len(cost.estimators) : 2]
        heads = [
            "gradient\nexact",
            "\nmean",
            "\nz",
            "variance\nexact",
            "\nmeasured",
            "\n+-",
            "\nz",
            "ratio",
        ]
        lines += table([f"with respect to {parameter}", *heads, "us", "ratio\nx time"], map(_cells, rows))
        work = {r["estimator"]: r["exact_variance"] * r["microseconds"] for r in rows}
        zero = [name for name in work if work[name] <= 1e-14 * max(work.values())]
        ranked = sorted(work.keys() - set(zero), key=work.get)
        note = [f"no variance at all: {', '.join(zero)}"] * bool(zero)
        if len(ranked) > 1:
            other = next((n for n in ranked[1:] if n.startswith("score")), ranked[1])
            times = f"{work[other] / work[ranked[0]]:.3g} times as long"
            note.append(f"{ranked[0]} is the best for its time, {other} takes {times}")
        notes.append(f"With respect to {parameter}: {'; '.join(note)}.")
        lines.append("")
    return lines + [line for note in notes for line in wrapped(note)]


def _cells(r):
    name = f"leave-one-out, K = {K}" if r["estimator"] == "leave-one-out" else r["estimator"]
    values = [r[k] for k in ("exact_gradient", "mean", "exact_variance", "variance", "variance_error")]
    small = FLOOR * math.sqrt(r["exact_variance"]), FLOOR**2 * r["exact_gradient"] ** 2  # rounding
    gradient, mean, exact, measured, error = (
        0.0 if abs(v) < small[i > 1] else v for i, v in enumerate(values)
    )
    costs = number(r["microseconds"], 3), number(r["variance_time_ratio"], 3)
    z = [f"{r[k]:.1f}" for k in ("z_mean", "z_variance")]
    return [name, gradient, mean, z[0], exact, measured, number(error, 3), z[1], r["ratio"], *costs]


def figure_of(cost, records):
    """Exact lines and measured points: variance against a parameter of the cost, and against dimension."""
    figure, panels = canvas(2, 2, (11, 9), sharex="row")
    for row, (swept, grid, _) in zip(panels, (SWEEPS[cost.name], DIMS), strict=True):
        kind = type(getattr(cost, swept))
        costs = [cost._replace(**{swept: kind(value)}) for value in grid]
        exact = {name: np.array([c.moments(name) for c in costs])[..., 1] for name in cost.estimators}
        for part, axes in enumerate(row):
            points = [r for r in records if (r.get("swept"), r["parameter"]) == (swept, PARAMETERS[part])]
            _panel(axes, swept, grid, {name: line[:, part] for name, line in exact.items()}, points)
            fixed = {**cost.parameters, "D": cost.dim}
            given = ", ".join(f"{n} = {v:g}" for n, v in fixed.items() if n not in (swept, swept[0].upper()))
            axes.set_title(f"with respect to {PARAMETERS[part]}, at\n{given}", fontsize="medium")
            if swept == "dim" or cost.name == "exp":
                axes.set_xscale("log")
                axes.xaxis.set_major_formatter("{x:g}")
    handles = [axes.plot([], [], label=name, **style(name))[0] for name in cost.estimators]
    title = "lines: exact.  points: measured, with 2 standard errors.  rings: pathwise = score function"
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"Variance of each gradient estimator for E f(z), f(z) = {FORMULAS[cost.name]}")
    return figure


def _panel(axes, swept, grid, lines, points):
    """Lines (grid,) by estimator, measured points, and rings where pathwise meets the score function."""
    top = max(line.max() for line in lines.values()) or 1.0
    seen = {name: np.where(line > FLOOR * top, line, np.nan) for name, line in lines.items()}
    zero = [name for name, line in seen.items() if np.isnan(line).all()]
    for name in seen.keys() - set(zero):
        look = style(name)
        axes.plot(grid, seen[name], look["linestyle"], color=look["color"])
        own = [r for r in points if r["estimator"] == name and r["exact_variance"] > FLOOR * top]
        y, error = (np.array([r[k] for r in own]) for k in ("variance", "variance_error"))
        bar = [np.minimum(2 * error, 0.999 * y), 2 * error]
        axes.errorbar([r[swept] for r in own], y, bar, **look | {"linestyle": ""}, capsize=2)
    if zero:
        style_of_text = {"transform": axes.transAxes, "ha": "right", "fontsize": "small"}
        axes.text(
            0.98, 0.95, "zero: " + ("all" if len(zero) == len(seen) else ", ".join(zero)), **style_of_text
        )
    if len(zero) == len(seen):
        return
    low = min(np.nanmin(seen[name]) for name in seen.keys() - set(zero))
    axes.set_yscale("log")
    axes.set_ylim(max(low / 2, top * 1e-6), 3 * top)
    label = {"dim": "D, number of coordinates", "mu": "mu of z", "k": "k of the cost"}[swept]
    axes.set(xlabel=label, ylabel="variance of one sample")
    lead = np.log(np.maximum(lines["score-function"], TINY) / np.maximum(lines["pathwise"], TINY))
    for i in np.flatnonzero(lead[:-1] * lead[1:] < 0):
        share = lead[i] / (lead[i] - lead[i + 1])
        x = grid[i] + share * (grid[i + 1] - grid[i])
        y = math.exp(np.interp(x, grid, np.log(lines["pathwise"])))
        axes.plot(x, y, "o", color="#333333", markersize=13, fillstyle="none", zorder=9)
        axes.annotate(
            f"{swept} = {x:.2f}", (x, y), (9, -14), textcoords="offset points", weight="bold", zorder=10
        )
