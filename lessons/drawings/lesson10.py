"""Lesson 10: the stages of EM, and prototypes of digits."""

import numpy as np

from minivae import plots

from ..story import BLUE, GREEN, RED, canvas

SIZE = 14  # points, at the size shown
COLOURS = (BLUE, RED, GREEN)


def stages(x, found, runs):
    """Points in the mixed colour of their shares, components as ellipses; log p(x) of every start."""
    figure, panels = canvas(len(found) + 1, height=3.9, width=14)
    mixing = np.array([[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in COLOURS])
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)])  # (2, 100)
    for axes, (name, (mixture, shares)) in zip(panels, found.items(), strict=False):
        axes.scatter(*x.T, s=9, c=shares @ mixing, linewidths=0)
        for mean, cov, colour in zip(mixture.means, mixture.covariances, COLOURS, strict=True):
            axes.plot(*(mean[:, None] + 2 * np.linalg.cholesky(cov) @ circle), color="white", lw=4.5)
            axes.plot(*(mean[:, None] + 2 * np.linalg.cholesky(cov) @ circle), color=colour, lw=2.5)
        axes.set(xlim=(-6, 5), ylim=(-6, 5), aspect="equal", xlabel="$x_1$")
        axes.set(xticks=(-4, 0, 4), yticks=(-4, 0, 4))
        axes.set_title(name, size=SIZE)
    panels[0].set_ylabel("$x_2$")
    ends = np.array([run[-1] for run in runs])
    last = panels[-1]
    for run, end in zip(runs, ends, strict=True):
        colour = BLUE if end > ends.max() - 1e-3 else RED
        last.plot(np.arange(len(run)) + 1, run, color=colour, lw=1.5, alpha=0.7)
    good = (ends > ends.max() - 1e-3).sum()
    last.text(1.2, ends.max() + 0.015, f"{good} of 20 starts", color=BLUE, size=SIZE)
    last.text(280, ends.min() - 0.07, "the others", color=RED, size=SIZE, ha="right")
    last.set(
        xscale="log", xlim=(1, 300), ylim=(-4.2, ends.max() + 0.12), xlabel="step", ylabel="log p(x), nats"
    )
    last.set_title("EM need not find the best", size=SIZE)
    for axes in panels:
        axes.tick_params(labelsize=12)
        axes.xaxis.label.set_size(SIZE)
        axes.yaxis.label.set_size(SIZE)
    return figure


def prototypes(mixture):
    """Pixel probabilities of the components, the heaviest first, with their weights."""
    order = np.argsort(-mixture.weights)
    figure, axes = canvas(height=2.6, width=10)
    axes.imshow(plots.tile(mixture.means[order].round(2), (28, 28), 10, gap=12), cmap="gray_r")
    for place, k in enumerate(order):
        row, column = divmod(place, 10)
        axes.text(
            14 + 40 * column, 37 + 40 * row, f"{100 * mixture.weights[k]:.0f} %", ha="center", size=SIZE
        )
    axes.set_ylim(78, 0)
    axes.set_axis_off()
    axes.set_title("20 prototypes of digits, with their weights", size=SIZE)
    return figure
