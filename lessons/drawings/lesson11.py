"""Lesson 11: the bias of a bound, a mean-field q, and what closes a gap."""

import numpy as np

from ..story import BLUE, GREEN, GREY, RED, canvas

SIZE = 14  # points, at the size shown


def _finish(*panels):
    for axes in panels:
        axes.tick_params(labelsize=12)
        axes.xaxis.label.set_size(SIZE)
        axes.yaxis.label.set_size(SIZE)
        axes.title.set_size(SIZE)


def estimates(w, curves, rho):
    """Bounds and log p(x) against w, each with its maximum; a correlated posterior and its mean-field q."""
    figure, (left, right) = canvas(2, height=4.2, width=10.5)
    colours = {"log p(x)": BLUE, "L_100": GREEN, "ELBO": RED}
    names = {"L_100": "K = 100"}
    for name, colour in colours.items():
        heights = curves[name]
        i = heights.argmax()
        left.plot(w, heights, color=colour, lw=2.5)
        left.plot(w[i], heights[i], "o", color=colour, ms=10)
        place = "top" if name == "L_100" else "bottom"
        left.text(w[-1] + 0.01, heights[-1], names.get(name, name), color=colour, size=SIZE, va=place)
    left.set(
        xlim=(w[0], w[-1] + 0.14),
        xlabel="weight w of the decoder; the data have w = 1",
        ylabel="mean over the data, nats",
    )
    left.set_title("The ELBO is largest at another w")
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    root = np.linalg.cholesky(np.array([[1, rho], [rho, 1]]))
    for radius in (1, 2):
        right.plot(*(radius * root @ circle), color=BLUE, lw=2)
        right.plot(*(radius * np.sqrt(1 - rho**2) * circle), color=RED, lw=2)
    right.text(-2.1, 1.3, "posterior,\ncorrelation 0.9", color=BLUE, size=SIZE)
    right.text(0.7, -1.5, "best independent q:\nvariance 0.19, not 1", color=RED, size=SIZE, ha="left")
    right.set(xlim=(-2.3, 3.1), ylim=(-2.2, 2.2), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    right.set_title("Mean field is too narrow")
    _finish(left, right)
    return figure


def gaps(counts, loss, variance, gap):
    """The gap against K for two q's; the two parts of a VAE's gap."""
    figure, (left, right) = canvas(2, height=4.2, width=10.5)
    for (name, found), colour in zip(loss.items(), (RED, BLUE), strict=True):
        means, errors = np.array(found).T
        left.errorbar(
            counts, means, 2 * errors, fmt="o" if name == "wide q" else "o-", color=colour, lw=2, ms=7
        )
        left.text(*{"wide q": (1.3, 2.2), "narrow q": (60, 0.32)}[name], name, color=colour, size=SIZE)
    fine = np.geomspace(3, 1000, 20)
    left.plot(fine, variance / 2 / fine, color=GREY, lw=1.5, ls="--")
    left.text(130, variance / 2 / 65, "Var / 2K", color=GREY, size=SIZE)
    left.set(xscale="log", yscale="log", ylim=(2e-4, 5), xlabel="samples K", ylabel="log p(x) - bound, nats")
    left.set_title("Only a q that covers gains from samples")
    order = np.argsort(gap.amortization + gap.approximation)
    place, family = np.arange(len(order)), gap.approximation[order].clip(0)  # below 0 by chance alone
    right.bar(place, family, color=RED)
    right.bar(place, gap.amortization[order], bottom=family, color=BLUE)
    top = (gap.amortization + gap.approximation).max()
    right.text(0, 0.9 * top, "amortization", color=BLUE, size=SIZE)
    right.text(0, 0.8 * top, "approximation", color=RED, size=SIZE)
    right.set(xticks=[], xlabel="24 test images", ylabel="gap, nats")
    right.set_title("Most of this gap is the encoder's")
    _finish(left, right)
    return figure
