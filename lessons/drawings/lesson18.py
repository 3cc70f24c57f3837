"""The figures of lesson 18."""

import numpy as np

from ..story import BLUE, GREY, RED, STYLES
from .slide import TEXT, label, slide


def sparse_and_binary(xs, maps, means, courses):
    """MAP and mean of z against x; running means of the loss with and without leave-one-out."""
    titles = "Laplace prior: only the MAP is sparse", "Binary latents: a baseline decides"
    figure, (left, right) = slide(titles, height=4.4)
    notes = {
        "MAP: exactly 0\nfor |x| < 1/2": (maps, RED, (-0.3, 0), (-2.7, 0.9)),
        "posterior mean:\n0 only at x = 0": (means, BLUE, (0.55, 0.34), (0.3, -1.9)),
    }
    for words, (values, colour, at, place) in notes.items():
        left.plot(xs, values, color=colour, lw=2.5)
        line = {"arrowstyle": "-", "color": colour}
        left.annotate(words, at, place, color=colour, fontsize=TEXT, arrowprops=line)
    left.set(xlabel="x", ylabel="estimate of z")
    wide = 20
    for name, colour, y in (("score-function", RED, 203), ("leave-one-out", BLUE, 155)):
        running = np.convolve(courses[name], np.ones(wide) / wide, "valid")
        steps = np.arange(len(running)) + wide
        right.plot(steps, running, color=colour, ls=STYLES[colour], lw=2.5)
        label(right, steps[-1], y, name.replace("score-", "score "), colour, ha="right")
    right.set(ylim=(148, 215), xlabel="step", ylabel="loss, nats per image")
    return figure


def plane(codes, mixture):
    """Codes (n, 2) with the circles of N(0, I), and with the ellipses of the mixture's components."""
    figure, panels = slide(("N(0, I) and the codes", "Ten Gaussians fitted to the codes"), height=6.0)
    turn = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(turn), np.sin(turn)])  # (2, 200)
    for panel in panels:
        panel.plot(*codes.T, ".", color=GREY, markersize=2, alpha=0.6)
        panel.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    box = {"fc": "white", "ec": "none", "pad": 1}
    for radius in (1, 2, 3):
        panels[0].plot(*(radius * circle), color=BLUE, lw=2)
        label(panels[0], 0, radius, f"{radius} std", BLUE, ha="center", va="center", bbox=box)
    for weight, mean, variance in zip(mixture.weights, mixture.means, mixture.covariances, strict=True):
        panels[1].plot(*(mean[:, None] + 2 * np.sqrt(variance)[:, None] * circle), color=RED, lw=15 * weight)
    label(panels[1], -4.8, -4.7, "2 std of each; the thicker, the more weight", RED)
    return figure
