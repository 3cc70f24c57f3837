"""Training with different estimators: the same VAE, data and seeds.

Variance matters for what it does to training: at equal steps, where only the noise of the gradient differs,
and at equal time, where a cheap estimator takes more steps.
"""

from functools import partial

import numpy as np

from minivae import data
from minivae.config import Config
from minivae.runs import Run

from .show import Report, canvas, count, style, table

# name in the table: estimator, baseline, name of its style
WAYS = {
    "pathwise": ("pathwise", "none", "pathwise"),
    "score function, leave-one-out": ("score-function", "leave-one-out", "leave-one-out"),
    "score function, moving average": ("score-function", "moving-average", "moving-average"),
    "score function, no baseline": ("score-function", "none", "score-function"),
}
NETWORK = {"hidden": (200,), "latent": 10, "samples": 8}
TEST_IMAGES = 2000
POINTS = 6  # of a curve, in each epoch


def measure(epochs=3, seeds=3, seed=0, progress=lambda items: items, dataset=None):
    """Train with every estimator of `WAYS`, `seeds` times each -> Report.

    dataset: another than MNIST, from `data.load_dataset`.
    """
    epochs, seeds = count("epochs", epochs, most=10_000), count("seeds", seeds, most=10_000)
    seed = count("seed", seed, 0)
    stored = data.load_dataset() if dataset is None else dataset
    stored = stored._replace(x_test=stored.x_test[:TEST_IMAGES], y_test=None)
    bar = iter(progress(range(seeds * epochs * (POINTS + 1))))
    courses = {way: [] for way in WAYS}  # way -> [(steps, seconds of training, losses)], one for each seed
    for s in range(seed, seed + seeds):
        # all estimators take turns of a sixth of an epoch, so that a slow minute slows all of them
        latest = ()
        for latest in zip(*(_course(way, s, epochs, stored) for way in WAYS), strict=True):  # noqa: B007
            next(bar, None)
        for way, points in zip(WAYS, latest, strict=True):
            courses[way].append(np.transpose(points))
    records = [
        {"kind": "train", "gradient": way, "seed": seed + i, "step": int(step), "seconds": s, "loss": loss}
        for way, of_seeds in courses.items()
        for i, course in enumerate(of_seeds)
        for step, s, loss in course.T.tolist()
    ]
    return Report(list(_lines(courses, seeds)), records, partial(_figure, courses))


def _course(way, seed, epochs, stored):
    """Train, and yield the points (step, seconds, test loss) so far at every point of the curve."""
    estimator, baseline, _ = WAYS[way]
    run = Run(Config(seed=seed, epochs=epochs, estimator=estimator, baseline=baseline, **NETWORK), stored)
    per_epoch = -(-len(run.data.x_train) // run.config.batch_size)
    every = max(1, per_epoch // POINTS)
    points, seconds = [(0, 0.0, run.test_terms().loss)], 0.0
    while run.epoch < epochs:
        complete = run.train_epoch(stop=lambda: run.step % every == 0)
        now = seconds + run.elapsed_seconds
        points.append((run.epoch * per_epoch + run.step, now, run.test_terms().loss))
        if complete:
            seconds = now
            run.close_epoch()
        yield points


def _moment(courses):
    """Seconds for which every course has trained: the end of the fastest."""
    return min(seconds[-1] for of_seeds in courses.values() for _, seconds, _ in of_seeds)


def _lines(courses, seeds):
    (width,), latent, samples = NETWORK.values()
    yield f"A VAE 784-{width}-{latent}, S = {samples} samples of z for each image, Adam, {seeds} seeds:"
    yield "negative ELBO of test images in nats, median over seeds [lowest, highest]"
    rows, moment = [], _moment(courses)
    for way, of_seeds in courses.items():
        ends = [losses[-1] for _, _, losses in of_seeds], [np.interp(moment, s, l) for _, s, l in of_seeds]
        speed = 1e3 * np.mean([seconds[-1] / steps[-1] for steps, seconds, _ in of_seeds])
        spreads = (f"{np.median(v):.2f} [{min(v):.2f}, {max(v):.2f}]" for v in ends)
        rows.append([way, f"{speed:.2f}", *spreads])
    heads = ["gradient", "ms a step", f"after {of_seeds[0][0][-1]:.0f} steps", f"after {moment:.0f} s"]
    yield from ("", *table(heads, rows))


def _figure(courses):
    """Test loss against steps, and against seconds up to the moment that all have reached."""
    figure, ((by_steps, by_time),) = canvas(1, 2, (11, 5), sharey=True)
    moments = np.linspace(0, _moment(courses), 60)
    for way, of_seeds in courses.items():
        colour = style(WAYS[way][2])["color"]
        timed = [np.interp(moments, seconds, losses) for _, seconds, losses in of_seeds]
        curves = (by_steps, of_seeds[0][0], [losses for _, _, losses in of_seeds]), (by_time, moments, timed)
        for axes, x, losses in curves:
            axes.plot(x, np.transpose(losses), color=colour, linewidth=0.7, alpha=0.6)
            axes.plot(x, np.median(losses, axis=0), color=colour, label=way, linewidth=2)
    losses = np.array([c[2] for of_seeds in courses.values() for c in of_seeds])
    best, start = losses.min(), losses[:, 0].max()  # a course that diverges leaves the picture
    by_steps.set_ylim(best - 0.05 * (start - best), start)
    by_steps.set(xlabel="steps", ylabel="negative ELBO of test images, nats", title="equal steps")
    by_time.set(xlabel="seconds of training", title="equal time")
    title = "gradient estimator for the sampling step; thin lines are seeds, thick lines their median"
    handles = by_time.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=2, frameon=False, title=title)
    return figure
