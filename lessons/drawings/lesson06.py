"""Figures of lesson 6."""

import matplotlib
import numpy as np

from ..story import BLUE, GREEN, RED, STYLES, canvas

slide = matplotlib.rc_context({"font.size": 14, "axes.titlesize": 14})  # points, at the size shown


@slide
def two_tricks(score, path, variances):
    """Estimates of one gradient, 4, at mu = 2, std = 1, from samples (n,): curves, and some running means."""
    figure, (left, right) = canvas(2, height=4.6, width=11.5)
    z, count = np.linspace(-1.5, 5.5, 200), np.arange(1, 2001)
    left.fill_between(z, 200 * np.exp(-0.5 * (z - 2) ** 2) / np.sqrt(2 * np.pi), color="0.88", linewidth=0)
    left.text(2, 22, "density\nof z", ha="center")
    left.plot(z, z**2 * (z - 2), color=RED, linestyle=STYLES[RED], linewidth=2.5)
    left.plot(z, 2 * z, color=BLUE, linestyle=STYLES[BLUE], linewidth=2.5)
    left.text(4.5, 85, "score function,\n$z^2 (z - 2)$", color=RED, ha="right")
    left.text(5.5, -9, "pathwise, $2z$", color=BLUE, ha="right")
    for grad, variance, colour in ((score, variances[0], RED), (path, variances[1], BLUE)):
        for run in grad[: 6 * len(count)].reshape(6, -1):
            right.plot(count, np.cumsum(run) / count, color=colour, linewidth=1)
        for side in (-2, 2):
            band = 4 + side * np.sqrt(variance / count)
            right.plot(count, band, color=colour, linestyle=STYLES[colour], linewidth=2.5)
    right.text(2000, 5.1, "score function: 6 runs", color=RED, ha="right")
    style = {"arrowstyle": "-", "color": BLUE}
    right.annotate("pathwise: 6 runs", (1700, 3.9), (1700, 2.6), color=BLUE, ha="center", arrowprops=style)
    right.axhline(4, color="black", linewidth=1)
    right.text(2030, 4, "exact: 4", va="center")
    left.set(xlabel="z", ylabel="gradient w.r.t. mu", ylim=(-15, 110), title="The estimate from one sample")
    right.set(xlabel="samples", ylim=(2, 6), xlim=(0, 2000), title="Running means, and 2 standard errors")
    right.set_xticks(range(0, 2001, 500))
    return figure


@slide
def baselines_and_dimensions(parabola, levels, growth, measured):
    """Variances by baseline, t -> one, with measured levels; growth, name -> L -> one, and measured ones."""
    figure, (left, right) = canvas(2, height=4.6, width=11.5)
    t, L = np.linspace(-1, 15, 100), np.geomspace(1, 100, 50)
    left.plot(t, parabola(t), color=RED, linestyle=STYLES[RED], linewidth=2.5)
    left.plot(list(levels), list(levels.values()), "o", color=RED, markersize=8)
    left.axhline(4, color=BLUE, linestyle=STYLES[BLUE], linewidth=2.5)
    left.text(7, 31, "least: 38 at t = 7", color=RED, ha="center", va="top")
    left.text(15, 7, "pathwise: 4", color=BLUE, ha="right")
    left.set(xlabel="baseline t", ylabel="variance w.r.t. mu", ylim=(0, 110), title="One latent")
    labels = ("score function: $(L+2)(L+4)$", "best baseline: $2L+4$", "pathwise: 4")
    for (name, exact), colour in zip(growth.items(), (RED, GREEN, BLUE), strict=True):
        right.loglog(L, exact(L), color=colour, linestyle=STYLES[colour], linewidth=2.5)
        right.loglog((1, 10, 100), [measured[name, d] for d in (1, 10, 100)], "o", color=colour, markersize=8)
    for place, label, colour in zip(
        ((1.2, 600), (11, 10), (1.2, 2.4)), labels, (RED, GREEN, BLUE), strict=True
    ):
        right.text(*place, label, color=colour)
    right.set(xlabel="latents L", title="L latents (dots: measured)", ylim=(1.5, 3e4))
    return figure


@slide
def crossing(variances, measured, k_equal):
    """Variances against k, k -> (pathwise, score function), beside measured ones, and where they cross."""
    figure, axes = canvas(height=4.6, width=9.0)
    k = np.linspace(0.05, 3.2, 200)
    for i, colour, label, height in ((0, BLUE, "pathwise", 3.6), (1, RED, "score function", 0.8)):
        axes.plot(k, variances(k)[i], color=colour, linestyle=STYLES[colour], linewidth=2.5)
        axes.plot(list(measured), [pair[i] for pair in measured.values()], "o", color=colour, markersize=8)
        axes.text(2.4, height, label, color=colour, ha="right")
    axes.axvline(k_equal, color="black", linewidth=0.8)
    axes.text(k_equal - 0.05, 4.4, f"k = {k_equal:.4f}", ha="right")
    axes.set(xlabel="k", ylabel="variance of the gradient w.r.t. mu", ylim=(0, 5.2))
    axes.set_title("cos(kz): pathwise is worse where the slope varies (dots: measured)")
    return figure
