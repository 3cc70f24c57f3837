"""Lesson 9: which latents of a linear VAE are in use, and what they draw."""

import numpy as np

from ..story import BLUE, GREEN, GREY, RED, canvas

SIZE = 14  # points, at the size shown
VARIANCES = {1.0: (RED, "v = 1"), 0.5: (GREEN, "v = 1/2")}


def live(values, trained, digits):
    """The KL of a linear VAE against its fixed v, trained (dots) and exact; eigenvalues of MNIST."""
    figure, (left, right) = canvas(2, height=4.0, width=10.5)
    v = np.geomspace(0.3, 12, 400)  # (400,)
    exact = [0.5 * np.log(values[:5] / one).clip(0).sum() for one in v]
    left.semilogx(v, exact, color=BLUE, lw=2.5)
    left.semilogx(list(trained), list(trained.values()), "o", color=RED, ms=10)
    for i, value in enumerate(values[:3]):
        left.axvline(value, color=GREY, lw=1, ls=":")
        left.text(
            value * 0.97, 4.0, f"eigenvalue {i + 1}", color=GREY, rotation=90, ha="right", va="top", size=12
        )
    left.text(2.15, 1.2, "trained", color=RED, size=SIZE)
    left.text(0.34, 1.7, "exact", color=BLUE, size=SIZE)
    left.set(ylim=(-0.1, 4.1), xlabel="fixed noise variance v", ylabel="KL of all latents, nats")
    left.set_xticks([0.5, 1, 2, 5, 10], ["0.5", "1", "2", "5", "10"])
    left.minorticks_off()
    left.set_title("A latent collapses when v passes its eigenvalue", size=SIZE)
    number = np.arange(1, 41)
    right.semilogy(number, digits[:40], ".", color=BLUE, ms=9)
    for v, (colour, name) in VARIANCES.items():
        count = (digits > v).sum()
        right.axhline(v, color=colour, lw=2)
        right.text(40, v * 1.06, f"{name}: {count} above", color=colour, ha="right", size=SIZE)
    right.set(xlabel="direction", ylabel="eigenvalue of MNIST's pixels")
    right.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    right.minorticks_off()
    right.set_title("With unit variance MNIST has 12 live latents", size=SIZE)
    for axes in (left, right):
        axes.tick_params(labelsize=12)
        axes.xaxis.label.set_size(SIZE)
        axes.yaxis.label.set_size(SIZE)
    return figure
