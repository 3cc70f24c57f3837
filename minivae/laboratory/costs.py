"""A cost whose exact gradient and variance are known: do the estimators scatter as they must?

Every estimator draws many gradients of E[f(z)]. Their mean is held against the exact gradient with the exact
standard error, their variance against the exact one with the standard error that the exact fourth moment
gives. The draws are made in chunks that stay in the processor's cache, on as many threads as the kernels may
use; each chunk has noise of its own, so that the numbers are the same on one thread and on many.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from .. import arguments, kernels
from ..estimators import Moments
from . import cost_table, trials
from .known_costs import Cost, K, known_cost

SAMPLES = 100_000
LEAST = 2 * K  # samples: two estimates of leave-one-out
AT_ONCE = 100_000  # numbers in one array of a chunk: in the cache, and yet long enough for two threads
TINY = np.finfo(float).tiny
PARAMETERS = ("mu", "logvar")
# what the figure sweeps: the parameter's name, the grid of the exact lines, the points that are measured
SWEEPS = {
    "quadratic": ("mu", np.linspace(-3, 3, 31), np.linspace(-3, 3, 7)),
    "cos": ("k", np.linspace(0.1, 3, 31), np.linspace(0.3, 2.7, 7)),
    "exp": ("k", np.geomspace(0.05, 10, 31), np.geomspace(0.08, 7, 7)),
    "kl": ("mu", np.linspace(0, 2, 31), np.linspace(0.05, 1.95, 7)),
}
DIM_GRID = np.unique(np.geomspace(1, 100, 15).round().astype(int))
DIMS = (1, 3, 10, 30, 100)
POINT_SAMPLES = 20_000  # of one measured point, at most
POINT_NUMBERS = 30_000_000  # that its cost takes in, about; but at least 200 samples


class Row(NamedTuple):
    """One estimator by one parameter of one cost: what was measured beside what must be.

    Variances are those of one sample; of leave-one-out, K times the variance of the mean of its K.
    """

    cost: Cost
    estimator: str
    parameter: str  # mu or logvar
    samples: int
    draws: int  # independent: samples, or samples / K
    exact: Moments
    mean: float
    variance: float
    seconds: float  # of one sample
    scale: float  # a gradient below 1e-12 of it is rounding

    @property
    def variance_error(self):
        """The exact standard error of the measured variance."""
        return self.exact.variance_error(self.draws)

    @property
    def z_mean(self):
        """How many exact standard errors the mean is off."""
        error = (self.exact.variance / self.samples) ** 0.5
        return (self.mean - self.exact.mean) / max(error, 1e-12 * self.scale, TINY)

    @property
    def z_variance(self):
        """How many exact standard errors the variance is off."""
        return (self.variance - self.exact.variance) / max(self.variance_error, 1e-12 * self.scale**2, TINY)

    def record(self, kind):
        """Everything as a flat dictionary; seconds as microseconds."""
        where = {**self.cost.parameters, "dim": self.cost.dim, "samples": self.samples}
        what = {"kind": kind, "cost": self.cost.name, **where}
        return what | {
            "estimator": self.estimator,
            "parameter": self.parameter,
            "exact_gradient": self.exact.mean,
            "mean": self.mean,
            "z_mean": self.z_mean,
            "exact_variance": self.exact.variance,
            "variance": self.variance,
            "variance_error": self.variance_error,
            "z_variance": self.z_variance,
            "microseconds": 1e6 * self.seconds,
        }


class Report:
    """What `measure` found: `rows` of the table, and the figure's {swept parameter: rows} in `sweeps`."""

    def __init__(self, cost, seed, rows, sweeps):
        self.cost, self.seed, self.rows, self.sweeps = cost, seed, rows, sweeps

    def lines(self):
        """The table, line by line, at most 120 columns wide."""
        yield from cost_table.lines(self)

    def records(self):
        """A dictionary for each row of the table (kind cost) and each point of the figure (cost sweep)."""
        for row in self.rows:
            against = {"ratio": self.ratio(row), "variance_time_ratio": self.ratio(row, timed=True)}
            yield row.record("cost") | against | {"seed": self.seed}
        for swept, points in self.sweeps.items():
            for row in points:
                yield row.record("cost sweep") | {"swept": swept, "seed": self.seed}

    def ratio(self, row, timed=False):
        """Exact variance, or variance x time, relative to pathwise; inf, or nan for 0 / 0."""
        base = next(r for r in self.rows if (r.estimator, r.parameter) == ("pathwise", row.parameter))
        ours, theirs = (r.exact.variance * (r.seconds if timed else 1) for r in (row, base))
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(ours, theirs))

    def figure(self):
        """Variance against the cost's parameter and against dimension -> Figure."""
        from .cost_chart import cost_chart

        return cost_chart(self)


def measure(name, *, a=1.0, b=0.0, c=0.0, k=1.0, mu=2.0, std=1.0, dim=1, samples=None, seed=0, progress=None):
    """Every estimator of the gradient of one cost, measured beside its exact moments -> Report.

    name: quadratic (a z^2 + b z + c), cos (cos k z), exp (e^(-k z^2)) or kl (log q - log N(0, 1)), summed
    over `dim` coordinates of z ~ N(mu, std^2). `samples` of each estimator, at least 16, 100 000 by default.
    progress(items, what, **settings) wraps the chunks in a progress bar, as tqdm does.
    """
    cost = known_cost(name, a=a, b=b, c=c, k=k, mu=mu, std=std, dim=dim)
    samples = arguments.integer("samples", SAMPLES if samples is None else samples, at_least=LEAST)
    seed = arguments.integer("seed", seed, at_least=0)
    swept, _, values = SWEEPS[name]
    points = {
        swept: [cost._replace(**{swept: float(value)}) for value in values],
        "dim": [cost._replace(dim=D) for D in DIMS],
    }
    jobs = {None: [(cost, e, samples) for e in cost.estimators]}
    for name, costs in points.items():
        jobs[name] = [(at, e, min(samples, _enough(at, e))) for at in costs for e in at.estimators]
    every = [job for some in jobs.values() for job in some]
    exact = {(at, e): at.moments(e) for at, e, _ in every}  # before the work: it says what overflows
    found = iter(_trials(every, seed, progress))
    rows = {
        name: [
            _row(*job[:2], part, exact, trial) for job in some for trial in [next(found)] for part in (0, 1)
        ]
        for name, some in jobs.items()
    }
    return Report(cost, seed, rows.pop(None), rows)


def _enough(cost, estimator):
    """Samples of a measured point of the figure."""
    evaluations = 4 * cost.dim if estimator.startswith("measure-valued") else 1
    return max(200, min(POINT_SAMPLES, POINT_NUMBERS // (evaluations * cost.dim)))


def _row(cost, estimator, part, exact, trial):
    together = _together(estimator)
    plain = exact[cost, "score-function"][part]
    one = exact[cost, estimator][part]
    return Row(
        cost,
        estimator,
        PARAMETERS[part],
        samples=trial.n * together,
        draws=trial.n,
        exact=one._replace(variance=together * one.variance, fourth=together**2 * one.fourth),
        mean=float(trial.mean[part]),
        variance=float(trial.variance[part]) * together,
        seconds=trial.seconds / together,
        scale=abs(plain.mean) + plain.variance**0.5,
    )


def _together(estimator):
    """Samples that make one draw."""
    return K if estimator == "leave-one-out" else 1


# ------------------------------------------------------------------------------ the draws


def _trials(jobs, seed, progress):
    """(cost, estimator, samples) each -> a Trial each."""
    tasks = []
    noises = np.random.SeedSequence(seed).spawn(len(jobs))
    for i, (cost, estimator, samples) in enumerate(jobs):
        together = _together(estimator)
        at_once = min(AT_ONCE, max(10_000, samples * cost.dim // 10))  # some ten chunks, for a fair time
        sizes = trials.chunks(samples // together, cost.dim * together, at_once)
        draw = cost.sampler(estimator)
        draw(min(sizes[0], 1000), np.random.default_rng(0))  # what is slow only once is not timed
        turns = range(len(sizes))
        tasks += zip(
            turns, [i] * len(sizes), [draw] * len(sizes), sizes, noises[i].spawn(len(sizes)), strict=True
        )
    tasks.sort(key=lambda task: task[:2])  # estimators take turns: what slows the machine slows them all
    found = [None] * len(jobs)
    pool = ThreadPoolExecutor(kernels.get_threads())
    try:
        done = pool.map(_chunk, tasks)
        for i, trial in progress(done, "variance", total=len(tasks)) if progress else done:
            found[i] = trials.merge(found[i], trial) if found[i] else trial
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _chunk(task):
    _, i, draw, size, noise = task
    rng = np.random.default_rng(noise)
    return i, trials.one(lambda n: draw(n, rng), size, time.thread_time)  # others' work does not count
