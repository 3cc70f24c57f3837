"""Figures of lesson 13."""

import numpy as np

from ..story import BLUE, GREY, RED, canvas

SIZE = 14  # points


def rate_and_water(curve, eigenvalues, level):
    """Left: beta -> (loss, nll, kl), each with a line of slope -beta. Right: eigenvalues (D,) and a level."""
    figure, (left, right) = canvas(2, height=4.6, width=12)
    for beta, (_, nll, kl) in curve.items():
        reach = np.array([-1.0, 1.0]) * 4 / np.hypot(1, beta)  # nats of kl to each side
        left.plot(kl + reach, nll - beta * reach, color=RED, lw=1.5)
        left.plot(kl, nll, "o", color=BLUE, markersize=8)
        left.text(kl + 0.6, nll + 0.9, rf"$\beta$ = {beta:g}", color=BLUE, fontsize=SIZE)
    left.text(0.42, 0.86, r"red: slope $-\beta$", color=RED, fontsize=SIZE, transform=left.transAxes)
    left.set_xlim(right=30)
    left.set_xlabel("rate: kl, nats per image", fontsize=SIZE)
    left.set_ylabel("distortion: nll, nats per image", fontsize=SIZE)
    left.set_title("One VAE, five weights of the KL", loc="left", fontsize=SIZE)
    places = np.arange(1, len(eigenvalues) + 1)
    right.bar(places, eigenvalues, color=BLUE, width=0.7)
    right.bar(places, np.minimum(eigenvalues, level), color=GREY, width=0.7)
    right.axhline(level, color=RED, ls="--", lw=2)
    right.set_yscale("log")
    right.text(len(eigenvalues) + 0.4, level * 1.12, r"level $\beta v$", color=RED, fontsize=SIZE, ha="right")
    right.text(3.2, eigenvalues[0] * 0.75, "blue: in the code", color=BLUE, fontsize=SIZE)
    right.text(3.2, eigenvalues[0] * 0.5, "gray: remaining error", color=GREY, fontsize=SIZE)
    right.set_xlabel("number of the eigenvector", fontsize=SIZE)
    right.set_ylabel("eigenvalue (logarithmic)", fontsize=SIZE)
    right.set_title("Reverse water-filling, a linear VAE", loc="left", fontsize=SIZE)
    for axes in (left, right):
        axes.tick_params(labelsize=SIZE, which="both")
    return figure
