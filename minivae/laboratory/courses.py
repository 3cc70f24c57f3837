"""Training: the same VAE, the same data, the same seeds; only how the gradient crosses the sampling differs.

Variance is not an end in itself. Here its price is paid: at equal steps, where only the noise of the gradient
differs, and at equal time, where an estimator that is cheap may take more steps.
"""

from typing import NamedTuple

import numpy as np

from .. import arguments, data
from ..config import Config
from ..runs import Run

# estimator, baseline, what the figure calls it, its colour after Paul Tol's schemes
WAYS = (
    ("pathwise", "none", "pathwise", "#0077bb"),
    ("score-function", "leave-one-out", "score function, leave-one-out", "#009988"),
    ("score-function", "moving-average", "score function, moving average", "#ee7733"),
    ("score-function", "none", "score function, no baseline", "#cc3311"),
)
NETWORK = {"hidden": (200,), "latent": 10, "samples": 8}
TEST_IMAGES = 2000
POINTS = 6  # of a curve, in each epoch


class Course(NamedTuple):
    """One training run: test loss after so many steps and so many seconds."""

    way: str
    seed: int
    steps: np.ndarray
    seconds: np.ndarray  # of training alone
    losses: np.ndarray  # negative ELBO, nats per image

    def loss_at(self, seconds):
        """The test loss at a moment between two points."""
        return float(np.interp(seconds, self.seconds, self.losses))


class Report(NamedTuple):
    """Every course, and what they say together."""

    courses: list
    epochs: int

    @property
    def moment(self):
        """Seconds that every course has been trained for: the end of the quickest."""
        return min(course.seconds[-1] for course in self.courses)

    def of(self, way):
        """The courses of one estimator, a seed each."""
        return [course for course in self.courses if course.way == way]

    def lines(self):
        """The table."""
        steps, seeds = self.courses[0].steps[-1], len(self.of(WAYS[0][2]))
        (width,), latent, samples = NETWORK.values()
        yield f"A VAE 784-{width}-{latent}, S = {samples} samples of z for each image, Adam, {seeds} seeds:"
        yield "negative ELBO of test images in nats, median over seeds [lowest, highest]"
        yield ""
        yield (
            f"{'gradient':32} {'ms a step':>9}   {f'after {steps} steps':^25}   "
            f"{f'after {self.moment:.0f} s of training':^25}"
        )
        for *_, way, _ in WAYS:
            courses = self.of(way)
            speed = 1e3 * np.mean([course.seconds[-1] / course.steps[-1] for course in courses])
            at_steps = _spread([course.losses[-1] for course in courses])
            at_time = _spread([course.loss_at(self.moment) for course in courses])
            yield f"{way:32} {speed:9.2f}   {at_steps:^25}   {at_time:^25}"

    def records(self):
        """A line for every point of every curve."""
        return [
            {
                "kind": "train",
                "gradient": course.way,
                "seed": course.seed,
                "step": step,
                "seconds": s,
                "loss": l,
            }
            for course in self.courses
            for step, s, l in zip(
                course.steps.tolist(), course.seconds.tolist(), course.losses.tolist(), strict=True
            )
        ]

    def figure(self):
        """Test loss against steps, and against seconds up to the moment that all have reached."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4.8), layout="constrained")
        by_steps, by_time = figure.subplots(1, 2, sharey=True)
        for *_, way, colour in WAYS:
            courses = self.of(way)
            losses = np.array([course.losses for course in courses])
            _curve(by_steps, courses[0].steps, losses, colour, way)
            seconds = np.linspace(0, self.moment, 60)
            losses = np.array([np.interp(seconds, course.seconds, course.losses) for course in courses])
            _curve(by_time, seconds, losses, colour, way)
        best = min(course.losses.min() for course in self.courses)
        start = max(course.losses[0] for course in self.courses)  # who diverges leaves the picture
        by_steps.set_ylim(best - 0.05 * (start - best), start)
        by_steps.set(xlabel="steps", ylabel="negative ELBO of test images, nats")
        by_time.set(xlabel="seconds of training")
        by_steps.set_title("the same steps", loc="left")
        by_time.set_title("the same time", loc="left")
        figure.legend(
            *by_time.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=2,
            frameon=False,
            title="gradient through the sampling of z; thin lines are seeds, thick ones their median",
        )
        for axes in (by_steps, by_time):
            axes.spines[["top", "right"]].set_visible(False)
        return figure


def measure(epochs=3, seeds=3, seed=0, progress=lambda items, what: items, dataset=None):
    """Train with every estimator of `WAYS`, `seeds` times each -> Report.

    dataset: another than MNIST, as `data.load_dataset` gives it.
    """
    epochs, seeds = arguments.integer("epochs", epochs), arguments.integer("seeds", seeds)
    seed = arguments.integer("seed", seed, at_least=0)
    stored = data.load_dataset() if dataset is None else dataset
    stored = stored._replace(x_test=stored.x_test[:TEST_IMAGES], y_test=None)
    courses = []
    bar = iter(progress(range(seeds * epochs * (POINTS + 1)), "training"))
    for s in range(seed, seed + seeds):
        # in turns of a sixth of an epoch, so that a slow minute of the machine is everybody's
        latest = ()
        for so_far in zip(*(_course(way, s, epochs, stored) for way in WAYS), strict=True):
            latest = so_far
            next(bar, None)
        courses += latest
    return Report(courses, epochs)


def _course(way, seed, epochs, stored):
    """Train, and yield the Course so far at every point of the curve."""
    estimator, baseline, name, _ = way
    run = Run(Config(seed=seed, epochs=epochs, estimator=estimator, baseline=baseline, **NETWORK), stored)
    per_epoch = -(-len(run.data.x_train) // run.config.batch_size)
    every = max(1, per_epoch // POINTS)
    points, seconds = [(0, 0.0, run.test_terms().loss)], 0.0
    while run.epoch < epochs:
        complete = run.train_epoch(stop=lambda: run.step % every == 0)
        step, now = run.epoch * per_epoch + run.step, seconds + run.elapsed
        points.append((step, now, run.test_terms().loss))
        if complete:
            seconds = now
            run.close_epoch()
        yield Course(name, seed, *(np.array(column) for column in zip(*points, strict=True)))


def _spread(values):
    return f"{np.median(values):7.2f} [{min(values):.2f}, {max(values):.2f}]"


def _curve(axes, x, losses, colour, label):
    """Every seed, and their median."""
    axes.plot(x, np.transpose(losses), color=colour, linewidth=0.7, alpha=0.6)
    axes.plot(x, np.median(losses, axis=0), color=colour, label=label, linewidth=2)
