"""Figures of lesson 3: the gap between log p(x) and the ELBO, and how EM climbs."""

import numpy as np

from ..story import BLUE, GREEN, GREY, RED, STYLES
from .slide import label, slide


def gap(z, curves, mus, elbos, log_evidence):
    """Four densities (n,) on the grid z: prior, posterior, first q, best q; the ELBO (k,) against mu of q."""
    figure, (densities, line) = slide(
        ("The best q covers one of two modes", "log p(x) = ELBO + KL(q || posterior)"), height=4.6
    )
    names = (
        ("prior", -0.95, 0.32, GREY, "right"),
        ("posterior", -2.5, 0.13, BLUE, "right"),
        ("first q", 1.75, 0.25, RED, "left"),
        ("best q", 1.0, 1.0, GREEN, "left"),
    )
    for values, (name, x, y, colour, side) in zip(curves, names, strict=True):
        densities.plot(z, values, color=colour, ls=STYLES[colour], lw=2.2)
        label(densities, x, y, name, colour, ha=side)
    densities.set(xlim=(-4.4, 3.5), ylim=(0, 1.2), xlabel="z", ylabel="density")
    line.axhline(log_evidence, color=BLUE, lw=2.2)
    line.plot(mus, elbos, color=GREEN, ls=STYLES[GREEN], lw=2.2)
    line.fill_between(mus, elbos, log_evidence, color=GREY, alpha=0.18, lw=0)
    label(line, -2.9, log_evidence + 0.15, "log p(x)", BLUE)
    label(line, -1.1, -2.1, "KL(q || posterior)", ha="center")
    label(line, -0.7, -3.9, "ELBO", GREEN, ha="center")
    line.set(xlabel="mu of q, at the best logvar", ylabel="nats", ylim=(-6, -0.7), xlim=(-3, 2))
    return figure


def staircase(ws, log_evidences, bounds, after_e, after_m, steps):
    """log p(x|w) and three ELBOs (n,) against w, (w, ELBO) after E and M; (log p, ELBO) by half rounds."""
    figure, (climb, stairs) = slide(
        ("E-step: touch (dot). M-step: climb (triangle)", "E closes the gap, M raises both"), height=4.6
    )
    climb.plot(ws, log_evidences, color=BLUE, lw=3)
    places = ((1.72, -3.7), (3.0, -4.03), (3.05, -3.53))
    for k, (colour, values, (x, y)) in enumerate(zip((RED, GREEN, GREY), bounds, places, strict=True)):
        climb.plot(ws, values, color=colour, ls=STYLES[colour], lw=2)
        climb.plot(*after_e[k], "o", color=colour, ms=9)
        climb.plot(*after_m[k], "^", color=colour, ms=10)
        label(climb, x, y, f"ELBO {k + 1}", colour)
    label(climb, 2.2, -2.13, "log p(x|w)", BLUE)
    climb.set(xlabel="decoder weight w", ylabel="mean over the data, nats", ylim=(-4.1, -2.0), xlim=(0, 3.65))
    above, below = np.array(steps).T  # (10,) each
    rounds = np.arange(len(above))
    stairs.plot(rounds, above, color=BLUE, lw=2.2, marker="s", ms=6)
    stairs.plot(rounds, below, color=RED, ls=STYLES[RED], lw=2.2, marker="o", ms=6)
    stairs.fill_between(rounds, below, above, color=GREY, alpha=0.25, lw=0)
    label(stairs, 2.0, -2.155, "log p(x|w)", BLUE)
    label(stairs, 1.2, -2.6, "ELBO", RED)
    label(stairs, 1.75, -2.45, "KL(q || posterior)", GREY)
    stairs.plot([1.3, 1.7], [-2.4, -2.43], color=GREY, lw=1)
    stairs.set_xticks(rounds, ["E", "M"] * 5)
    stairs.set(xlabel="half rounds", ylabel="mean over the data, nats", ylim=(-2.93, -2.1))
    return figure
